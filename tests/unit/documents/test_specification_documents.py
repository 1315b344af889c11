"""Specification of single documents and of checks of their data, row by row.

Each case is named by its section and its row. ``LEAVE`` in a name marks a row where the ancestor is
wrong: the case expects the behaviour of this project.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import pytest

from staging_api.documents.model import DocumentsInvalid
from staging_api.documents.validation import check_schemas, validate
from tests.document_sets import data_schema, doc, documents, policy, rendered, secret, sub

THING = "site/Thing/v1"
P = {"is": "p"}


@dataclass(frozen=True)
class Refused:
    """A document with the wrong shape; the field of its only finding."""

    field: str


TAKEN = "taken"

# 2.1 Shape: a document, and whether it is accepted.


def changed(value: Any, *path: str | int, to: Any = None, without: bool = False) -> Any:
    """Return a copy of a document with one place changed or removed."""
    if not path:
        return to
    first, *rest = path
    copy: Any = list(value) if isinstance(value, list) else dict(value)
    if without and not rest:
        del copy[first]
    else:
        there = isinstance(copy, list) or first in copy
        below = copy[first] if rest and there else {}
        copy[first] = changed(below, *rest, to=to, without=without)
    return copy


ONE = doc("one", {})
CONTROL: dict[str, Any] = {
    "schema": "site/Thing/v1",
    "metadata": {"schema": "metadata/Control/v1", "name": "one"},
    "data": {},
}
LAYERED = doc("one", {}, layer="site", parent=P)
TAKING = doc("one", {}, subs=[sub("two", ".a")])
LAYERING = ("metadata", "layeringDefinition")
SUBSTITUTION = ("metadata", "substitutions", 0)
VALIDATIONS: dict[str, Any] = {
    "schema": "deckhand/ValidationPolicy/v1",
    "metadata": {"schema": "metadata/Control/v1", "name": "one"},
    "data": {"validations": [{"name": "a-validation", "expiresAfter": "1d"}]},
}


def shapes() -> Iterator[tuple[str, Any, Refused | str]]:
    """Yield the rows of section 2.1 about the three keys."""
    yield "2.1-top-unknown-key", {**ONE, "more": 1}, Refused(".more")
    for key in ("schema", "metadata", "data"):
        yield f"2.1-top-{key}-required", changed(ONE, key, without=True), Refused(f".{key}")
    for data in (None, "text", 1, 1.5, [1], {"a": 1}, True):
        yield f"2.1-data-{type(data).__name__}", {**ONE, "data": data}, TAKEN
    for schema in ("a/B/v1", "A/b/v10"):
        yield f"2.1-schema-{schema}", {**ONE, "schema": schema}, TAKEN
    for schema in ("a1/B/v1", "a-b/B/v1", "a/B/v1.0", "a/B", "a/B/v", "B/v1", "a/B/1", "ä/B/v1"):
        yield f"2.1-schema-LEAVE-{schema}", {**ONE, "schema": schema}, Refused(".schema")


def metadata_shapes() -> Iterator[tuple[str, Any, Refused | str]]:
    """Yield the rows of section 2.1 about metadata."""
    for kind in ("Document", "Control"):
        for version in ("v1", "v2"):
            schema = f"metadata/{kind}/{version}"
            yield f"2.1-{schema}", changed(ONE, "metadata", "schema", to=schema), TAKEN
        schema = f"metadata/{kind}/v3"
        yield (
            f"2.1-{schema}",
            changed(ONE, "metadata", "schema", to=schema),
            Refused(".metadata.schema"),
        )
    value = changed(CONTROL, "metadata", "name", without=True)
    yield "2.1-control-name-required", value, Refused(".metadata.name")
    yield "2.1-control-labels-texts", changed(CONTROL, "metadata", "labels", to={"a": "b"}), TAKEN
    for label in (1, True, ["x"], {"x": 1}, None):
        value = changed(CONTROL, "metadata", "labels", to={"a": label})
        name = type(label).__name__
        yield f"2.1-control-labels-{name}", value, Refused(".metadata.labels.a")
    yield "2.1-control-anything-else", changed(CONTROL, "metadata", "more", to={"x": 1}), TAKEN
    for key in ("schema", "name", "storagePolicy", "layeringDefinition"):
        value = changed(ONE, "metadata", key, without=True)
        yield f"2.1-document-{key}-required", value, Refused(f".metadata.{key}")
    yield (
        "2.1-document-unknown-key",
        changed(ONE, "metadata", "more", to=1),
        Refused(".metadata.more"),
    )
    for given, expected in (("cleartext", TAKEN), ("encrypted", TAKEN), ("other", None)):
        value = changed(ONE, "metadata", "storagePolicy", to=given)
        yield (
            f"2.1-storagePolicy-{given}",
            value,
            expected or Refused(".metadata.storagePolicy"),
        )
    yield "2.1-labels", changed(ONE, "metadata", "labels", to={"a": "b"}), TAKEN
    value = changed(ONE, "metadata", "labels", to={"a": ["b"]})
    yield "2.2-label-list-LEAVE", value, Refused(".metadata.labels.a")
    value = changed(ONE, "metadata", "replacement", to="yes")
    yield "2.1-replacement-no-bool", value, Refused(".metadata.replacement")


def layering_shapes() -> Iterator[tuple[str, Any, Refused | str]]:
    """Yield the rows of section 2.1 about layers and actions."""
    here = ".metadata.layeringDefinition"
    yield (
        "2.1-layer-required",
        changed(ONE, *LAYERING, "layer", without=True),
        Refused(f"{here}.layer"),
    )
    yield "2.1-abstract-missing", changed(ONE, *LAYERING, "abstract", without=True), TAKEN
    value = changed(ONE, *LAYERING, "abstract", to="no")
    yield "2.1-abstract-no-bool", value, Refused(f"{here}.abstract")
    yield "2.1-layering-unknown-key", changed(ONE, *LAYERING, "x", to=1), Refused(f"{here}.x")
    for key, other in (("actions", "parentSelector"), ("parentSelector", "actions")):
        value = changed(LAYERED, *LAYERING, key, without=True)
        yield f"2.1-{other}-without-{key}", value, Refused(f"{here}.{key}")
    value = changed(LAYERED, *LAYERING, "actions", to=[])
    yield "2.1-actions-empty", value, Refused(f"{here}.actions")
    value = changed(LAYERED, *LAYERING, "parentSelector", to={})
    yield "2.1-parentSelector-empty", value, Refused(f"{here}.parentSelector")
    for method in ("merge", "replace", "delete"):
        value = changed(LAYERED, *LAYERING, "actions", 0, "method", to=method)
        yield f"2.1-action-{method}", value, TAKEN
    action = f"{here}.actions[0]"
    value = changed(LAYERED, *LAYERING, "actions", 0, "method", to="add")
    yield "2.1-action-unknown-method", value, Refused(f"{action}.method")
    value = changed(LAYERED, *LAYERING, "actions", 0, "x", to=1)
    yield "2.1-action-unknown-key", value, Refused(f"{action}.x")
    for key in ("method", "path"):
        value = changed(LAYERED, *LAYERING, "actions", 0, key, without=True)
        yield f"2.1-action-{key}-required", value, Refused(f"{action}.{key}")
    for path in (".l[*]", "*", "$..a", ".a[?(@.x)]"):
        value = changed(LAYERED, *LAYERING, "actions", 0, "path", to=path)
        yield f"2.3-wildcard-LEAVE-{path}", value, Refused(f"{action}.path")


def substitution_shapes() -> Iterator[tuple[str, Any, Refused | str]]:
    """Yield the rows of section 2.1 about substitutions, widths and control documents."""
    here = ".metadata.substitutions[0]"
    yield (
        "2.1-substitution-unknown-key",
        changed(TAKING, *SUBSTITUTION, "x", to=1),
        Refused(f"{here}.x"),
    )
    for key in ("src", "dest"):
        value = changed(TAKING, *SUBSTITUTION, key, without=True)
        yield f"2.1-substitution-{key}-required", value, Refused(f"{here}.{key}")
    for key in ("schema", "name", "path"):
        value = changed(TAKING, *SUBSTITUTION, "src", key, without=True)
        yield f"2.1-src-{key}-required", value, Refused(f"{here}.src.{key}")
    for part, key, wrong in (
        *(("src", "match_group", "1"), ("src", "deepcopy", "yes"), ("src", "x", 1)),
        *(("dest", "x", 1), ("dest", "recurse", 1), ("dest", "path", "a"), ("dest", "pattern", 1)),
        *(("src", "pattern", 1), ("dest", "pattern", "("), ("src", "pattern", "(")),
    ):
        value = changed(TAKING, *SUBSTITUTION, part, key, to=wrong)
        yield f"2.1-{part}-{key}-{wrong}", value, Refused(f"{here}.{part}.{key}")
    yield "2.1-dest-list", changed(TAKING, *SUBSTITUTION, "dest", to=[{"path": ".a"}]), TAKEN
    for depth, expected in ((-1, TAKEN), (0, TAKEN), (5, TAKEN), (-2, None), ("1", None)):
        value = changed(TAKING, *SUBSTITUTION, "dest", "recurse", to={"depth": depth})
        yield f"2.1-recurse-{depth!r}", value, expected or Refused(f"{here}.dest.recurse.depth")
    long = {"src": {"schema": THING, "name": "two", "path": ".", "pattern": "a", "match_group": 1}}
    value = changed(TAKING, *SUBSTITUTION, to={**long, "dest": {"path": ".a"}})
    yield "2.5-group-too-high", value, Refused(f"{here}.src.match_group")
    yield "2.1-name-64", changed(ONE, "metadata", "name", to="n" * 64), TAKEN
    yield (
        "2.1-name-65",
        changed(ONE, "metadata", "name", to="n" * 65),
        Refused(".metadata.name"),
    )
    yield "2.1-schema-64", {**ONE, "schema": f"a/{'B' * 59}/v1"}, TAKEN
    yield "2.1-schema-65", {**ONE, "schema": f"a/{'B' * 60}/v1"}, Refused(".schema")
    yield "2.1-policy-only-layerOrder", changed(policy(), "data", "x", to=1), Refused(".data.x")
    value = changed(policy(), "data", "layerOrder", to=[1])
    yield "2.1-policy-layers-are-texts", value, Refused(".data.layerOrder")
    value = changed(TAKING, *SUBSTITUTION, "dest", "recurse", to={"depth": 1, "x": 1})
    yield "2.1-recurse-unknown-key", value, Refused(f"{here}.dest.recurse.x")
    yield "2.1-validations", VALIDATIONS, TAKEN
    yield "2.1-validations-only", changed(VALIDATIONS, "data", "x", to=1), Refused(".data.x")
    value = changed(VALIDATIONS, "data", "validations", without=True)
    yield "2.1-validations-required", value, Refused(".data.validations")
    for name, expected in (("a-verification", TAKEN), ("a", None)):
        value = changed(VALIDATIONS, "data", "validations", 0, "name", to=name)
        yield f"2.1-validations-{name}", value, expected or Refused(".data.validations[0].name")
    value = changed(VALIDATIONS, "data", "validations", 0, "x", to=1)
    yield "2.1-validations-unknown-key", value, Refused(".data.validations[0].x")


SHAPES = [*shapes(), *metadata_shapes(), *layering_shapes(), *substitution_shapes()]


@pytest.mark.parametrize(
    ("value", "expected"), [pytest.param(*row, id=name) for name, *row in SHAPES]
)
def test_shape(value: Any, expected: Refused | str) -> None:
    if isinstance(expected, str):
        assert len(documents(value)) == 1
        return
    with pytest.raises(DocumentsInvalid) as caught:
        documents(value)
    assert [each.path for each in caught.value.findings] == [expected.field]
    assert {each.fault.message_name for each in caught.value.findings} == {"D001"}


# 2.1 and 2.6 Checks of rendered data: documents, and the findings: name, document, field.

LIMITED = {"properties": {"n": {"type": "integer"}}}


def checks() -> Iterator[tuple[str, Sequence[Any], Sequence[tuple[str, str, str]]]]:
    """Yield the rows about data of built-in kinds, and of kinds with a DataSchema."""
    for kind in (
        *("Certificate", "CertificateKey", "CertificateAuthority", "CertificateAuthorityKey"),
        *("Passphrase", "PrivateKey", "PublicKey"),
    ):
        schema = f"deckhand/{kind}/v1"
        yield f"2.1-{kind}-text", [secret("s") | {"schema": schema}], []
        wrong = {**doc("s", {"a": 1}), "schema": schema}
        yield f"2.1-{kind}-mapping", [wrong], [("D002", "s", ".data")]
    limited = data_schema(THING, LIMITED)
    refused = [("D002", "one", ".data.n")]
    bad = doc("one", {"n": "x"})
    yield "2.6-data-refused", [limited, bad], refused
    yield "2.6-data-taken", [limited, doc("one", {"n": 1})], []
    for name in ("http://json-schema.org/schema#", "http://json-schema.org/draft-07/schema#"):
        drafted = {"$schema": name, "maximum": 3, "exclusiveMaximum": True, "const": 1}
        values = [data_schema(THING, drafted), doc("one", 3), doc("two", 2)]
        yield f"2.6-draft-4-{name}", values, [("D002", "one", ".data")]
    yield "2.6-abstract-not-checked", [limited, doc("one", {"n": "x"}, abstract=True)], []
    other = data_schema("site/Other/v1", LIMITED)
    yield "2.6-schema-unknown", [other, bad], []
    yield (
        "2.6-checked-after-rendering",
        [
            limited,
            doc("source", "x", schema="site/Other/v1"),
            doc("one", {}, subs=[sub("source", ".n", schema="site/Other/v1")]),
        ],
        refused,
    )


CHECKS = list(checks())


@pytest.mark.parametrize(
    ("values", "expected"), [pytest.param(*row, id=name) for name, *row in CHECKS]
)
def test_checks(values: Sequence[Any], expected: Sequence[tuple[str, str, str]]) -> None:
    found = validate(rendered(*values))
    assert [
        (each.fault.message_name, each.documents[0].name, each.path) for each in found
    ] == expected
    for each in found:
        if each.documents[1:]:
            assert set(each.diagnostic) >= {"schema_path", "validation_schema", "error_section"}


@pytest.mark.parametrize("_row", ["2.6-invalid-DataSchema-LEAVE"])
def test_an_invalid_schema_is_refused_when_it_is_posted(_row: str) -> None:
    [finding] = check_schemas(documents(data_schema(THING, {"type": "no type"})))
    assert (finding.fault.value, finding.path) == ("InvalidDataSchema", ".data.type")


def test_the_names_of_rows_are_unique() -> None:
    names = [name for name, *_ in (*SHAPES, *CHECKS)]
    assert len(set(names)) == len(names)
