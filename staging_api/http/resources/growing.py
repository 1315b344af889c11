"""``/static/...?follow=true``: a file that is still being staged, as it grows."""

import errno
import logging
from collections.abc import Iterator

import falcon

from staging_api import metrics
from staging_api.errors import Invalid, StagingApiError
from staging_api.http.sending import describe_content
from staging_api.staging.accesses import Accesses
from staging_api.staging.partial_files import FollowedFile

log = logging.getLogger(__name__)


def is_asked_for(req: falcon.Request) -> bool:
    """Whether the caller takes a file that is not staged yet."""
    return bool(req.get_param_as_bool("follow"))


def follow(
    req: falcon.Request, resp: falcon.Response, followed: FollowedFile, accesses: Accesses
) -> None:
    """Send the file as it comes: from its front, and without a version until it is verified.

    Raises:
        Invalid: an HTTP/1.0 client could not distinguish the end from a broken connection.
    """
    if followed.size_bytes is None and req.env.get("SERVER_PROTOCOL") == "HTTP/1.0":
        followed.close()
        raise Invalid.field("follow", "needs HTTP/1.1: the length of this file is not known yet")
    describe_content(resp, req.path)
    resp.set_header("Accept-Ranges", "none")
    resp.set_header("X-Staging-Id", followed.staging_id)
    # A proxy in front that buffers would withhold the bytes from the reader.
    resp.set_header("X-Accel-Buffering", "no")
    resp.content_length = followed.size_bytes
    resp.stream = _Sent(followed, accesses, req.context.caller)


class _Sent:
    """The body: closed by the server, whether it was sent, broken off or never begun."""

    def __init__(self, followed: FollowedFile, accesses: Accesses, caller: str) -> None:
        self._followed = followed
        self._accesses = accesses
        self._caller = caller
        self._sent = 0

    def __iter__(self) -> Iterator[bytes]:
        try:
            for chunk in self._followed:
                self._sent += len(chunk)
                yield chunk
        except StagingApiError as error:
            log.warning("a reader was cut off: %s", error.detail)
            # The status is sent. Only the end of the connection can say that this is not all, and
            # the server ends it without another word when it has been lost.
            raise ConnectionResetError(errno.ECONNRESET, error.detail) from None

    def close(self) -> None:
        self._followed.close()
        self._accesses.note(self._followed.artifact_id, self._caller, self._sent)
        metrics.SERVED_BYTES.inc(self._sent)
