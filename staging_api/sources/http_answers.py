"""What the answers of an http server say of an object: its length, its version, which part it is.

Pure functions over an answer's status and headers; `staging_api.sources.headers` reads one header.
"""

from staging_api.sources.headers import content_length, content_range, media_type, strong_etag
from staging_api.sources.http_client import SourceResponse
from staging_api.sources.model import SourceObject
from staging_api.sources.web_page import is_html_type, names_page

OK, PARTIAL = 200, 206
#: Codings that can be undone, and others that servers use (RFC 9110, 8.4.1).
UNDONE = ("gzip", "x-gzip", "deflate", "zstd")
_CODINGS = (*UNDONE, "br", "compress", "x-compress")
#: Of files that are packed themselves; Apache takes any of the extensions of a name for a coding.
_PACKED = {"gz", "tgz", "svgz", "taz", "z", "br", "tbr", "zst", "tzst"}
_PACKED_TYPES = ("application/gzip", "application/x-gzip", "application/zstd")


def unasked_coding(answer: SourceResponse, name: str) -> str:
    """Return the coding to undo, which none was asked for; empty: the bytes are the object's.

    So they are of what is packed itself: servers call the one of ``image.tar.gz`` gzip, too.
    """
    coding = answer.headers.get("Content-Encoding", "").strip().lower()
    extensions = name.rpartition("/")[2].lower().split(".")[1:]
    packed = _PACKED.intersection(extensions) or media_type(answer.headers) in _PACKED_TYPES
    return coding if coding in _CODINGS and not packed else ""


def describes_object(answer: SourceResponse, name: str) -> bool:
    """Whether the answer to a HEAD is worth believing."""
    page = is_html_type(media_type(answer.headers)) and not names_page(name)
    return answer.status == OK and bool(whole_length(answer)) and not page


def begins_object(answer: SourceResponse) -> bool:
    """Whether the body begins with the first byte of the object."""
    part = content_range(answer.headers) if answer.status == PARTIAL else None
    return part is None or part.start == 0


def whole_length(answer: SourceResponse) -> int | None:
    """Return the length of the object, whatever part of it the answer brings."""
    if answer.coding:
        return None  # what is said is of the packed bytes
    if answer.status != PARTIAL:
        return content_length(answer.headers)
    part = content_range(answer.headers)
    return part.size_bytes if part else None


def version_of(answer: SourceResponse, length: int | None) -> str | None:
    """Return the strong ETag, or else the time of change and the length; None without either."""
    if (etag := strong_etag(answer.headers)) is not None:
        return etag
    modified = answer.headers.get("Last-Modified")
    return f"{modified} {length}" if modified and length is not None else None


def range_headers(found: SourceObject, start: int, end: int | None) -> dict[str, str]:
    """Return the headers that ask for a range of the version that was found."""
    if not start and end is None:
        return {}
    headers = {"Range": f"bytes={start}-{'' if end is None else end - 1}"}
    if found.version and found.version.startswith('"'):
        headers["If-Range"] = found.version
    return headers


def bytes_before(answer: SourceResponse, start: int) -> int | None:
    """Return how many bytes of the body come before the requested ones; None: these are not in it.

    So it is of a range that is another one, that is not named, or that comes in several parts.
    """
    if answer.status == OK:
        return start
    if answer.coding:
        return None  # a part of the packed bytes
    part = content_range(answer.headers)
    if part is None or part.start is None or part.end is None:
        return None
    return start - part.start if part.start <= start < part.end else None
