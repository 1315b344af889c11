"""``api/fileinfo``: size and digest of a staged file, read from its row."""

import base64

import falcon

from staging_api.errors import NotFound
from staging_api.http.resources.devserver.answers import not_there
from staging_api.http.resources.devserver.help import DevserverResource


class FileInfo(DevserverResource):
    """Size and sha256 (base64) of the staged file at static/PATH, as JSON.

    There is no sha1: this path computes no digest, and the staging verified the sha256 only.
    """

    usage = "api/fileinfo/PATH"

    def on_get(self, _req: falcon.Request, resp: falcon.Response, path: str) -> None:
        """Show the file's size and digest."""
        try:
            found = self.services.files.find(path)
        except NotFound as error:
            not_there(resp, error.detail)
            return
        digest = base64.b64encode(bytes.fromhex(found.sha256)).decode()
        resp.media = {"size": found.size_bytes, "sha256": digest}
