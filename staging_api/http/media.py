"""Accepted request content types: JSON, and file uploads on the upload routes."""

import json
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any, Protocol

import falcon
from falcon.media import Handlers, JSONHandler, MultipartFormHandler

from staging_api.errors import Invalid

_CHUNK_BYTES = 1 << 20
# One more than the files of an upload (`intake.MAX_FILES`), so that the intake refuses too many.
_MAX_PARTS = 10_001


@dataclass(frozen=True)
class FormPart:
    """A part of a form; read its bytes before you iterate to the next part."""

    name: str
    file_name: str
    chunks: Iterator[bytes]


def accept_only_json(app: falcon.App[Any, Any]) -> None:
    """Answer 415 to every other kind of body, unless a responder reads it by `form` or `raw`.

    Falcon reads HTML forms as well, and a page of another site can make a browser send a form here
    without its user's consent.
    """
    app.req_options.media_handlers = Handlers({falcon.MEDIA_JSON: JSONHandler(loads=_loads)})


def form(req: falcon.Request) -> Iterator[FormPart]:
    """Yield the parts of ``multipart/form-data``.

    Raises:
        Invalid: the body is not a well-formed form, or has no Content-Length.
    """
    _check(req)
    handler = MultipartFormHandler()
    handler.parse_options.max_body_part_count = _MAX_PARTS
    try:
        parts = handler.deserialize(req.bounded_stream, req.content_type, req.content_length)
        for part in parts:
            yield FormPart(part.name or "", part.filename or "", _chunks(part.stream))
    except falcon.MediaMalformedError:
        raise Invalid.field("body", "the multipart form is malformed") from None


def raw(req: falcon.Request) -> Iterator[bytes]:
    """Yield the chunks of a body that is one file.

    Raises:
        Invalid: the request has no Content-Length.
    """
    _check(req)
    return _chunks(req.bounded_stream)


def media_type(req: falcon.Request) -> str:
    """Return the body's media type without parameters, in lower case."""
    return (req.content_type or "").partition(";")[0].strip().lower()


class _Readable(Protocol):
    def read(self, size: int, /) -> bytes: ...


def _check(req: falcon.Request) -> None:
    # The server reads a body up to its Content-Length: without the header, nothing.
    if req.content_length is None:
        raise Invalid.field("Content-Length", "must be sent with the body")


def _chunks(stream: _Readable) -> Iterator[bytes]:
    while chunk := stream.read(_CHUNK_BYTES):
        yield chunk


def _loads(text: str) -> Any:
    try:
        return json.loads(text)
    except RecursionError:
        raise ValueError("it is nested too deeply") from None
