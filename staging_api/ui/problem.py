"""An error as a page shows it: what is wrong, what helps, and what to quote when asking."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from staging_api.error_help import ERROR_HELP
from staging_api.errors import FieldError, Invalid, StagingApiError
from staging_api.http.problems import retry_after

# What to do on a page; for other codes, what `error_help` says to every reader.
_ADVICE: Mapping[str, str] = {
    "unauthenticated": "Sign in to see this page.",
    "forbidden": "Ask who runs this service for the role, if you need it.",
    "unavailable": "The page asks again by itself; nothing is lost.",
    "lock_held": "Wait until it is released, then send the form again.",
    "not_found": "It may have been removed, or the address is not whole.",
}


@dataclass(frozen=True)
class ErrorContent:
    """One error.

    Attributes:
        retry_seconds: when it can succeed; None: the same again will fail again.
        lock: of `LockHeld`: who holds it, until when.
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
        """Return what is wrong with a field of the form."""
        return "; ".join(each.message for each in self.fields if each.field == name)


def problem_of(error: StagingApiError, request_id: str) -> ErrorContent:
    """Return an error as a page shows it."""
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
    """Return what to do; refusals in the words of configdocs clients have no code of the table."""
    known = ERROR_HELP.get(code)
    return _ADVICE.get(code, known.cure if known is not None else "")
