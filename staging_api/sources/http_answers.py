"""Facts about an object in an HTTP response: its length, its version, and the range in the body.

Pure functions over a response's status and headers; `staging_api.sources.headers` parses single
headers.
"""

from staging_api.sources.headers import content_length, content_range, media_type, strong_etag
from staging_api.sources.http_client import SourceResponse
from staging_api.sources.model import SourceObject
from staging_api.sources.web_page import is_html_type, names_page

OK, PARTIAL = 200, 206
#: Content codings that can be decoded, and others in use by servers (RFC 9110, 8.4.1).
UNDONE = ("gzip", "x-gzip", "deflate", "zstd")
_CODINGS = (*UNDONE, "br", "compress", "x-compress")
#: File extensions of compressed files; Apache takes any extension in a name for a coding.
_PACKED = {"gz", "tgz", "svgz", "taz", "z", "br", "tbr", "zst", "tzst"}
_PACKED_TYPES = ("application/gzip", "application/x-gzip", "application/zstd")


def unasked_coding(answer: SourceResponse, name: str) -> str:
    """Return the unrequested coding to decode; empty: the bytes are those of the object.

    It is empty for objects that are compressed files themselves: servers declare ``image.tar.gz``
    as gzip-coded, too.
    """
    extensions = name.rpartition("/")[2].lower().split(".")[1:]
    packed = _PACKED.intersection(extensions) or media_type(answer.headers) in _PACKED_TYPES
    return "" if packed else declared_coding(answer)


def declared_coding(answer: SourceResponse) -> str:
    """Return the declared content coding; empty if there is none, or the word is none."""
    coding = answer.headers.get("Content-Encoding", "").strip().lower()
    return coding if coding in _CODINGS else ""


def describes_object(answer: SourceResponse, name: str) -> bool:
    """Return whether the response to a HEAD request can be trusted."""
    page = is_html_type(media_type(answer.headers)) and not names_page(name)
    return answer.status == OK and bool(whole_length(answer)) and not page


def begins_object(answer: SourceResponse) -> bool:
    """Return whether the body begins with the first byte of the object."""
    part = content_range(answer.headers) if answer.status == PARTIAL else None
    return part is None or part.start == 0


def whole_length(answer: SourceResponse) -> int | None:
    """Return the length of the object, independently of the range in the response."""
    if answer.coding:
        return None  # the declared length is that of the coded bytes
    if answer.status != PARTIAL:
        return content_length(answer.headers)
    part = content_range(answer.headers)
    return part.size_bytes if part else None


def version_of(answer: SourceResponse, length: int | None) -> str | None:
    """Return the strong ETag, or else Last-Modified and the length; None if both are missing."""
    if (etag := strong_etag(answer.headers)) is not None:
        return etag
    modified = answer.headers.get("Last-Modified")
    return f"{modified} {length}" if modified and length is not None else None


def range_headers(found: SourceObject, start: int, end: int | None) -> dict[str, str]:
    """Return the headers of a request for a range of the version that was found."""
    if not start and end is None:
        return {}
    headers = {"Range": f"bytes={start}-{'' if end is None else end - 1}"}
    if found.version and found.version.startswith('"'):
        headers["If-Range"] = found.version
    return headers


def bytes_before(answer: SourceResponse, start: int) -> int | None:
    """Return the number of bytes before the requested range in the body; None: it is not there.

    None is also returned if the response does not declare its range, or has several ranges.
    """
    if answer.status == OK:
        return start
    if answer.coding:
        return None  # a part of the coded bytes
    part = content_range(answer.headers)
    if part is None or part.start is None or part.end is None:
        return None
    return start - part.start if part.start <= start < part.end else None
