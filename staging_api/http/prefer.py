"""The ``Prefer`` header (RFC 7240): how long a caller would wait, and whether it would at all."""

import re
from dataclasses import dataclass

import falcon

# Nine digits are more than any cap, and no number that overflows.
_WAIT = re.compile(r"(?:^|[,;]\s*|\s)wait\s*=\s*\"?(\d{1,9})\"?", re.IGNORECASE)
_ASYNC = re.compile(r"(?:^|[,;]\s*|\s)respond-async(?:$|[\s,;])", re.IGNORECASE)


@dataclass(frozen=True)
class Preference:
    """What the caller prefers; a malformed preference is none, as the RFC wants."""

    wait_seconds: float
    respond_async: bool


def preference(req: falcon.Request, cap_seconds: float) -> Preference:
    """Read the header; no request waits longer than the server's cap."""
    header = req.get_header("Prefer") or ""
    wait = _WAIT.search(header)
    return Preference(
        wait_seconds=min(float(wait[1]), cap_seconds) if wait else 0.0,
        respond_async=_ASYNC.search(header) is not None,
    )


def applied(resp: falcon.Response, word: str) -> None:
    """Say which preference was kept."""
    resp.append_header("Preference-Applied", word)
