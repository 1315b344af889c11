"""The ``Prefer`` header (RFC 7240): how long a caller would wait, if at all."""

import re
from dataclasses import dataclass

import falcon

# Nine digits exceed any cap, and cannot overflow.
_WAIT = re.compile(r"(?:^|[,;]\s*|\s)wait\s*=\s*\"?(\d{1,9})\"?", re.IGNORECASE)
_ASYNC = re.compile(r"(?:^|[,;]\s*|\s)respond-async(?:$|[\s,;])", re.IGNORECASE)


@dataclass(frozen=True)
class Preference:
    """The caller's preference; a malformed header counts as no preference, as the RFC demands."""

    wait_seconds: float
    respond_async: bool


def preference(req: falcon.Request, cap_seconds: float) -> Preference:
    """Parse the header; the wait is limited to the server's cap."""
    header = req.get_header("Prefer") or ""
    wait = _WAIT.search(header)
    return Preference(
        wait_seconds=min(float(wait[1]), cap_seconds) if wait else 0.0,
        respond_async=_ASYNC.search(header) is not None,
    )


def applied(resp: falcon.Response, word: str) -> None:
    """Tell the client which preference was applied."""
    resp.append_header("Preference-Applied", word)
