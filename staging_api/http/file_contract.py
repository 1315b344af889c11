"""OpenAPI descriptions of file paths: ``/static`` and ``/archive``."""

from collections.abc import Mapping
from typing import Any

from staging_api.http.described import (
    ALWAYS,
    BEFORE_ROUTING,
    Described,
    headers,
    operation,
    parameter,
    problem,
    problems,
)

_OF_A_FILE = headers(
    *("Accept-Ranges", "Content-Security-Policy", "ETag", "Last-Modified", "Repr-Digest")
)
_OF_A_PART = _OF_A_FILE | headers("Content-Range")
_OF_A_WHOLE = headers("Content-Disposition", "X-Accel-Redirect")
# Or the list of a folder; a file of a build may be JSON, too.
_BYTES: Mapping[str, Any] = {"content": {"*/*": {"schema": {}}}}

#: Responses to conditional and range requests.
_CONDITIONAL: Mapping[str, Described] = {
    "304": {"description": "the file is the one that the caller has", "headers": _OF_A_FILE},
    "412": {"description": "the file is not the one that the caller has", "headers": _OF_A_FILE},
    "416": {"description": "the range is outside of the file", "headers": _OF_A_PART},
}
_FETCHED: Mapping[str, Described] = {
    **problems(*ALWAYS),
    **_CONDITIONAL,
    "200": {
        "description": "the file",
        "headers": _OF_A_FILE | _OF_A_WHOLE,
        **_BYTES,
    },
    "206": {"description": "the requested range", "headers": _OF_A_PART, **_BYTES},
    "302": {"description": "where the object store has the file, for some minutes"},
    "404": problem("there is no such file"),
}
_CONDITIONS = [
    parameter("Range", "one range of bytes", "header"),
    parameter("If-Range", "the range only of this version: an ETag, or a Last-Modified", "header"),
    parameter("If-Match", "only if the file has this ETag, which is its sha256", "header"),
    parameter("If-None-Match", "only if it has not", "header"),
]
_STAGED = parameter(
    "path",
    "of the file, with its slashes; one that ends in a slash is listed, as JSON, by pages",
    "path",
)
_OF_A_PAGE = [
    parameter(
        "limit",
        "of a folder: so many names",
        schema={"type": "integer", "minimum": 1, "maximum": 1000, "default": 100},
    ),
    parameter("after", "of a folder: only what follows this name"),
]
_PACKED = parameter(
    "archive",
    "of a folder: all of its files as one stream, however deep; cut short if one is lost meanwhile",
    schema={"type": "string", "enum": ["tar", "tar.gz", "tar.zst", "zip"]},
)
_OF_ARTIFACT = parameter("artifact", "with `archive`: only the files of this artifact")
_FOLLOW = parameter(
    "follow",
    "a file that is still being staged is sent as it grows, and waited for if nothing of it is"
    " there; its end is held back until it is verified, and if it fails, is cancelled or"
    " changes the connection is cut short of it; no version, no Range",
    schema={"type": "boolean", "default": False},
)
_PUBLISHED = [
    parameter("archive", "its name; NAME@GENERATION is one generation, while it is kept", "path"),
    parameter("path", "below the archive's root: dists/... or pool/...", "path"),
]


def _file(
    name: str, tag: str, summaries: tuple[str, str], *parameters: Described
) -> dict[str, Described]:
    """Describe GET and HEAD of a file; HEAD has no parameter `follow`."""
    # Responses to HEAD have no bodies, except errors before the route is known.
    described = {
        status: answer
        if int(status) in BEFORE_ROUTING
        else {part: answer[part] for part in ("description", "headers") if part in answer}
        for status, answer in _FETCHED.items()
        if status != "302"
    }
    fetch, describe = summaries
    given = [*parameters, *_CONDITIONS]
    of_head = [each for each in given if each is not _FOLLOW]
    return {
        "get": operation(f"get_{name}", fetch, tag, _FETCHED, given),
        "head": operation(f"head_{name}", describe, tag, described, of_head),
    }


def _static(name: str) -> dict[str, Described]:
    summaries = ("Fetch a staged file, or list a folder", "Describe a staged file")
    parameters = (_STAGED, _FOLLOW, _PACKED, _OF_ARTIFACT, *_OF_A_PAGE)
    return _file(name, "static", summaries, *parameters)


FILE_PATHS: Mapping[str, Mapping[str, Described]] = {
    "/static/{path}": _static("static"),
    "/static/archive/{path}": _static("static_archive"),
    "/archive/{archive}/{path}": _file(
        "archive",
        "archive",
        ("Fetch a file of an APT archive", "Describe a file of an APT archive"),
        *_PUBLISHED,
    ),
}
