"""Send the bytes of a blob to a client: from this process, or by another server.

The other server is the proxy in front of us (nginx, by X-Accel-Redirect), or the object store (by a
link). This process still finds the file, checks permissions and evaluates the preconditions. But
the other server has versions and times of its own, and sees the client's headers: a request with a
condition that it would judge by those is never handed over.
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

# Names of headers in WSGI.
_JUDGED_ELSEWHERE = frozenset(
    {"HTTP_IF_MATCH", "HTTP_IF_UNMODIFIED_SINCE", "HTTP_IF_MODIFIED_SINCE"}
)
# The ETag stays: it names the file that the link leads to.
_OF_THE_FILE = ("Accept-Ranges", "Content-Range", "Content-Type", "Last-Modified", "Repr-Digest")
#: Up to this size the bytes are read: passing a file to the kernel costs more than copying them.
_SMALL_BYTES = 64 << 10


@dataclass(frozen=True)
class Sender:
    """Sender of blobs.

    Attributes:
        blobs: the blob store.
        noticed: context manager around each lookup of a blob, by digest and length; records a lost
            blob.
        accel_prefix: nginx's internal location of the store's folder; empty: none.
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
        """Make `part` of a file the body of a response whose headers describe the file already.

        Args:
            file_sha256: digest of the file, which may be in a pack.

        Raises:
            NotFound: the blob is missing or truncated.
            StoreFailed: the store does not answer.
        """
        sha256, size_bytes = place.sha256, place.blob_bytes
        with _undescribed(resp), self.noticed(sha256, size_bytes):
            # The other server sends the whole blob, or the range in the client's own header.
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
        # A server with sendfile sends from the file's position, without reading it in this process.
        stream.seek(place.offset + part.start)
        resp.set_stream(stream, part.length)

    @cached_property
    def _contents(self) -> KeptContents:
        return KeptContents(self.blobs)


@contextmanager
def _undescribed(resp: falcon.Response) -> Iterator[None]:
    """Remove the headers that describe the file if it cannot be sent."""
    try:
        yield
    except StagingApiError:
        for name in ("ETag", "Cache-Control", *_OF_THE_FILE):
            resp.delete_header(name)
        raise


def _may_be_sent_elsewhere(req: falcon.Request, part: Range) -> bool:
    if not req.env.keys().isdisjoint(_JUDGED_ELSEWHERE):
        return False
    # An If-Range that does not match requests the whole file. An object store would ignore it, and
    # send the range of another version than the one that the client has begun.
    refused = "HTTP_RANGE" in req.env and not part.partial
    return not (refused and "HTTP_IF_RANGE" in req.env)


def _send_to(resp: falcon.Response, link: str) -> None:
    resp.status = falcon.HTTP_302
    resp.location = link
    for name in _OF_THE_FILE:
        resp.delete_header(name)
    # The link is valid for minutes, and only callers who may read the file get it.
    resp.set_header("Cache-Control", "no-store")


def _leave_to_proxy(resp: falcon.Response, location: str) -> None:
    # nginx cuts the range itself, out of a response with the whole file.
    resp.status = falcon.HTTP_200
    resp.delete_header("Content-Range")
    # nginx announces ranges itself.
    resp.delete_header("Accept-Ranges")
    resp.set_header("X-Accel-Redirect", location)
