"""Turn error responses into the errors of `staging_api.errors`."""

import json
from collections.abc import Iterator, Mapping
from datetime import UTC, datetime
from typing import Any

from staging_api.errors import (
    AnswerUnusable,
    Conflict,
    FieldError,
    Forbidden,
    IdempotencyKeyBusy,
    Invalid,
    LimitExceeded,
    LockHeld,
    NotFound,
    StagingApiError,
    Unauthenticated,
    Unavailable,
    class_of,
)

#: Error classes by status, for a code unknown to this version or a response from a proxy.
_BY_STATUS: Mapping[int, type[StagingApiError]] = {
    400: Invalid,
    401: Unauthenticated,
    403: Forbidden,
    404: NotFound,
    409: Conflict,
    413: LimitExceeded,
    503: Unavailable,
}
#: Statuses from a proxy that could not reach the service, or that limits requests.
_NOT_REACHED = frozenset({429, 502, 503, 504})

#: Document kinds of error responses on the configdocs paths.
_STATUS_KINDS = ("status", "Status")
_BLOCKED = "Blocked by another process"
#: `retry` is also set where another request must come first, as for a commit of an empty buffer.
_PASSING = (_BLOCKED, IdempotencyKeyBusy.title)

_READ = frozenset({"type", "title", "code", "detail", "retryable", "errors", "message"})


def problem(status: int, headers: Mapping[str, str], body: bytes) -> StagingApiError:
    """Return the error of a response: by its code, else by its status."""
    document = _document(body)
    retry_after = retry_after_seconds(headers.get("Retry-After"), headers.get("Date"))
    if document.get("kind") in _STATUS_KINDS:
        return _of_status(status, document, retry_after)
    if "code" not in document:
        error = _of_proxy(status, body)
        error.retry_after_seconds = retry_after
        return error
    code = str(document["code"])
    return error_of(
        code, document, _BY_STATUS.get(status, StagingApiError), retry_after_seconds=retry_after
    )


def error_of(
    code: str,
    document: Mapping[str, Any],
    otherwise: type[StagingApiError] = StagingApiError,
    *,
    retry_after_seconds: float | None = None,
) -> StagingApiError:
    """Return the error with this code, with further members of the document as `extra`.

    Args:
        code: error code in the response.
        document: a problem, or a failure with ``message`` instead of ``detail``.
        otherwise: class for an unknown code.
        retry_after_seconds: delay before a retry, if the response has it.
    """
    known = class_of(code)
    # A class from a room of the service, which takes other arguments, is not part of the contract;
    # it is only known in a program with both the service and the client.
    in_contract = known.code == code and known.__module__ == StagingApiError.__module__
    kind = known if in_contract else otherwise
    error = kind(str(document.get("detail") or document.get("message") or kind.title))
    error.code = code
    error.title = str(document.get("title") or kind.title)
    error.retryable = bool(document.get("retryable", kind.retryable))
    error.retry_after_seconds = retry_after_seconds
    error.extra = {name: value for name, value in document.items() if name not in _READ}
    if isinstance(error, Invalid):
        error.errors = tuple(_field_errors(document.get("errors")))
    return error


def retry_after_seconds(header: str | None, date: str | None = None) -> float | None:
    """Return the seconds from now; None without a valid header.

    Args:
        header: Retry-After of a response.
        date: Date of the same response: a point in time is compared with that clock, if known,
            instead of ours.
    """
    if header is None:
        return None
    if header.strip().isdecimal():
        return float(header)
    # Imported here: rarely needed, and the slowest import of this package.
    from email.utils import parsedate_to_datetime

    try:
        at = parsedate_to_datetime(header)
        try:
            now = parsedate_to_datetime(date or "")
        except ValueError:
            now = datetime.now(UTC)
        return max(0.0, (at - now).total_seconds())
    except (TypeError, ValueError, OverflowError):
        return None


def _document(body: bytes) -> Mapping[str, Any]:
    try:
        document = json.loads(body)
    except (ValueError, RecursionError):  # the latter for a response that is nested very deeply
        return {}
    return document if isinstance(document, dict) else {}


def _of_status(
    status: int, document: Mapping[str, Any], retry_after: float | None
) -> StagingApiError:
    """Return the error of a configdocs path: message, reason, and a list of messages."""
    message = str(document.get("message") or "")
    details = document.get("details")
    messages = details.get("messageList", []) if isinstance(details, dict) else []
    kind = _BY_STATUS.get(status, StagingApiError)
    if message == _BLOCKED:
        kind = LockHeld
    error = kind(f"{message}: {document.get('reason') or ''}")
    error.title = message or kind.title
    error.retryable = kind.retryable or message in _PASSING
    error.retry_after_seconds = retry_after
    error.extra = {"messages": messages}
    return error


def _of_proxy(status: int, body: bytes) -> StagingApiError:
    said = body[:200].decode(errors="replace").strip()
    detail = f"status {status} without a problem document: {said or 'an empty body'}"
    if status in _NOT_REACHED:
        return Unavailable(detail)
    return _BY_STATUS.get(status, AnswerUnusable)(detail)


def _field_errors(errors: Any) -> Iterator[FieldError]:
    for each in errors if isinstance(errors, list) else []:
        if isinstance(each, dict):
            yield FieldError(str(each.get("field", "")), str(each.get("message", "")))
