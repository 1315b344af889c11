"""Small sets of documents, as Python values."""

from typing import Any

from staging_api.documents.fields import Faults, field_text
from staging_api.documents.model import (
    Document,
    DocumentsInvalid,
    Fault,
    Finding,
    RenderingFailed,
)
from staging_api.documents.rendering import Rendering, render
from staging_api.documents.shape import shaped

SECRET = "deckhand/Passphrase/v1"


def policy(*layers: str, name: str = "policy") -> dict[str, Any]:
    return {
        "schema": "deckhand/LayeringPolicy/v1",
        "metadata": {"schema": "metadata/Control/v1", "name": name},
        "data": {"layerOrder": list(layers or ("global", "type", "site"))},
    }


def data_schema(name: str, data: Any) -> dict[str, Any]:
    return {
        "schema": "deckhand/DataSchema/v1",
        "metadata": {"schema": "metadata/Control/v1", "name": name},
        "data": data,
    }


def doc(
    name: str,
    data: Any,
    *,
    schema: str = "site/Thing/v1",
    layer: str = "global",
    labels: dict[str, Any] | None = None,
    parent: dict[str, Any] | None = None,
    actions: list[Any] | None = None,
    subs: list[Any] | None = None,
    abstract: bool = False,
    replacement: bool = False,
    policy: str = "cleartext",
) -> dict[str, Any]:
    """Return a document; actions are (method, path) pairs, a parent alone merges everything."""
    layering: dict[str, Any] = {"layer": layer, "abstract": abstract}
    if parent is not None:
        pairs = actions if actions is not None else [("merge", ".")]
        layering["parentSelector"] = parent
        layering["actions"] = [{"method": method, "path": path} for method, path in pairs]
    metadata: dict[str, Any] = {
        "schema": "metadata/Document/v1",
        "name": name,
        "storagePolicy": policy,
        "layeringDefinition": layering,
    }
    if labels:
        metadata["labels"] = labels
    if subs:
        metadata["substitutions"] = subs
    if replacement:
        metadata["replacement"] = True
    return {"schema": schema, "metadata": metadata, "data": data}


def sub(
    name: str,
    dest: Any,
    *,
    schema: str = "site/Thing/v1",
    path: str = ".",
    **source: Any,
) -> dict[str, Any]:
    """Return a substitution; `dest` may be a path alone."""
    src = {"schema": schema, "name": name, "path": path, **source}
    return {"src": src, "dest": {"path": dest} if isinstance(dest, str) else dest}


def secret(name: str, data: Any = "swordfish", **more: Any) -> dict[str, Any]:
    return doc(name, data, schema=SECRET, policy="encrypted", **more)


def document_of(value: Any, *, collection: str = "", index: int = 0) -> Document:
    """Create a document without a posted text, and therefore without line numbers."""
    faults = Faults()
    made = shaped(value, faults, collection=collection, index=index, size=_size_of(value))
    if made is None:
        fault = Fault.INVALID_DOCUMENT_FORMAT
        found = (Finding(fault, said, path=field_text(path)) for path, said in faults.found)
        raise DocumentsInvalid(tuple(found))
    return made


def _size_of(value: Any) -> int:
    """Return the number of characters, counted as the stream reader does."""
    if isinstance(value, dict):
        return 1 + sum(len(key) + 1 + _size_of(each) for key, each in value.items())
    if isinstance(value, list):
        return 1 + sum(map(_size_of, value))
    return len(str(value)) + 1


def documents(*values: Any, collection: str = "one") -> tuple[Document, ...]:
    return tuple(
        document_of(value, collection=collection, index=index) for index, value in enumerate(values)
    )


def rendered(*values: Any) -> Rendering:
    """Render values with the usual layering policy."""
    return render(documents(policy(), *values))


def data_of(rendering: Rendering, name: str, schema: str = "site/Thing/v1") -> Any:
    found = rendering.get(schema, name)
    assert found is not None
    return found.data


def failure(*values: Any) -> tuple[str, list[str]]:
    """Render invalid documents; return the name of the first fault, and its documents' names."""
    try:
        rendered(*values)
    except RenderingFailed as error:
        first = error.findings[0]
        return first.fault.value, [identity.name for identity in first.documents]
    raise AssertionError
