"""Parser of response headers by RFC 9110: pure functions over texts.

Servers write headers in every form that the standard allows, and in some other forms. An unreadable
header is treated as absent: then less is known about the object, but nothing wrong.
"""

import base64
import binascii
import re
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime

_CONTENT_RANGE = re.compile(
    r"bytes[ \t]+(?:(\d{1,18})-(\d{1,18})|\*)/(\d{1,18}|\*)", re.ASCII | re.IGNORECASE
)
_ETAG = re.compile(r'(W/)?("[^"]*")')
_NUMBER = re.compile(r"[0-9]{1,18}")
#: Algorithm names in ``Repr-Digest`` (RFC 9530), ``Digest`` (RFC 3230) and Google's
#: ``x-goog-hash``.
_DIGEST_NAMES = {"sha-256": "sha256", "sha256": "sha256", "md5": "md5", "crc32c": "crc32c"}
_DIGEST_BYTES = {"sha256": 32, "md5": 16, "crc32c": 4}


@dataclass(frozen=True)
class ContentRange:
    """The range of bytes in a response.

    Attributes:
        start: position of the first byte; None if the response only says that the range is invalid.
        end: position after the last byte.
        size_bytes: size of the whole object; None if the server does not know it.
    """

    start: int | None
    end: int | None
    size_bytes: int | None


def content_range(headers: Mapping[str, str]) -> ContentRange | None:
    """Return the range of a 206 or a 416 response; None if there is no readable one."""
    found = _CONTENT_RANGE.fullmatch(headers.get("Content-Range", "").strip())
    if found is None:
        return None
    size = None if found[3] == "*" else int(found[3])
    if found[1] is None:
        return ContentRange(None, None, size)
    start, end = int(found[1]), int(found[2]) + 1
    return ContentRange(start, end, size) if start < end else None


def content_length(headers: Mapping[str, str]) -> int | None:
    """Return the declared length; a list of equal numbers counts as one (9110, 8.6).

    A chunked body has none, whatever else the headers say (9112, 6.3).
    """
    if "Transfer-Encoding" in headers:
        return None
    words = {word.strip() for word in headers.get("Content-Length", "").split(",")}
    word = words.pop()
    return int(word) if not words and _NUMBER.fullmatch(word) else None


def retry_after_seconds(headers: Mapping[str, str], now: datetime | None = None) -> float | None:
    """Return the seconds of ``Retry-After``, a number or a date in one of its three forms.

    Args:
        headers: headers of the response; a date is relative to ``Date``, if there is one.
        now: the time to use if there is no ``Date``; None: this machine's clock.
    """
    text = headers.get("Retry-After", "").strip()
    if _NUMBER.fullmatch(text):
        return float(text)
    until = _time(text)
    if until is None:
        return None
    sent = _time(headers.get("Date", "")) or now or datetime.now(UTC)
    return max((until - sent).total_seconds(), 0.0)


def strong_etag(headers: Mapping[str, str]) -> str | None:
    """Return the ETag if it is strong: equal ETags mean equal bytes."""
    found = _ETAG.fullmatch(headers.get("ETag", "").strip())
    return found[2] if found and not found[1] else None


def refuses_ranges(headers: Mapping[str, str]) -> bool:
    """Return whether the server says that it does not support byte ranges."""
    units = [unit.strip().lower() for unit in headers.get("Accept-Ranges", "").split(",")]
    return "none" in units and "bytes" not in units


def media_type(headers: Mapping[str, str]) -> str:
    """Return the media type, in lower case and without parameters; empty if there is none."""
    return headers.get("Content-Type", "").partition(";")[0].strip().lower()


def declared_digests(headers: Mapping[str, str]) -> dict[str, str]:
    """Return the declared digests of the whole object, in hex by algorithm."""
    found: dict[str, str] = {}
    for header in ("x-goog-hash", "Digest", "Repr-Digest"):
        for item in headers.get(header, "").split(","):
            name, _, value = item.strip().partition("=")
            _note(found, name.strip().lower(), value)
    if "Content-Range" not in headers:
        # Content-MD5 covers the bytes of this response, so it is used only if these are the whole
        # object.
        _note(found, "md5", headers.get("Content-MD5", ""))
    for name in ("sha256", "crc32c"):
        # An object uploaded in parts has a checksum of checksums, with a hyphen and a number.
        _note(found, name, headers.get(f"x-amz-checksum-{name}", ""))
    return found


def _note(found: dict[str, str], name: str, value: str) -> None:
    algorithm = _DIGEST_NAMES.get(name)
    try:
        raw = base64.b64decode(value.partition(";")[0].strip().strip(":"), validate=True)
    except (binascii.Error, ValueError):
        return
    if algorithm and len(raw) == _DIGEST_BYTES[algorithm]:
        found[algorithm] = raw.hex()


def _time(text: str) -> datetime | None:
    try:
        time = parsedate_to_datetime(text)
    except (ValueError, TypeError, OverflowError):
        return None
    # The asctime form has no zone, and means UTC (9110, 5.6.7).
    return time if time.tzinfo else time.replace(tzinfo=UTC)
