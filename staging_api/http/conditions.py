"""Conditional and range requests (RFC 9110, sections 13 and 14) for a file with a strong ETag."""

import re
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime
from typing import NamedTuple

import falcon

# Names of headers in WSGI: Falcon's access takes longer, and most requests have none of these.
_PRECONDITIONS = frozenset(
    {
        "HTTP_IF_MATCH",
        "HTTP_IF_UNMODIFIED_SINCE",
        "HTTP_IF_NONE_MATCH",
        "HTTP_IF_MODIFIED_SINCE",
    }
)
# At most 18 digits: `int` raises ValueError above 4300, and no file is that long.
_RANGE = re.compile(r"\s*bytes\s*=\s*(\d{0,18})\s*-\s*(\d{0,18})\s*")


class Range(NamedTuple):
    """Range of bytes to send; `partial` if a valid Range header requested it."""

    start: int
    length: int
    partial: bool


def must_send(
    req: falcon.Request, resp: falcon.Response, etag: str, modified: datetime | None
) -> bool:
    """Return whether the preconditions let the file be sent; else set the status 412 or 304.

    The order is that of RFC 9110, section 13.2.2: If-Match and If-Unmodified-Since come first. If
    `modified` is None, preconditions with a date are ignored.
    """
    if req.env.keys().isdisjoint(_PRECONDITIONS):
        return True
    if _is_another(req, etag, modified):
        resp.status = falcon.HTTP_412
        return False
    if _is_the_same(req, etag, modified):
        resp.status = falcon.HTTP_304
        return False
    return True


def ranged(req: falcon.Request, etag: str, modified: datetime | None, size: int) -> Range | None:
    """Return the range to send: the whole file without a Range header or if If-Range fails.

    Several ranges in one request, and forms that are not understood, get the whole file, as the RFC
    allows. None: the range lies outside the file (416).
    """
    whole = Range(0, size, partial=False)
    if "HTTP_RANGE" not in req.env:
        return whole
    match = _RANGE.fullmatch(req.get_header("Range") or "")
    if match is None or not _if_range_holds(req.get_header("If-Range"), etag, modified):
        return whole
    first, last = match.groups()
    if not first:
        return _end_of_file(int(last), size) if last else whole
    start, end = int(first), int(last or size - 1)
    if last and end < start:
        return whole
    return Range(start, min(end, size - 1) - start + 1, partial=True) if start < size else None


def not_modified(req: falcon.Request, resp: falcon.Response, etag: str) -> bool:
    """Set the ETag; if the caller has that version already, answer 304 and return True."""
    resp.set_header("ETag", etag)
    if not is_known(req, etag):
        return False
    resp.status = falcon.HTTP_304
    return True


def is_known(req: falcon.Request, etag: str) -> bool:
    """Return whether If-None-Match names this version.

    Weak and strong forms match: a proxy that compresses responses makes each ETag a weak one, and a
    long poll whose ETag is not recognized would be answered at once, again and again.
    """
    known = req.env.get("HTTP_IF_NONE_MATCH")
    return known is not None and lists(known, etag, weak=True)


def lists(header: str, etag: str, *, weak: bool) -> bool:
    """Return whether the value of If-Match (`weak`: of If-None-Match) contains this ETag."""
    # ETags of other servers may contain a comma; ours do not, so a wrong split matches nothing.
    tags = [tag.strip() for tag in header.split(",")]
    if weak:
        tags, etag = [tag.removeprefix("W/") for tag in tags], etag.removeprefix("W/")
    return "*" in tags or etag in tags


def _is_another(req: falcon.Request, etag: str, modified: datetime | None) -> bool:
    """Return whether If-Match refuses the file; a date counts only if If-Match is absent."""
    if_match = req.get_header("If-Match")
    if if_match is not None:
        return not lists(if_match, etag, weak=False)
    since = _date(req.get_header("If-Unmodified-Since"))
    return bool(modified and since and modified > since)


def _is_the_same(req: falcon.Request, etag: str, modified: datetime | None) -> bool:
    """Return whether the caller has the file; a date counts only if If-None-Match is absent."""
    if "HTTP_IF_NONE_MATCH" in req.env:
        return is_known(req, etag)
    since = _date(req.get_header("If-Modified-Since"))
    return bool(modified and since and modified <= since)


def _end_of_file(last: int, size: int) -> Range | None:
    """Return the range of the last `last` bytes; None if it is empty."""
    length = min(last, size)
    return Range(size - length, length, partial=True) if length else None


def _if_range_holds(validator: str | None, etag: str, modified: datetime | None) -> bool:
    """Return whether a download may continue: by an exact match, else versions would mix."""
    if validator is None:
        return True
    if validator.startswith(('"', "W/")):
        return validator == etag
    return modified is not None and _date(validator) == modified


def _date(text: str | None) -> datetime | None:
    if text is None:
        return None
    try:
        return parsedate_to_datetime(text).astimezone(UTC)
    except (ValueError, TypeError, OverflowError):
        return None  # RFC 9110: an invalid date is ignored
