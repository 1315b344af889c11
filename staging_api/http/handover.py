"""Send the bytes of a blob to a client: from here, or by a server that needs no help of ours.

That is the proxy in front of us (nginx, by X-Accel-Redirect), or the object store (by a link). We
still find the file, say who may have it and answer its conditions. But the sender of the bytes has
versions and times of its own, and sees the client's headers: a condition that it would judge by
those is never handed over.
"""

from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager
from dataclasses import dataclass
from functools import cached_property

import falcon

from staging_api.errors import StagingApiError
from staging_api.http.conditions import Range
from staging_api.store.blob_store import BlobStore
from staging_api.store.blobs import key_of
from staging_api.store.kept_contents import KeptContents
from staging_api.store.places import Place

# As WSGI names them.
_JUDGED_ELSEWHERE = frozenset(
    {"HTTP_IF_MATCH", "HTTP_IF_UNMODIFIED_SINCE", "HTTP_IF_MODIFIED_SINCE"}
)
# The ETag stays: it names the file of the link.
_OF_THE_FILE = ("Accept-Ranges", "Content-Range", "Content-Type", "Last-Modified", "Repr-Digest")
#: Up to here the bytes are read: to hand a file to the kernel costs more than to copy so few.
_SMALL_BYTES = 64 << 10


@dataclass(frozen=True)
class Sender:
    """Sends blobs.

    Attributes:
        blobs: where they are.
        noticed: round each look for a blob, by digest and length: notices that it is lost.
        accel_prefix: the internal location of nginx over the store's folder; empty: there is none.
    """

    blobs: BlobStore
    noticed: Callable[[str, int], AbstractContextManager[None]]
    accel_prefix: str = ""

    def send(
        self,
        req: falcon.Request,
        resp: falcon.Response,
        place: Place,
        part: Range,
        file_sha256: str,
    ) -> None:
        """Make `part` of a file the body of an answer that describes it already.

        Args:
            file_sha256: of the file, which may be in a pack.

        Raises:
            NotFound: the blob is not there, or not whole.
            StoreFailed: the store cannot say.
        """
        sha256, size_bytes = place.sha256, place.blob_bytes
        with _undescribed(resp), self.noticed(sha256, size_bytes):
            # Another sender sends the whole blob, or the range of the client's own header.
            if not place.packed and _may_be_sent_elsewhere(req, part):
                if (link := self.blobs.link(sha256, size_bytes)) is not None:
                    _send_to(resp, link)
                    return
                if self.accel_prefix and self.blobs.has(sha256, size_bytes):
                    _leave_to_proxy(resp, self.accel_prefix + key_of(sha256))
                    return
            if part.length <= _SMALL_BYTES:
                resp.data = self._contents.read(place, file_sha256, part.start, part.length)
                return
            stream = self.blobs.open(sha256, size_bytes)
        # A server with sendfile sends from the file's position, without reading it here.
        stream.seek(place.offset + part.start)
        resp.set_stream(stream, part.length)

    @cached_property
    def _contents(self) -> KeptContents:
        return KeptContents(self.blobs)


@contextmanager
def _undescribed(resp: falcon.Response) -> Iterator[None]:
    """Take back what the answer says of the file if it cannot be sent."""
    try:
        yield
    except StagingApiError:
        for name in ("ETag", "Cache-Control", *_OF_THE_FILE):
            resp.delete_header(name)
        raise


def _may_be_sent_elsewhere(req: falcon.Request, part: Range) -> bool:
    if not req.env.keys().isdisjoint(_JUDGED_ELSEWHERE):
        return False
    # An If-Range that does not hold asks for the whole file: an object store would not look at it,
    # and send the range of another version than the one that the client has begun.
    refused = "HTTP_RANGE" in req.env and not part.partial
    return not (refused and "HTTP_IF_RANGE" in req.env)


def _send_to(resp: falcon.Response, link: str) -> None:
    resp.status = falcon.HTTP_302
    resp.location = link
    for name in _OF_THE_FILE:
        resp.delete_header(name)
    # The link holds for minutes, and only callers who may read the file get it.
    resp.set_header("Cache-Control", "no-store")


def _leave_to_proxy(resp: falcon.Response, location: str) -> None:
    # It cuts the range itself, out of an answer that has all of the file.
    resp.status = falcon.HTTP_200
    resp.delete_header("Content-Range")
    # And says itself that it can.
    resp.delete_header("Accept-Ranges")
    resp.set_header("X-Accel-Redirect", location)
