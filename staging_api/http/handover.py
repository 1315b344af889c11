"""Let another program send a file's bytes: the proxy in front of us, or the object store.

We still find the file, say who may have it and answer its conditions. But whoever sends the bytes
knows versions and times of its own, and sees the client's headers: a condition that it would judge
by those is never handed over (`may_be_sent_elsewhere`).
"""

from collections.abc import Callable

import falcon

from staging_api.artifacts.store import BlobStore, key_of
from staging_api.http.conditions import Range

#: Makes an answer of the digest of a blob; False: the bytes must go through us after all.
HandOver = Callable[[falcon.Response, str], bool]

_JUDGED_ELSEWHERE = ("If-Match", "If-Unmodified-Since", "If-Modified-Since")


def may_be_sent_elsewhere(req: falcon.Request, part: Range) -> bool:
    """Whether another program would send the same bytes to this request as we do."""
    if any(req.get_header(name) is not None for name in _JUDGED_ELSEWHERE):
        return False
    # An If-Range that does not hold asks for the whole file: an object store would not look at it,
    # and send the range of another version than the one that the client has begun.
    refused = req.get_header("Range") is not None and not part.partial
    return not (refused and req.get_header("If-Range") is not None)


def by_proxy(prefix: str) -> HandOver:
    """Have nginx send the file, from its internal location `prefix` over the store's folder."""

    def hand_over(resp: falcon.Response, sha256: str) -> bool:
        resp.set_header("X-Accel-Redirect", prefix + key_of(sha256))
        return True

    return hand_over


def by_link(blobs: BlobStore) -> HandOver:
    """Send the client to the object store, by a URL that holds for some minutes."""

    def hand_over(resp: falcon.Response, sha256: str) -> bool:
        link = blobs.link(sha256)
        if link is None:
            return False
        resp.status = falcon.HTTP_302
        resp.location = link
        # Neither the link nor where it leads may be kept longer than the link holds.
        resp.set_header("Cache-Control", "no-store")
        return True

    return hand_over
