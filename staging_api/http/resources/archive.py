"""``/archive``: published archives as apt reads them, from any pod.

``/archive/<name>/...`` serves the live generation; ``/archive/<name>@<generation>/...`` serves
another generation for as long as it is kept.
"""

from collections.abc import Iterator

import falcon

from staging_api.errors import NotFound
from staging_api.http.conditions import Range
from staging_api.http.dependencies import Resource
from staging_api.http.sending import SendableFile, describe
from staging_api.publishing.index_model import ServedArchiveFile
from staging_api.store.places import whole


class ArchiveFiles(Resource):
    """Files of dists, by-hash and pool, served according to the tables."""

    def on_get(self, req: falcon.Request, resp: falcon.Response, archive: str, path: str) -> None:
        """Send the file, or the range of the request."""
        served = self._find(archive, path)
        part = describe(req, resp, _sendable(served))
        if part is not None:
            self._send(req, resp, served, part)

    def on_head(self, req: falcon.Request, resp: falcon.Response, archive: str, path: str) -> None:
        """Send the headers of GET, without the bytes."""
        part = describe(req, resp, _sendable(self._find(archive, path)))
        if part is not None:
            resp.content_length = part.length

    def _find(self, archive: str, path: str) -> ServedArchiveFile:
        # The name of an archive has no @ (`rules.ARCHIVE_NAME`).
        name, _, generation = archive.partition("@")
        served = self.deps.snapshots.served_at(name, generation or None, path)
        if served is None:
            raise NotFound(f"the archive {archive} has nothing at {path}")
        return served

    def _send(
        self, req: falcon.Request, resp: falcon.Response, served: ServedArchiveFile, part: Range
    ) -> None:
        if served.content is not None:
            resp.data = served.content[part.start : part.start + part.length]
        elif served.blocks is not None:
            chunks = self.deps.blocks.file(served.blocks, served.form)
            resp.stream = _cut(chunks, part.start, part.length)
            resp.content_length = part.length
        else:
            place = whole(served.sha256, served.size_bytes)
            self.deps.sender.send(req, resp, place, part, served.sha256)


def _sendable(served: ServedArchiveFile) -> SendableFile:
    return SendableFile(
        served.name, served.sha256, served.size_bytes, served.modified_at, served.lasting
    )


def _cut(chunks: Iterator[bytes], start: int, length: int) -> Iterator[bytes]:
    """Yield `length` bytes of the concatenated chunks, beginning at `start`."""
    for chunk in chunks:
        piece = chunk[start : start + length]
        start = max(0, start - len(chunk))
        length -= len(piece)
        if piece:
            yield piece
        if not length:
            return
