"""What every request gets: an id, the caller's marker, a line in the access log."""

import logging
import re
import time
from typing import Any
from uuid import UUID

import falcon
import structlog

from staging_api.errors import Invalid, NotFound
from staging_api.http.media import check_length
from staging_api.locks.model import new_id

log = logging.getLogger("staging_api.access")

_SAFE_ID = re.compile(r"[A-Za-z0-9._:-]{1,128}")


class RequestContext:
    """Gives the request its id, and puts what identifies it into each of its log lines."""

    def process_request(self, req: falcon.Request, resp: falcon.Response) -> None:
        """Take over the caller's ``X-Request-Id`` if it is harmless, else make one.

        Raises:
            Invalid: ``X-Context-Marker`` is not a UUID.
            NotFound: the path has a NUL, which no table can hold.
            LimitExceeded: the body is too long.
        """
        given = req.get_header("X-Request-Id") or ""
        req.context.request_id = given if _SAFE_ID.fullmatch(given) else new_id()
        req.context.started = time.monotonic()
        req.context.reference_id = None
        resp.set_header("X-Request-Id", req.context.request_id)
        resp.set_header("X-Content-Type-Options", "nosniff")
        structlog.contextvars.bind_contextvars(request_id=req.context.request_id)
        if "\0" in req.path:
            raise NotFound("no path has a NUL character")
        check_length(req)
        marker = req.get_header("X-Context-Marker")
        if marker:
            req.context.reference_id = _marker(marker)
            structlog.contextvars.bind_contextvars(reference_id=req.context.reference_id)

    def process_response(
        self, req: falcon.Request, resp: falcon.Response, _resource: Any, _succeeded: bool
    ) -> None:
        """Write the access line."""
        log.info(
            "%s %s %s %.1f ms",
            req.method,
            req.path,
            resp.status_code,
            1000 * (time.monotonic() - req.context.started),
        )
        structlog.contextvars.clear_contextvars()


def _marker(text: str) -> str:
    try:
        return str(UUID(text))
    except ValueError:
        raise Invalid.field("X-Context-Marker", "must be a UUID, such as uuid4 makes") from None
