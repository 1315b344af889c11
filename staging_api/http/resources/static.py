"""``/static``: the files of staged artifacts, by what the tables say is there."""

import falcon

from staging_api import metrics
from staging_api.http.auth import client_of
from staging_api.http.dependencies import FolderPage
from staging_api.http.handover import Sender
from staging_api.http.resources import packed_folders
from staging_api.http.resources.folders import show_folder
from staging_api.http.resources.growing import follow, is_asked_for
from staging_api.http.sending import SendableFile, describe
from staging_api.staging.files import StagedFiles
from staging_api.staging.model import ServedFile


class StaticFiles:
    """Serves a path if, and only as long as, a staged artifact has it."""

    def __init__(
        self,
        files: StagedFiles,
        sender: Sender,
        wait_cap_seconds: float,
        folder_page: FolderPage | None = None,
    ) -> None:
        """Find `files`, have their bytes sent by `sender`, show folders to browsers by a page."""
        self._files = files
        self._sender = sender
        self._wait_cap_seconds = wait_cap_seconds
        self._folder_page = folder_page

    def on_get(self, req: falcon.Request, resp: falcon.Response, path: str) -> None:
        """Send the file, or the range of the request; a folder is listed or packed."""
        if path.endswith("/"):
            self._show(req, resp, path)
            return
        if is_asked_for(req):
            followed = self._files.follow(path, self._wait_cap_seconds, client_of(req))
            if followed is not None:
                follow(req, resp, followed, self._files.accesses)
                return
        served = self._files.find(path)
        part = describe(req, resp, _sendable(served))
        if part is not None:
            # Before the bytes are opened: after it, no eviction for space takes the file away for
            # minutes.
            self._files.hand_out(served)
            self._sender.send(req, resp, served.place, part, served.sha256)
            # After `send`, which raises if the bytes are not there: such a read is not counted.
            self._files.accesses.note(served.artifact_id, req.context.caller, part.length)
            metrics.SERVED_BYTES.inc(part.length)

    def on_head(self, req: falcon.Request, resp: falcon.Response, path: str) -> None:
        """Send what GET would, less the bytes."""
        if path.endswith("/"):
            self._show(req, resp, path)
            return
        part = describe(req, resp, _sendable(self._files.find(path)))
        if part is not None:
            resp.content_length = part.length

    def first_there(self, path: str, other: str) -> str:
        """Return the first of two paths if something is staged there, else the other."""
        return path if self._files.has(path) else other

    def _show(self, req: falcon.Request, resp: falcon.Response, folder: str) -> None:
        if packed_folders.is_asked_for(req):
            packed_folders.send_folder(req, resp, self._files, self._sender, folder)
        else:
            show_folder(req, resp, self._files, folder, self._folder_page)


class StaticOfArchive:
    """The same below ``static/archive``, where the devserver of 2012 had builds as well."""

    def __init__(self, static: StaticFiles) -> None:
        self._static = static

    def on_get(self, req: falcon.Request, resp: falcon.Response, path: str) -> None:
        """Send what an archive of this name has there, or else what is there without it."""
        self._static.on_get(req, resp, self._static.first_there(f"archive/{path}", path))

    def on_head(self, req: falcon.Request, resp: falcon.Response, path: str) -> None:
        """Send what GET would, less the bytes."""
        self._static.on_head(req, resp, self._static.first_there(f"archive/{path}", path))


def _sendable(served: ServedFile) -> SendableFile:
    return SendableFile(served.path, served.sha256, served.size_bytes, served.staged_at)
