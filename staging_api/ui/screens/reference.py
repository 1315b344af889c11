"""API: the reference of the API, rendered from its own OpenAPI document on the server."""

import json
from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any
from urllib.parse import quote, urlencode

from staging_api.errors import NotFound
from staging_api.http.routes import ROUTES
from staging_api.ui.copies import Copies
from staging_api.ui.dependencies import UiDependencies
from staging_api.ui.screen import ScreenContent, View

#: Tags of paths for clients of other projects, folded at the end of the page.
_FOREIGN_TAGS = ("devserver", "configdocs")
_PARAMETER = "p."
_METHODS = ("get", "post", "put", "patch", "delete", "head")


@dataclass(frozen=True)
class Operation:
    """An operation of the API.

    Attributes:
        roles: roles that may call it; empty: all callers.
        shown: the operation in the OpenAPI document.
    """

    id: str
    method: str
    path: str
    tag: str
    roles: Sequence[str]
    shown: Mapping[str, Any]


@dataclass(frozen=True)
class Parameter:
    """A parameter of an operation; `place` is path, query or header."""

    name: str
    place: str
    kind: str
    required: bool
    meaning: str


@dataclass(frozen=True)
class OperationResponse:
    """A response of an operation: its status, meaning, form and an example."""

    status: str
    meaning: str
    form: str
    example: str


def show(deps: UiDependencies, view: View) -> ScreenContent:
    """List the operations by tag; or show the one in the address."""
    document = deps.api_document
    found = _operations(document)
    name = view.query.get("op", "")
    if name:
        named = next((each for each in found if each.id == name), None)
        if named is None:
            raise NotFound("the API has no such operation")
        return _one(document, named, view, deps)
    groups: dict[str, list[Operation]] = defaultdict(list)
    for each in found:
        groups[each.tag].append(each)
    return ScreenContent(
        "reference.html",
        "API",
        {
            "info": document["info"],
            "groups": {tag: groups[tag] for tag in sorted(groups) if tag not in _FOREIGN_TAGS},
            "others": {tag: groups[tag] for tag in _FOREIGN_TAGS if tag in groups},
        },
        live=False,
        copies=Copies("/openapi.json"),
    )


def _one(
    document: Mapping[str, Any], operation: Operation, view: View, deps: UiDependencies
) -> ScreenContent:
    parameters = [_parameter(document, each) for each in operation.shown.get("parameters", ())]
    given = {each.name: view.query.get(f"{_PARAMETER}{each.name}", "") for each in parameters}
    body = operation.shown.get("requestBody", {})
    _, content = _content(_resolved(document, body))
    address = _address(operation.path, parameters, given)
    tried = view.query.get("try") == "yes" and operation.method == "GET"
    missing = [each.name for each in parameters if each.place == "path" and not given[each.name]]
    return ScreenContent(
        "operation.html",
        f"{operation.method} {operation.path}",
        {
            "operation": operation,
            "parameters": parameters,
            "given": given,
            "body": _form(content.get("schema")),
            "body_example": _example(content),
            "answers": [
                _answer(document, status, each)
                for status, each in sorted(operation.shown["responses"].items())
            ],
            "address": address if tried and not missing else "",
            "missing": missing if tried else [],
            "open_here": deps.auth == "none" or not operation.roles,
        },
        live=False,
        copies=Copies(address, method=operation.method, body=_example(content, indent=None)),
    )


def _operations(document: Mapping[str, Any]) -> list[Operation]:
    roles = {
        (route.openapi_path, name): kinds for route in ROUTES for name, kinds in route.roles.items()
    }
    return [
        Operation(
            id=shown["operationId"],
            method=method.upper(),
            path=path,
            tag=(shown.get("tags") or ["other"])[0],
            roles=sorted(roles.get((path, method.upper()), ())),
            shown=shown,
        )
        for path, operations in sorted(document["paths"].items())
        for method, shown in operations.items()
        if method in _METHODS
    ]


def _parameter(document: Mapping[str, Any], given: Mapping[str, Any]) -> Parameter:
    shown = _resolved(document, given)
    return Parameter(
        name=shown["name"],
        place=shown["in"],
        kind=_form(shown.get("schema")),
        required=bool(shown.get("required")),
        meaning=shown.get("description", ""),
    )


def _answer(
    document: Mapping[str, Any], status: str, given: Mapping[str, Any]
) -> OperationResponse:
    shown = _resolved(document, given)
    media, content = _content(shown)
    form = _form(content.get("schema"))
    form = f"{form}, {media}" if form and media != "application/json" else form or media
    return OperationResponse(status, shown.get("description", ""), form, _example(content))


def _content(shown: Mapping[str, Any]) -> tuple[str, Mapping[str, Any]]:
    """Return the first media type of a body or response, with its content in the document."""
    return next(iter(shown.get("content", {}).items()), ("", {}))


def _address(path: str, parameters: Sequence[Parameter], given: Mapping[str, str]) -> str:
    """Return the path with the given values; parameters without a value keep their names."""
    for each in parameters:
        if each.place == "path" and given[each.name]:
            path = path.replace(f"{{{each.name}}}", quote(given[each.name], safe=""))
    query = {e.name: given[e.name] for e in parameters if e.place == "query" and given[e.name]}
    return f"{path}?{urlencode(query)}" if query else path


def _resolved(document: Mapping[str, Any], shown: Mapping[str, Any]) -> Mapping[str, Any]:
    found = shown
    if "$ref" in shown:
        found = document
        for name in shown["$ref"].removeprefix("#/").split("/"):
            found = found[name]
    return found


def _form(schema: Mapping[str, Any] | None) -> str:
    """Describe the type of a value in a few words."""
    if not schema:
        return ""
    if "$ref" in schema:
        return str(schema["$ref"]).rpartition("/")[2]
    if "enum" in schema:
        return " or ".join(map(str, schema["enum"]))
    if "anyOf" in schema:
        return " or ".join(filter(None, map(_form, schema["anyOf"])))
    kind = str(schema.get("type", ""))
    if kind == "array":
        return f"list of {_form(schema.get('items')) or 'values'}"
    return str(schema.get("format", kind))


def _example(content: Mapping[str, Any], indent: int | None = 2) -> str:
    examples = [each.get("value") for each in content.get("examples", {}).values()]
    example = content.get("example", examples[0] if examples else None)
    if example is None:
        return ""
    if isinstance(example, str):
        return example
    return json.dumps(example, indent=indent, ensure_ascii=False)
