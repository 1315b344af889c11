"""Error responses: the status of each error class, and RFC 9457 problem documents."""

import json
import logging
import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import datetime
from itertools import accumulate
from typing import Any

import falcon
from pydantic_core import PydanticSerializationError, to_json

from staging_api import logs
from staging_api.errors import (
    ArchiveUnsafe,
    ArtifactAmbiguous,
    ClientGone,
    Conflict,
    Forbidden,
    HookFailed,
    IdempotencyKeyReused,
    Invalid,
    LimitExceeded,
    NoSpace,
    NotFound,
    SigningFailed,
    SourceFailed,
    StagingApiError,
    StoreFailed,
    TooManyRequests,
    Unauthenticated,
    Unavailable,
    UploadWaitOver,
    class_of,
)
from staging_api.exhaustion import named_lack
from staging_api.locks.model import new_id

log = logging.getLogger(__name__)

MEDIA_PROBLEM = "application/problem+json"

#: The nearest listed ancestor of a class decides; ``docs/reference/errors.md`` has the contract.
STATUS_OF: Mapping[type[StagingApiError], int] = {
    Invalid: 400,
    Unauthenticated: 401,
    Forbidden: 403,
    NotFound: 404,
    Conflict: 409,
    LimitExceeded: 413,
    ArchiveUnsafe: 422,
    ArtifactAmbiguous: 422,
    IdempotencyKeyReused: 422,
    TooManyRequests: 429,
    # nginx's status for a client that closed the connection, distinct from failures.
    ClientGone: 499,
    SigningFailed: 500,
    HookFailed: 500,
    SourceFailed: 502,
    Unavailable: 503,
    StoreFailed: 503,
    UploadWaitOver: 504,
    NoSpace: 507,
    StagingApiError: 500,
}

# Falcon's own refusals, mapped to the error tree.
_CODE_OF_STATUS = {
    400: "invalid_request",
    404: "not_found",
    405: "method_not_allowed",
    406: "not_acceptable",
    413: "limit_exceeded",
    415: "unsupported_media_type",
}
_OF_HTTP = "http_error"
_MAX_RETRY_AFTER_SECONDS = 300


class FalconRefusal(StagingApiError):
    """A refusal by Falcon, such as 405, as one of our errors.

    Attributes:
        error_type: name of Falcon's class.
    """

    def __init__(self, status: int, title: str, detail: str, error_type: str) -> None:
        super().__init__(detail)
        self.code = _CODE_OF_STATUS.get(status, _OF_HTTP)
        self.status, self.title, self.error_type = status, title, error_type


def status_of(error: StagingApiError) -> int:
    """Return the status of the nearest listed ancestor, so that a new error always has a status."""
    return error.status if isinstance(error, FalconRefusal) else _status_of_class(type(error))


def status_of_code(code: str) -> int | None:
    """Return the status of responses with this code; None if the code says less than the status."""
    of_http = {known: status for status, known in _CODE_OF_STATUS.items()}
    if code in of_http and class_of(code).code != code:
        return of_http[code]
    return None if code == _OF_HTTP else _status_of_class(class_of(code))


#: Writes an error, with the given status, in the form that the clients of a path parse.
ErrorForm = Callable[[falcon.Request, falcon.Response, int, StagingApiError], None]


def add_error_handlers(
    app: falcon.App[Any, Any], forms: Mapping[str, ErrorForm] | None = None
) -> None:
    """Answer every error of every route by a problem document, or in the form of its path.

    Args:
        app: the application.
        forms: forms of errors on paths with clients of their own, by the first segments of a path;
            a key of one segment and a slash covers all paths below it.
    """
    handlers = _Handlers(forms or {})
    # The most specific class wins, in any order: Falcon follows the error's bases.
    app.add_error_handler(Exception, handlers.unexpected)
    app.add_error_handler(falcon.HTTPError, handlers.of_falcon)
    app.add_error_handler(StagingApiError, handlers.ours)


def answer(req: falcon.Request, resp: falcon.Response, error: StagingApiError) -> None:
    """Write `error` into the response as a problem document."""
    advise(resp, error)
    status = status_of(error)
    document: dict[str, Any] = {
        "type": f"urn:staging-api:{error.code}",
        "title": error.title,
        "status": status,
        "detail": error.detail,
        "instance": req.path,
        "code": error.code,
        "help": help_url(req, error.code),
        "request_id": getattr(req.context, "request_id", None),
        "retryable": error.retryable,
        **error.extra,
    }
    if isinstance(error, Invalid) and error.errors:
        document["errors"] = [{"field": e.field, "message": e.message} for e in error.errors]
    resp.status = falcon.util.code_to_http_status(status)
    resp.content_type = MEDIA_PROBLEM
    resp.data = _to_json(document)
    # Falcon sends `text` before `data`, and prefers `stream`: the responder may have set any of
    # them.
    resp.text = resp.media = resp.stream = None


def advise(resp: falcon.Response, error: StagingApiError) -> None:
    """Set headers that help the client: when to retry, which credential to send."""
    if error.retry_after_seconds is not None or error.retryable:
        resp.set_header("Retry-After", str(retry_after(error)))
    if isinstance(error, Unauthenticated):
        resp.set_header("WWW-Authenticate", error.challenge)


def retry_after(error: StagingApiError) -> int:
    """Return the seconds until a retry, rounded up, so that no client retries too early."""
    seconds = 1.0 if error.retry_after_seconds is None else error.retry_after_seconds
    return min(max(1, math.ceil(seconds)), _MAX_RETRY_AFTER_SECONDS)


def help_url(req: falcon.Request, code: str) -> str:
    """Return the URL of a code's explanation: on the operator's own page, else on this service."""
    page: str = getattr(req.context, "errors_url", "")
    return f"{page}#{code}" if page else f"{req.root_path}/errors/{code}"


def refused_before_read(status: int, detail: str) -> bytes:
    """Return a whole response, which closes the connection, to bytes that are no valid request."""
    words = falcon.util.code_to_http_status(status)
    body = json.dumps(
        {
            "type": "urn:staging-api:invalid_request",
            "title": words.partition(" ")[2],
            "status": status,
            "detail": detail,
            "instance": "",
            "code": "invalid_request",
            "help": "/errors/invalid_request",
            "request_id": (request_id := new_id()),
            "retryable": False,
        }
    ).encode()
    head = (
        f"HTTP/1.1 {words}\r\nConnection: close\r\nX-Request-Id: {request_id}\r\n"
        f"Content-Type: {MEDIA_PROBLEM}\r\nContent-Length: {len(body)}\r\n\r\n"
    )
    return head.encode() + body


def rfc3339(value: datetime) -> str:
    """Format a time in UTC as all responses do."""
    return value.isoformat().replace("+00:00", "Z")


def _status_of_class(kind: type[StagingApiError]) -> int:
    return next(STATUS_OF[each] for each in kind.__mro__ if each in STATUS_OF)


@dataclass(frozen=True)
class _Handlers:
    """Falcon's error handlers; for `forms` see `add_error_handlers`."""

    forms: Mapping[str, ErrorForm]

    def ours(
        self, req: falcon.Request, resp: falcon.Response, error: StagingApiError, _params: Any
    ) -> None:
        resp.delete_header("ETag")  # it describes a response that is not sent
        # An old client reads one word, and a 200 may be a refusal: the log has the actual error.
        logs.bind_log_context(error_code=error.code)
        form = self._form_of(req)
        if form is None:
            answer(req, resp, error)
        else:
            form(req, resp, status_of(error), error)

    def of_falcon(
        self, req: falcon.Request, resp: falcon.Response, error: falcon.HTTPError, params: Any
    ) -> None:
        resp.set_headers(dict(error.headers or {}))
        status = int(error.status_code)
        title = error.title or falcon.util.code_to_http_status(status)
        detail = error.description or _advice(req, status, resp.get_header("Allow"))
        self.ours(req, resp, FalconRefusal(status, title, detail, type(error).__name__), params)

    def unexpected(
        self, req: falcon.Request, resp: falcon.Response, error: Exception, params: Any
    ) -> None:
        # The text of an unexpected error may hold anything, so the caller gets only the request id.
        log.error("unexpected error", exc_info=error)
        answered = named_lack(error) or StagingApiError(
            "an unexpected error; the log has it under the request id"
        )
        self.ours(req, resp, answered, params)

    def _form_of(self, req: falcon.Request) -> ErrorForm | None:
        segments = req.path.strip("/").split("/")
        below = self.forms.get(f"{segments[0]}/") if len(segments) > 1 else None
        # A dictionary lookup: comparing the path with each of the seventy took 1/12 of a refusal's
        # time.
        names = accumulate(segments, "{}/{}".format)
        return below or next((self.forms[name] for name in names if name in self.forms), None)


def _advice(req: falcon.Request, status: int, allowed: str | None) -> str:
    """Return a message with the remedy; Falcon's states only the fault."""
    if allowed is not None:
        return f"{req.path} answers {allowed}, not {req.method}"
    if status == falcon.HTTPNotFound().status_code:
        return f"there is no {req.path}: /openapi.json lists all paths"
    return f"the request was refused with status {status}"


def _to_json(document: Mapping[str, Any]) -> bytes:
    """Encode a document as JSON, with times as `rfc3339` writes them."""
    try:
        return to_json(document)  # a third of the time of the standard library
    except PydanticSerializationError:  # half of a surrogate pair: the name of a file may have one
        return json.dumps(document, default=_time).encode()


def _time(value: object) -> str:
    if isinstance(value, datetime):
        return rfc3339(value)
    raise TypeError(f"{type(value).__name__} has no form in a problem document")
