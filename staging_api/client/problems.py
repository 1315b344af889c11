"""Answers that say no, as the errors of `staging_api.errors`."""

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
)

#: What an answer means whose code is new to this version, or that a proxy gave in our place.
_BY_STATUS: Mapping[int, type[StagingApiError]] = {
    400: Invalid,
    401: Unauthenticated,
    403: Forbidden,
    404: NotFound,
    409: Conflict,
    413: LimitExceeded,
    503: Unavailable,
}
#: Statuses by which a proxy says that the service could not be asked, or not so often.
_NOT_REACHED = frozenset({429, 502, 503, 504})

#: Kinds of the documents by which the paths of configdocs refuse.
_STATUS_KINDS = ("status", "Status")
_BLOCKED = "Blocked by another process"
#: `retry` is also set where another request has to come first, as for a commit of an empty buffer.
_PASSING = (_BLOCKED, IdempotencyKeyBusy.title)

_READ = frozenset({"type", "title", "code", "detail", "retryable", "errors", "message"})


def problem(status: int, headers: Mapping[str, str], body: bytes) -> StagingApiError:
    """The error that an answer tells: by its code, else by its status."""
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
    """The error with this code; what else the document says goes with it.

    Args:
        code: as the service said it.
        document: a problem, or a failure with ``message`` in the place of ``detail``.
        otherwise: the class if no class has the code.
        retry_after_seconds: when to try again, if the service said it.
    """
    # A class without a word of its own is a server's private matter, not part of the contract.
    kinds = {
        each.code: each
        for each in _tree(StagingApiError)
        if "code" in vars(each) and each.__module__ == StagingApiError.__module__
    }
    kind = kinds.get(code, otherwise)
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
    """Seconds from now; None where there is no header that makes sense.

    Args:
        header: the Retry-After of an answer.
        date: the Date of the same answer: a time is compared with the clock of who said it, as far
            as it is known, and not with ours.
    """
    if header is None:
        return None
    if header.strip().isdecimal():
        return float(header)
    # Rare, and the slowest import of this package.
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
    except ValueError:
        return {}
    return document if isinstance(document, dict) else {}


def _of_status(
    status: int, document: Mapping[str, Any], retry_after: float | None
) -> StagingApiError:
    """The error that a path of configdocs tells: message, reason, and a list of messages."""
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


def _tree(kind: type[StagingApiError]) -> Iterator[type[StagingApiError]]:
    yield kind
    for child in kind.__subclasses__():
        yield from _tree(child)
