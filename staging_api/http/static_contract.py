"""How the OpenAPI document describes ``/static``: no JSON, so no model could say it."""

from collections.abc import Mapping
from typing import Any

_BYTES = {
    "content": {"application/octet-stream": {"schema": {"type": "string", "format": "binary"}}}
}


def _problem(description: str) -> dict[str, Any]:
    # Whoever makes the document gives every problem its media type.
    content = {"application/json": {"schema": {"$ref": "#/components/schemas/Problem"}}}
    return {"description": description, "content": content}


def _header(name: str, description: str) -> dict[str, Any]:
    return {
        "name": name,
        "in": "header",
        "required": False,
        "schema": {"type": "string"},
        "description": description,
    }


_PATH = {
    "name": "path",
    "in": "path",
    "required": True,
    "schema": {"type": "string"},
    "description": "of the file, with its slashes; one that ends in a slash is listed, as JSON",
}
_FOLLOW = {
    "name": "follow",
    "in": "query",
    "required": False,
    "schema": {"type": "boolean", "default": False},
    "description": (
        "a file that is still being staged is sent as it grows, and waited for if nothing of it is"
        " there; its end is held back until it is verified, and if it fails, is cancelled or"
        " changes the connection is cut short of it; no version, no Range"
    ),
}
_RESPONSES: Mapping[str, Mapping[str, Any]] = {
    "200": {"description": "the file, or what of it there is and then the rest", **_BYTES},
    "206": {"description": "the range that was asked for", **_BYTES},
    "302": {"description": "where the object store has the file, for some minutes"},
    "304": {"description": "the file is the one that the caller has"},
    "400": _problem("the query is not valid"),
    "404": _problem("nothing is staged there"),
    "412": {"description": "the file is not the one that the caller has"},
    "416": {"description": "the range lies outside of the file"},
    "503": _problem("too many wait, or nothing came in time: Retry-After"),
}
_HEADERS = [
    _header("Range", "one range of bytes"),
    _header("If-Range", "the range only of this version: an ETag, or a Last-Modified"),
    _header("If-Match", "only if the file has this ETag, which is its sha256"),
    _header("If-None-Match", "only if it has not"),
]

STATIC_PATHS: Mapping[str, Any] = {
    "/static/{path}": {
        "get": {
            "operationId": "get_static",
            "summary": "Fetch a staged file",
            "tags": ["static"],
            "parameters": [_PATH, _FOLLOW, *_HEADERS],
            "responses": _RESPONSES,
        },
        "head": {
            "operationId": "head_static",
            "summary": "Describe a staged file",
            "tags": ["static"],
            "parameters": [_PATH, *_HEADERS],
            "responses": {
                status: {"description": told["description"]}
                for status, told in _RESPONSES.items()
                if status != "302"
            },
        },
    }
}
