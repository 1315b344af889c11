"""Conversion of JSON values to documents: every key is checked, every path and pattern parsed once.

All faults of a document are found, each with its field. Facts that only rendering can establish,
such as whether a layer exists, are not checked here.
"""

import re
from typing import Any

from staging_api.documents.fields import Faults, Fields
from staging_api.documents.instructions import layering_of, substitutions_of
from staging_api.documents.model import (
    DATA_SCHEMA,
    LAYERING_POLICY,
    VALIDATION_POLICY,
    Document,
    StoragePolicy,
)

_SCHEMA = re.compile(r"[A-Za-z]+/[A-Za-z]+/v[0-9]+")
_METADATA_SCHEMA = re.compile(r"metadata/(Document|Control)/v[12]")
_CONTROL_KINDS = frozenset({LAYERING_POLICY, DATA_SCHEMA, VALIDATION_POLICY})
#: Accepted and ignored: responses of Deckhand, the ancestor, have these beside the three keys.
_IGNORED = ("id", "status")
#: The same limit as Deckhand's, so that both accept the same documents.
_NAME_LENGTH = 64
_VALIDATION_NAME = re.compile(r".+-(validation|verification)")


def shaped(value: Any, faults: Faults, **posted: Any) -> Document | None:
    """Convert one posted mapping to a document, or add its faults to `faults`.

    Args:
        value: the mapping; ``id`` and ``status`` are ignored, so that responses can be posted
            again.
        faults: collects the faults, by field.
        posted: further fields of `Document`, such as ``collection`` and ``text``.
    """
    top = Fields(value, (), faults)
    if not top.sound:
        return None
    top.only("schema", "metadata", "data", *_IGNORED)
    schema = top.text("schema")
    if schema and not (_SCHEMA.fullmatch(schema) and len(schema) <= _NAME_LENGTH):
        top.refuse("schema", "must be letters/letters/v and a number, as in site/Network/v1")
    if "data" not in top:
        top.refuse("data", "is missing; null is a value")
    metadata = top.fields("metadata")
    name = _name_of(metadata)
    control = _is_control(metadata, schema)
    known = {
        "schema": schema,
        "name": name,
        "metadata": value.get("metadata"),
        "data": value.get("data"),
        "control": control,
        **posted,
    }
    if control:
        known |= _control_fields(metadata)
        _check_policy(schema.rpartition("/")[0], top)
    else:
        known |= _document_fields(metadata)
    return None if faults.found else Document(**known)


def _name_of(metadata: Fields) -> str:
    name = metadata.text("name") if metadata.sound else ""
    if metadata.value("name") == "":
        metadata.refuse("name", "must not be empty")
    if len(name) > _NAME_LENGTH:
        metadata.refuse("name", f"has {len(name)} characters, and may have {_NAME_LENGTH}")
    return name


def _is_control(metadata: Fields, schema: str) -> bool:
    if not metadata.sound:
        return False
    kind = metadata.text("schema")
    match = _METADATA_SCHEMA.fullmatch(kind)
    if kind and not match:
        metadata.refuse("schema", "must be metadata/Document/v1 or metadata/Control/v1")
    control = match is not None and match[1] == "Control"
    if match and not control and schema.rpartition("/")[0] in _CONTROL_KINDS:
        metadata.refuse("schema", f"must be metadata/Control/v1 for {schema}")
    return control


def _control_fields(metadata: Fields) -> dict[str, Any]:
    labels = metadata.scalars("labels")
    for label, value in labels.items():
        if not isinstance(value, str | dict | list) and value is not None:
            metadata.faults.add((*metadata.path, "labels", label), "must be a text")
    return {"labels": labels, "storage_policy": _storage_policy(metadata)}


def _document_fields(metadata: Fields) -> dict[str, Any]:
    if not metadata.sound:
        return {}
    metadata.only(
        "schema",
        "name",
        "storagePolicy",
        "layeringDefinition",
        "labels",
        "replacement",
        "substitutions",
    )
    if "storagePolicy" not in metadata:
        metadata.refuse("storagePolicy", "is missing, and must be cleartext or encrypted")
    return {
        "storage_policy": _storage_policy(metadata),
        "labels": metadata.scalars("labels"),
        "replacement": metadata.flag("replacement"),
        "substitutions": substitutions_of(metadata),
        **layering_of(metadata.fields("layeringDefinition")),
    }


def _storage_policy(metadata: Fields) -> StoragePolicy:
    if "storagePolicy" not in metadata:
        return StoragePolicy.CLEARTEXT
    policies = [policy.value for policy in StoragePolicy]
    policy = metadata.text("storagePolicy", among=policies)
    return StoragePolicy(policy) if policy in policies else StoragePolicy.CLEARTEXT


def _check_policy(kind: str, top: Fields) -> None:
    if kind == LAYERING_POLICY:
        _check_layering_policy(top)
    elif kind == VALIDATION_POLICY:
        _check_validation_policy(top)
    elif kind == DATA_SCHEMA:
        top.fields("data")


def _check_layering_policy(top: Fields) -> None:
    data = top.fields("data")
    data.only("layerOrder")
    layers = data.value("layerOrder")
    if not isinstance(layers, list) or not all(isinstance(layer, str) for layer in layers):
        data.refuse("layerOrder", "must be a list of layer names, the base first")
    elif len(set(layers)) != len(layers):
        data.refuse("layerOrder", "must name each layer once")


def _check_validation_policy(top: Fields) -> None:
    data = top.fields("data")
    data.only("validations")
    if "validations" not in data:
        data.refuse("validations", "is missing, and must be a list")
    for each in data.elements("validations"):
        each.only("name", "expiresAfter")
        name = each.text("name")
        if name and not _VALIDATION_NAME.fullmatch(name):
            each.refuse("name", "must end with -validation or -verification")
