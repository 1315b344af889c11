"""``/static``: the files of staged artifacts, by what the tables say is there."""

from collections.abc import Callable
from typing import BinaryIO

import falcon

from staging_api import metrics
from staging_api.db.engine import Database
from staging_api.errors import NotFound
from staging_api.http.resources.folders import show_folder
from staging_api.http.sending import Sendable, describe
from staging_api.staging import repository
from staging_api.staging.accesses import Accesses
from staging_api.staging.model import ServedFile


class StaticFiles:
    """Serves a path if, and only as long as, a staged artifact has it."""

    def __init__(
        self, database: Database, open_blob: Callable[[str], BinaryIO], accesses: Accesses
    ) -> None:
        """Find files in `database`, their bytes with `open_blob`."""
        self._database = database
        self._open_blob = open_blob
        self._accesses = accesses

    def on_get(self, req: falcon.Request, resp: falcon.Response, path: str) -> None:
        """Send the file, or the part of it that was asked for; a folder is listed."""
        if path.endswith("/"):
            show_folder(req, resp, self._database, path)
            return
        served = self._find(path)
        part = describe(req, resp, _sendable(served))
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
        part = describe(req, resp, _sendable(self._find(path)))
        if part is not None:
            resp.content_length = part.length

    def _find(self, path: str) -> ServedFile:
        with self._database.connect() as conn:
            served = repository.served_file(conn, path)
        if served is None:
            raise NotFound(f"nothing is staged at {path}")
        return served


def _sendable(served: ServedFile) -> Sendable:
    return Sendable(served.path, served.sha256, served.size_bytes, served.staged_at)
