"""``/static``: the files of staged artifacts, by what the tables say is there."""

import base64
from collections.abc import Callable
from datetime import UTC, datetime
from email.utils import format_datetime
from typing import BinaryIO

import falcon

from staging_api import metrics
from staging_api.db.engine import Database
from staging_api.errors import NotFound
from staging_api.http.conditions import Range, must_send, ranged
from staging_api.http.resources.folders import show_folder
from staging_api.http.resources.growing import describe_content, follow, is_asked_for
from staging_api.staging import repository
from staging_api.staging.accesses import Accesses
from staging_api.staging.growing import Growing
from staging_api.staging.model import ServedFile


class StaticFiles:
    """Serves a path if, and only as long as, a staged artifact has it."""

    def __init__(
        self,
        database: Database,
        open_blob: Callable[[str], BinaryIO],
        accesses: Accesses,
        growing: Growing,
        wait_cap_seconds: float,
    ) -> None:
        """Find files in `database`, their bytes with `open_blob`."""
        self._database = database
        self._open_blob = open_blob
        self._accesses = accesses
        self._growing = growing
        self._wait_cap_seconds = wait_cap_seconds

    def on_get(self, req: falcon.Request, resp: falcon.Response, path: str) -> None:
        """Send the file, or the part of it that was asked for; a folder is listed."""
        if path.endswith("/"):
            show_folder(req, resp, self._database, path)
            return
        if is_asked_for(req) and self._found(path) is None:
            followed = self._growing.begin(path, self._wait_cap_seconds)
            if followed is not None:
                follow(req, resp, followed, self._accesses)
                return
        served = self._find(path)
        part = _describe(req, resp, served)
        if part is not None:
            stream = self._open_blob(served.sha256)
            # The server sends from the file's position by sendfile, without reading it here.
            stream.seek(part.start)
            self._accesses.note(served.artifact_id, req.context.caller, part.length)
            resp.set_stream(stream, part.length)
            metrics.SERVED_BYTES.inc(part.length)

    def on_head(self, req: falcon.Request, resp: falcon.Response, path: str) -> None:
        """Send what GET would, less the bytes."""
        if path.endswith("/"):
            show_folder(req, resp, self._database, path)
            return
        part = _describe(req, resp, self._find(path))
        if part is not None:
            resp.content_length = part.length

    def _find(self, path: str) -> ServedFile:
        served = self._found(path)
        if served is None:
            raise NotFound(f"nothing is staged at {path}")
        return served

    def _found(self, path: str) -> ServedFile | None:
        with self._database.connect() as conn:
            return repository.served_file(conn, path)


def _describe(req: falcon.Request, resp: falcon.Response, served: ServedFile) -> Range | None:
    """Set status and headers; None: there is no body to send."""
    etag = f'"{served.sha256}"'
    # HTTP dates have whole seconds; the database's have more, and would never compare equal.
    modified = served.staged_at.astimezone(UTC).replace(microsecond=0)
    describe_content(resp, served.path)
    _set_headers(resp, served, etag, modified)
    if not must_send(req, resp, etag, modified):
        return None
    part = ranged(req, etag, modified, served.size_bytes)
    if part is None:
        resp.status = falcon.HTTP_416
        resp.set_header("Content-Range", f"bytes */{served.size_bytes}")
        return None
    if part.partial:
        resp.status = falcon.HTTP_206
        last = part.start + part.length - 1
        resp.set_header("Content-Range", f"bytes {part.start}-{last}/{served.size_bytes}")
    return part


def _set_headers(resp: falcon.Response, served: ServedFile, etag: str, modified: datetime) -> None:
    digest = base64.b64encode(bytes.fromhex(served.sha256)).decode()
    resp.set_header("ETag", etag)
    resp.set_header("Last-Modified", format_datetime(modified, usegmt=True))
    resp.set_header("Accept-Ranges", "bytes")
    resp.set_header("Cache-Control", "no-cache")
    resp.set_header("Repr-Digest", f"sha-256=:{digest}:")
