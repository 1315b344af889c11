"""Conditional and range requests (RFC 9110, sections 13 and 14) for a file with a strong ETag."""

import re
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime
from typing import NamedTuple

import falcon

# As WSGI names them: Falcon's way to a header takes longer, and most requests have none of these.
_PRECONDITIONS = frozenset(
    {
        "HTTP_IF_MATCH",
        "HTTP_IF_UNMODIFIED_SINCE",
        "HTTP_IF_NONE_MATCH",
        "HTTP_IF_MODIFIED_SINCE",
    }
)
# At most 18 digits: `int` raises ValueError on more than 4300, and no file is that long.
_RANGE = re.compile(r"\s*bytes\s*=\s*(\d{0,18})\s*-\s*(\d{0,18})\s*")


class Range(NamedTuple):
    """The bytes to send; `partial` if a valid Range requested them."""

    start: int
    length: int
    partial: bool


def must_send(
    req: falcon.Request, resp: falcon.Response, etag: str, modified: datetime | None
) -> bool:
    """Whether the preconditions let the file be sent; else the status says 412 or 304.

    In the order of RFC 9110, section 13.2.2: what a caller wants comes before what it has.
    With `modified` of None, preconditions that give a time are as if they were not there.
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
    """The part to send: all of it where there is no Range, or none that holds.

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
    """Set the ETag; whether the caller has that version already, which is the answer then."""
    resp.set_header("ETag", etag)
    if not is_known(req, etag):
        return False
    resp.status = falcon.HTTP_304
    return True


def is_known(req: falcon.Request, etag: str) -> bool:
    """Whether If-None-Match names this version.

    Any spelling of it counts: a proxy that compresses answers makes each ETag a weak one, and a
    long poll whose ETag is not recognized would be answered at once, again and again.
    """
    known = req.env.get("HTTP_IF_NONE_MATCH")
    return known is not None and lists(known, etag, weak=True)


def lists(header: str, etag: str, *, weak: bool) -> bool:
    """Whether the value of If-Match (`weak`: of If-None-Match) names this ETag."""
    # An ETag of another server may have a comma; ours have none, so a wrong split matches nothing.
    tags = [tag.strip() for tag in header.split(",")]
    if weak:
        tags, etag = [tag.removeprefix("W/") for tag in tags], etag.removeprefix("W/")
    return "*" in tags or etag in tags


def _is_another(req: falcon.Request, etag: str, modified: datetime | None) -> bool:
    """Whether the file is not the one that the caller wants: a date counts only without an ETag."""
    if_match = req.get_header("If-Match")
    if if_match is not None:
        return not lists(if_match, etag, weak=False)
    since = _date(req.get_header("If-Unmodified-Since"))
    return bool(modified and since and modified > since)


def _is_the_same(req: falcon.Request, etag: str, modified: datetime | None) -> bool:
    """Whether the file is the one that the caller has: a date counts only without an ETag."""
    if "HTTP_IF_NONE_MATCH" in req.env:
        return is_known(req, etag)
    since = _date(req.get_header("If-Modified-Since"))
    return bool(modified and since and modified <= since)


def _end_of_file(last: int, size: int) -> Range | None:
    """The last octets, as many as asked for; None: none are."""
    length = min(last, size)
    return Range(size - length, length, partial=True) if length else None


def _if_range_holds(validator: str | None, etag: str, modified: datetime | None) -> bool:
    """Only the exact strong validator may continue a download: anything else would mix versions."""
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
        return None  # RFC 9110: a date that is not valid is as if it were not there
