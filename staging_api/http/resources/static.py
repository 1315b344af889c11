"""``/static``: the files of staged artifacts, by what the tables say is there."""

import falcon

from staging_api import metrics
from staging_api.db.engine import Database
from staging_api.errors import NotFound
from staging_api.http.auth import client_of
from staging_api.http.handover import Sender
from staging_api.http.resources.folders import show_folder
from staging_api.http.resources.growing import follow, is_asked_for
from staging_api.http.sending import Sendable, describe
from staging_api.staging import repository
from staging_api.staging.accesses import Accesses
from staging_api.staging.growing import Growing
from staging_api.staging.model import ServedFile


class StaticFiles:
    """Serves a path if, and only as long as, a staged artifact has it."""

    def __init__(
        self,
        database: Database,
        sender: Sender,
        accesses: Accesses,
        growing: Growing,
        wait_cap_seconds: float,
    ) -> None:
        """Find files in `database`, have their bytes sent by `sender`."""
        self._database = database
        self._sender = sender
        self._accesses = accesses
        self._growing = growing
        self._wait_cap_seconds = wait_cap_seconds

    def on_get(self, req: falcon.Request, resp: falcon.Response, path: str) -> None:
        """Send the file, or the part of it that was asked for; a folder is listed."""
        if path.endswith("/"):
            show_folder(req, resp, self._database, path)
            return
        if is_asked_for(req) and self._found(path) is None:
            followed = self._growing.begin(path, self._wait_cap_seconds, client_of(req))
            if followed is not None:
                follow(req, resp, followed, self._accesses)
                return
        served = self._find(path)
        part = describe(req, resp, _sendable(served))
        if part is not None:
            if served.hand_out_due and not self._accesses.hand_out(served.artifact_id):
                raise NotFound(f"what was staged at {path} has just been evicted")
            self._sender.send(req, resp, served.sha256, served.size_bytes, part)
            self._accesses.note(served.artifact_id, req.context.caller, part.length)
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
        served = self._found(path)
        if served is None:
            raise NotFound(f"nothing is staged at {path}")
        return served

    def _found(self, path: str) -> ServedFile | None:
        with self._database.connect() as conn:
            return repository.served_file(conn, path)


def _sendable(served: ServedFile) -> Sendable:
    return Sendable(served.path, served.sha256, served.size_bytes, served.staged_at)
