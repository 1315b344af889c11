"""``/static``: the files of staged artifacts, found in the tables."""

import falcon

from staging_api import metrics
from staging_api.http.auth import client_of
from staging_api.http.dependencies import Resource
from staging_api.http.resources import packed_folders
from staging_api.http.resources.folders import show_folder
from staging_api.http.resources.growing import follow, is_asked_for
from staging_api.http.sending import SendableFile, describe
from staging_api.staging.model import ServedFile


class StaticFiles(Resource):
    """Files of staged artifacts: a path is served only while a staged artifact has it."""

    def on_get(self, req: falcon.Request, resp: falcon.Response, path: str) -> None:
        """Send the file, or the range of the request; a folder is listed or packed."""
        if path.endswith("/"):
            self._show(req, resp, path)
            return
        if is_asked_for(req):
            followed = self.deps.files.follow(path, self.wait_cap_seconds, client_of(req))
            if followed is not None:
                follow(req, resp, followed, self.deps.files.accesses)
                return
        served = self.deps.files.find(path)
        part = describe(req, resp, _sendable(served))
        if part is not None:
            # Before the bytes are opened: from then on, no eviction for space removes the file for
            # some minutes.
            self.deps.files.hand_out(served)
            self.deps.sender.send(req, resp, served.place, part, served.sha256)
            # After `send`, which raises if the bytes are missing: such a read is not counted.
            self.deps.files.accesses.note(served.artifact_id, req.context.caller, part.length)
            metrics.SERVED_BYTES.inc(part.length)

    def on_head(self, req: falcon.Request, resp: falcon.Response, path: str) -> None:
        """Send the headers of GET, without the bytes."""
        if path.endswith("/"):
            self._show(req, resp, path)
            return
        part = describe(req, resp, _sendable(self.deps.files.find(path)))
        if part is not None:
            resp.content_length = part.length

    def _show(self, req: falcon.Request, resp: falcon.Response, folder: str) -> None:
        if packed_folders.is_asked_for(req):
            packed_folders.send_folder(req, resp, self.deps.files, self.deps.sender, folder)
        else:
            show_folder(req, resp, self.deps.files, folder, self.deps.folder_page)


class StaticOfArchive(StaticFiles):
    """The same files below ``static/archive``, the devserver's second path for builds in 2012."""

    def on_get(self, req: falcon.Request, resp: falcon.Response, path: str) -> None:
        """Send the file of an archive with this name, or else the file at the shorter path."""
        super().on_get(req, resp, self._existing_path(path))

    def on_head(self, req: falcon.Request, resp: falcon.Response, path: str) -> None:
        """Send the headers of GET, without the bytes."""
        super().on_head(req, resp, self._existing_path(path))

    def _existing_path(self, path: str) -> str:
        return f"archive/{path}" if self.deps.files.has(f"archive/{path}") else path


def _sendable(served: ServedFile) -> SendableFile:
    return SendableFile(served.path, served.sha256, served.size_bytes, served.staged_at)
