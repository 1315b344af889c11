"""``/configdocs``: compare versions, read and post collections of documents."""

from collections.abc import Callable
from dataclasses import asdict, replace

import falcon

from staging_api.documents.buffering import buffer_mode
from staging_api.documents.reader import version_named
from staging_api.documents.refusals import BufferConflict, RequestInvalid
from staging_api.documents.service import CollectionPost
from staging_api.documents.showing import posted_text
from staging_api.documents.stored import ContentRef
from staging_api.documents.text import load_documents
from staging_api.errors import LimitExceeded
from staging_api.http.api_lock import api_lock, hold_of
from staging_api.http.conditions import not_modified
from staging_api.http.dependencies import Resource
from staging_api.http.idempotency import answers_once
from staging_api.http.resources.configdocs.answers import (
    YAML,
    author,
    confirm_until,
    matches,
    validation_result,
    wants_secrets,
)
from staging_api.locks.model import CONFIGDOCS_UPDATE, GLOBAL, LockKind

PATH = "/api/v1.0/configdocs"
# As wide as Shipyard's column, where a longer name was an error of the database.
_MAX_NAME_LENGTH = 36
# Clients and proxies remove these segments from a path, so no request could name such a collection.
_NO_NAMES = frozenset({".", ".."})
# Bytes of a path that are not UTF-8 are decoded to the second.
_NO_CHARACTERS = frozenset("/\ufffd")
_CHUNK_BYTES = 1 << 20


class ConfigdocsStatus(Resource):
    """All collections."""

    answers_head = True
    list_parameters = frozenset({"version", "versions"})

    def on_get(self, req: falcon.Request, resp: falcon.Response) -> None:
        """Compare two versions, collection by collection."""
        names = req.get_param_as_list("versions") or req.get_param_as_list("version") or []
        versions = [part for name in names for part in name.split(",") if part]
        found = self.deps.documents.reader.compare(versions)
        if not not_modified(req, resp, found.etag):
            waiting = found.unconfirmed
            until = confirm_until(None if waiting is None else waiting.confirm_until)
            resp.media = [asdict(each) | until for each in found.collections]


def the_collection(self: "Configdocs", req: falcon.Request, _kind: LockKind) -> str:
    """Return the only scope of documents, after validating the request."""
    collection = req.path.removeprefix(f"{PATH}/")
    if not collection:
        raise falcon.HTTPRouteNotFound
    _check_name(collection)
    mode = buffer_mode(req.get_param("buffermode"))
    req.context.author = author(req)
    if _empties(req):
        req.context.post = CollectionPost(collection, mode=mode, unless=_unless(req))
        return GLOBAL
    text = self.sent_body(req)
    if not text:
        raise _no_content("Content Length is 0 or not specified")
    documents = load_documents(text, collection=collection)
    if not documents:
        raise _no_content("the body has no document")
    req.context.post = CollectionPost(collection, text, documents, mode, _unless(req))
    return GLOBAL


class Configdocs(Resource):
    """One collection."""

    answers_head = True

    takes_files = True  # this limit is applied while the body is read

    def sent_body(self, req: falcon.Request) -> bytes:
        """Read the documents, once; a request that empties its collection has none.

        Raises:
            LimitExceeded: the documents are too long.
        """
        if not hasattr(req.context, "body"):
            req.context.body = (
                b"" if _empties(req) else _read_body(req, self.deps.documents_max_bytes)
            )
        body: bytes = req.context.body
        return body

    @answers_once
    @api_lock(CONFIGDOCS_UPDATE, scope=the_collection)
    def on_post(self, req: falcon.Request, resp: falcon.Response, collection: str) -> None:
        """Put a collection into the buffer."""
        lock = hold_of(req, CONFIGDOCS_UPDATE)
        done = self.deps.documents.post(req.context.post, replace(req.context.author, held=lock))
        resp.status = falcon.HTTP_201
        resp.location = f"{PATH}/{falcon.uri.encode_value(collection)}"
        resp.set_header("ETag", done.etag)
        resp.media = validation_result(done, falcon.HTTP_201)

    def on_get(self, req: falcon.Request, resp: falcon.Response, collection: str) -> None:
        """Return a collection as it was posted."""
        version = version_named(req.get_param("version"))
        secrets = wants_secrets(req)
        reader = self.deps.documents.reader
        content = reader.content(version, collection)
        if content is None:
            resp.content_type, resp.data = YAML, b""
            return
        text, documents = reader.posted(collection, content)
        hidden = not secrets and any(each.encrypted for each in documents)
        if hidden:
            resp.set_header("X-Redacted", "true")
        if not not_modified(req, resp, _etag(content, hidden=hidden)):
            resp.content_type = YAML
            resp.data = posted_text(documents) if hidden else text


def _etag(content: ContentRef, *, hidden: bool) -> str:
    return f'"{content.digest[:32]}{"-redacted" if hidden else ""}"'


def _unless(req: falcon.Request) -> Callable[[ContentRef | None], None]:
    """Return a check that refuses if the caller edited another content than the current one."""

    def unless(content: ContentRef | None) -> None:
        etags = (
            [] if content is None else [_etag(content, hidden=hidden) for hidden in (True, False)]
        )
        if not matches(req, etags):
            raise BufferConflict(
                "The collection has moved",
                "the collection is not the one in If-Match: get it and edit it again",
            )
        if req.get_header("If-None-Match") == "*" and content is not None:
            raise BufferConflict(
                "The collection exists", "If-None-Match: * asks for a new collection"
            )

    return unless


def _check_name(collection: str) -> None:
    if not (
        1 <= len(collection) <= _MAX_NAME_LENGTH
        and collection.isprintable()
        and collection == collection.strip()
        and collection not in _NO_NAMES
        and not set(collection) & _NO_CHARACTERS
    ):
        raise RequestInvalid(
            "Invalid collection name",
            f"a collection is named by 1 to {_MAX_NAME_LENGTH} printable characters in UTF-8,"
            " without a slash, and not . or ..",
        )


def _empties(req: falcon.Request) -> bool:
    return req.get_param_as_bool("empty-collection") or False


def _read_body(req: falcon.Request, most: int) -> bytes:
    if (req.get_header("Content-Encoding") or "identity").lower() != "identity":
        raise falcon.HTTPUnsupportedMediaType(description="documents are sent without an encoding")
    if req.content_length and req.content_length > most:
        raise _too_long(most)
    chunked = "chunked" in (req.get_header("Transfer-Encoding") or "").lower()
    # Only the server knows where a chunked body ends.
    stream = req.stream if chunked else req.bounded_stream
    body = bytearray()
    while chunk := stream.read(_CHUNK_BYTES):
        body += chunk
        if len(body) > most:
            raise _too_long(most)
    return bytes(body)


def _no_content(reason: str) -> RequestInvalid:
    return RequestInvalid(
        "Content-Length is a required header",
        reason,
        [
            {
                "message": "The Content-Length specified is 0 or not set. To clear a collection's"
                " contents, specify the query parameter 'empty-collection=true'; to post one,"
                " send its documents",
                "error": True,
            }
        ],
    )


def _too_long(most: int) -> LimitExceeded:
    return LimitExceeded(f"a collection may have at most {most} bytes")
