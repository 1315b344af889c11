"""An error as shown on a page: the problem, the advice, and an id to quote in questions."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from staging_api.error_help import ERROR_HELP
from staging_api.errors import FieldError, Invalid, StagingApiError
from staging_api.http.problems import retry_after

# Advice for pages; for other codes the general advice of `error_help` is used.
_ADVICE: Mapping[str, str] = {
    "unauthenticated": "Sign in to see this page.",
    "forbidden": "Ask who runs this service for the role, if you need it.",
    "unavailable": "The page asks again by itself; nothing is lost.",
    "lock_held": "Wait until it is released, then send the form again.",
    "not_found": "It may have been removed, or the address is not whole.",
}


@dataclass(frozen=True)
class ErrorContent:
    """An error to show.

    Attributes:
        retry_seconds: when a retry can succeed; None: a retry will fail again.
        lock: for `LockHeld`: the holder of the lock and its expiry.
    """

    code: str
    title: str
    detail: str
    advice: str
    fields: Sequence[FieldError]
    request_id: str
    retry_seconds: int | None
    lock: Mapping[str, Any] | None

    def of_field(self, name: str) -> str:
        """Return the messages about a field of the form."""
        return "; ".join(each.message for each in self.fields if each.field == name)


def problem_of(error: StagingApiError, request_id: str) -> ErrorContent:
    """Convert an error to its content on a page."""
    lock = error.extra.get("lock")
    return ErrorContent(
        code=error.code,
        title=error.title,
        detail=error.detail,
        advice=_advice(error.code),
        fields=error.errors if isinstance(error, Invalid) else (),
        request_id=request_id,
        retry_seconds=retry_after(error) if error.retryable else None,
        lock=lock if isinstance(lock, dict) else None,
    )


def _advice(code: str) -> str:
    """Return the advice; errors in the words of configdocs clients have no code in the table."""
    known = ERROR_HELP.get(code)
    return _ADVICE.get(code, known.cure if known is not None else "")
