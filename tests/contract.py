"""Check of every response that a test gets against the OpenAPI document."""

import json
import re
from collections.abc import Mapping
from copy import deepcopy
from dataclasses import replace
from functools import cache
from pathlib import Path
from typing import Any

from jsonschema import Draft202012Validator

from staging_api.http.app import openapi_of
from staging_api.http.resources.configdocs.surface import is_surface
from staging_api.http.resources.devserver.help import OUT_OF_SCOPE
from staging_api.processes.application import dependencies_of
from staging_api.processes.bootstrap import build
from staging_api.settings import Settings
from staging_api.vocabulary.documents import STORAGE_POLICIES
from tests.options import refuse_options

#: The committed copy, for readers and for clients that generate code.
COMMITTED = Path(__file__).parents[1] / "docs" / "openapi.json"
HOW_TO_RENEW = "run `make openapi` and commit docs/openapi.json"
_PROBLEM = {"$ref": "#/components/schemas/Problem"}
_STATUS = {"$ref": "#/components/schemas/Status"}
#: Further members of error responses are described by each operation.
_OPEN = {"Problem", "Status", "CollectionStatus"}
#: Path parameters whose values may contain slashes.
_PATHS = {"path", "rest", "name"}

#: The schema of a configuration document; to the API a collection is plain text.
_DOCUMENT = {
    "type": "object",
    "required": ["schema", "metadata", "data"],
    "properties": {
        "schema": {"type": "string", "pattern": "^[A-Za-z]+/[A-Za-z]+/v[0-9]+$", "maxLength": 64},
        "metadata": {
            "type": "object",
            "required": ["schema", "name", "storagePolicy", "layeringDefinition"],
            "properties": {
                "schema": {"const": "metadata/Document/v1"},
                "name": {"type": "string", "pattern": "^[a-z-]{1,64}$"},
                "storagePolicy": {"enum": list(STORAGE_POLICIES)},
                "layeringDefinition": {
                    "type": "object",
                    "required": ["layer"],
                    "properties": {"layer": {"type": "string"}, "abstract": {"type": "boolean"}},
                    "additionalProperties": False,
                },
            },
            "additionalProperties": False,
        },
        "data": {},
    },
    "additionalProperties": False,
}


@cache
def of_this_version() -> Mapping[str, Any]:
    """Return the document of this version for services of every kind; needs no database."""
    services = build(Settings.from_env(database_url="postgresql+psycopg2://nowhere/none"))
    try:
        deps = replace(dependencies_of(services), auth=None)
        described: Mapping[str, Any] = json.loads(json.dumps(openapi_of(deps)))
        return described
    finally:
        services.close()


@cache
def held_to() -> Mapping[str, Any]:
    """Return the document for checking our own responses: undescribed members are refused.

    For clients, responses are open, so that members can be added; tests demand a description first.
    """
    closed = deepcopy(dict(of_this_version()))
    for name, schema in closed["components"]["schemas"].items():
        if name not in _OPEN and "properties" in schema:
            schema.setdefault("additionalProperties", False)
    return closed


def to_be_fuzzed() -> Mapping[str, Any]:
    """Return the document for fuzzing: a collection is a document, not arbitrary text."""
    document = deepcopy(dict(held_to()))
    posted = document["paths"]["/api/v1.0/configdocs/{collection}"]["post"]
    posted["requestBody"]["content"]["application/x-yaml"]["schema"] = _DOCUMENT
    return document


def written(contract: Mapping[str, Any]) -> str:
    """Serialize the document as it is committed: one change of the API is one change of a line."""
    return json.dumps(contract, indent=2, sort_keys=True) + "\n"


def check(method: str, path: str, status: int, media: str, body: bytes) -> None:
    """Fail unless the document describes this response."""
    shown = _answers(method, path)
    if shown is None:
        # Unknown route or method: the response is an ordinary problem document.
        assert status in {404, 405}, f"{method} {path} is not described"
        if is_surface(path):
            _check_body(_STATUS, media, "application/json", body)
        elif path.strip("/").startswith(tuple(OUT_OF_SCOPE)):
            assert media.startswith("text/plain"), "a path that is not here is refused by a line"
        else:
            _check_body(_PROBLEM, media, "application/problem+json", body)
        return
    assert str(status) in shown, f"{method} {path} answered {status}, which is not described"
    content = resolved(shown[str(status)]).get("content")
    if content is None:
        assert body == b"", f"{method} {path} answered {status} with a body"
        return
    named = media.split(";", maxsplit=1)[0]
    promised = named if named in content else next(iter(content))
    form = content[promised]
    if promised != "*/*":
        _check_body(form["schema"], media, promised, body)


def resolved(shown: Mapping[str, Any]) -> Mapping[str, Any]:
    """Return a part of the document, with a reference resolved."""
    found: Mapping[str, Any] = shown
    if "$ref" in shown:
        found = of_this_version()
        for name in shown["$ref"].removeprefix("#/").split("/"):
            found = found[name]
    return found


def _answers(method: str, path: str) -> Mapping[str, Any] | None:
    # Literal segments take precedence over parameters, as in the router.
    for template in sorted(of_this_version()["paths"], key=lambda path: path.count("{")):
        if re.fullmatch(re.sub(r"\{(\w+)\}", _pattern, template), path):
            operation = of_this_version()["paths"][template].get(method.lower())
            return None if operation is None else operation["responses"]
    return None


def _pattern(parameter: "re.Match[str]") -> str:
    return ".+" if parameter[1] in _PATHS else "[^/]+"


def _check_body(schema: Mapping[str, Any], media: str, promised: str, body: bytes) -> None:
    assert media.split(";", maxsplit=1)[0] == promised, f"answered with {media}, not {promised}"
    if not promised.endswith("json"):
        return
    whole = {**schema, "components": held_to()["components"]}
    Draft202012Validator(whole, format_checker=Draft202012Validator.FORMAT_CHECKER).validate(
        json.loads(body)
    )


if __name__ == "__main__":
    refuse_options("tests.contract", __doc__)
    COMMITTED.parent.mkdir(exist_ok=True)
    COMMITTED.write_text(written(of_this_version()))
