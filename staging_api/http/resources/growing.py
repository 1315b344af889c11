"""``/static/...?follow=true``: a file that grows while it is being staged."""

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
    """Return whether the caller accepts a file that is not staged yet."""
    return bool(req.get_param_as_bool("follow"))


def follow(
    req: falcon.Request, resp: falcon.Response, followed: FollowedFile, accesses: Accesses
) -> None:
    """Send the file during its download: from the first byte, and without an ETag until verified.

    Raises:
        Invalid: an HTTP/1.0 client could not distinguish the end from a broken connection.
    """
    if followed.size_bytes is None and req.env.get("SERVER_PROTOCOL") == "HTTP/1.0":
        followed.close()
        raise Invalid.field("follow", "needs HTTP/1.1: the length of this file is not known yet")
    describe_content(resp, req.path)
    resp.set_header("Accept-Ranges", "none")
    resp.set_header("X-Staging-Id", followed.staging_id)
    # A buffering proxy in front would withhold the bytes from the reader.
    resp.set_header("X-Accel-Buffering", "no")
    resp.content_length = followed.size_bytes
    resp.stream = _Sent(followed, accesses, req.context.caller)


class _Sent:
    """Response body, which the server closes whether it was sent, aborted or never begun."""

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
            # The status is sent already. Only the end of the connection can show that bytes are
            # missing, and the server ends it silently after a ConnectionError.
            raise ConnectionResetError(errno.ECONNRESET, error.detail) from None

    def close(self) -> None:
        self._followed.close()
        self._accesses.note(self._followed.artifact_id, self._caller, self._sent)
        metrics.SERVED_BYTES.inc(self._sent)
