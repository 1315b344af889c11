"""Errors for credentials that cannot be checked: counted, logged by cause, never answered 401.

"Cannot be checked" and "not valid" are different responses. The first is 503 with Retry-After: the
credential may be valid, and the client retries. Only a credential found invalid is refused.
"""

import logging
import threading
import time
from enum import StrEnum

from staging_api import metrics
from staging_api.errors import IdentityUnavailable

log = logging.getLogger(__name__)

_LOG_EVERY_SECONDS = 10.0


class OutageCause(StrEnum):
    """Cause why a credential cannot be checked; a label of the metric."""

    UNREACHABLE = "unreachable"
    TIMEOUT = "timeout"
    REFUSED = "refused"
    MALFORMED = "malformed"
    BUSY = "busy"
    PAUSED = "paused"
    FILE = "file"


#: Causes without any response: a call a moment later would most likely fail, too.
SILENT = frozenset({OutageCause.UNREACHABLE, OutageCause.TIMEOUT})

_logged_at: dict[OutageCause, float] = {}
_logging = threading.Lock()


class IdentityOutage(IdentityUnavailable):
    """An `IdentityUnavailable` with its cause."""

    def __init__(self, cause: OutageCause, detail: str, retry_after_seconds: float) -> None:
        """Store the cause; the caller sees `detail`, so it must hold no address and no token."""
        super().__init__(detail, retry_after_seconds=retry_after_seconds)
        self.cause = cause


def cannot_check(
    cause: OutageCause, detail: str, retry_after_seconds: float = 5.0
) -> IdentityOutage:
    """Create the error, count it, and log one error of each cause every ten seconds."""
    metrics.IDENTITY_UNAVAILABLE.labels(cause.value).inc()
    now = time.monotonic()
    with _logging:
        due = now >= _logged_at.get(cause, float("-inf")) + _LOG_EVERY_SECONDS
        if due:
            _logged_at[cause] = now
    if due:
        log.warning("credentials cannot be checked (%s): %s", cause.value, detail)
    return IdentityOutage(cause, detail, retry_after_seconds)
