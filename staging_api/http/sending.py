"""Send a file with a known digest: preconditions, ranges and headers, the same for every route."""

import base64
import mimetypes
import re
from datetime import UTC, datetime
from email.utils import format_datetime
from functools import lru_cache
from typing import NamedTuple

import falcon

from staging_api.http.conditions import Range, must_send, ranged

#: Files of builds that are text, and have no registered type.
_TEXT_ENDINGS = re.compile(
    r".*\.(log|cfg|conf|ini|toml|ya?ml|md|rst|sha1|sha256|sha512|md5|asc|manifest|list|env|prop"
    r"|properties|diff|patch)$",
    re.IGNORECASE,
)
_TEXT_NAMES = re.compile(
    r"(control(\..*)?|[A-Z0-9]+SUMS|README|LICEN[CS]E|COPYING|NOTICE|CHANGELOG|AUTHORS|VERSION"
    r"|UPLOADED|Makefile|checksums)$"
)
_FOR_EVER = "public, max-age=31536000, immutable"


class SendableFile(NamedTuple):
    """Properties of a file, without its bytes.

    Attributes:
        name: file name, which determines the media type.
        sha256: digest of the whole file, in hex; used as the ETag.
        modified_at: time of creation, with a time zone. None for a file that can change twice in
            one second: HTTP's dates would be equal, and a client would keep the older version.
        lasting: whether the bytes at its address never change.
    """

    name: str
    sha256: str
    size_bytes: int
    modified_at: datetime | None
    lasting: bool = False


def describe(req: falcon.Request, resp: falcon.Response, file: SendableFile) -> Range | None:
    """Set status and headers; return the range to send, None if there is no body to send."""
    headers, etag, modified = _described(file)
    resp.set_headers(headers)
    if not must_send(req, resp, etag, modified):
        return None
    part = ranged(req, etag, modified, file.size_bytes)
    if part is None:
        resp.status = falcon.HTTP_416
        resp.set_header("Content-Range", f"bytes */{file.size_bytes}")
        return None
    if part.partial:
        resp.status = falcon.HTTP_206
        last = part.start + part.length - 1
        resp.set_header("Content-Range", f"bytes {part.start}-{last}/{file.size_bytes}")
    return part


def describe_content(resp: falcon.Response, name: str) -> None:
    """Set the media type that a file's name suggests, and a content security policy for pages."""
    resp.set_headers(_of_content(name))


def _of_content(name: str) -> tuple[tuple[str, str], ...]:
    kind, encoding = mimetypes.guess_type(name, strict=False)
    if encoding or kind is None:
        kind = None if encoding else _text_type(name)
    elif kind.startswith("text/"):
        kind += "; charset=utf-8"
    return (
        ("Content-Type", kind or "application/octet-stream"),
        # Builds are not trusted: a page in one must not run as a page of this site.
        ("Content-Security-Policy", "sandbox; default-src 'none'"),
    )


@lru_cache(maxsize=4096)
def _described(file: SendableFile) -> tuple[tuple[tuple[str, str], ...], str, datetime | None]:
    """Return headers, ETag and time of a file; cached, as many clients request the same file."""
    digest = base64.b64encode(bytes.fromhex(file.sha256)).decode()
    etag = f'"{file.sha256}"'
    # HTTP dates have whole seconds; the database's are finer, and would never compare equal.
    modified = file.modified_at and file.modified_at.astimezone(UTC).replace(microsecond=0)
    of_time = [("Last-Modified", format_datetime(modified, usegmt=True))] if modified else []
    headers = (
        *_of_content(file.name),
        ("ETag", etag),
        *of_time,
        ("Accept-Ranges", "bytes"),
        ("Cache-Control", _FOR_EVER if file.lasting else "no-cache"),
        ("Repr-Digest", f"sha-256=:{digest}:"),
    )
    return headers, etag, modified


def _text_type(name: str) -> str | None:
    last = name.rpartition("/")[2]
    return falcon.MEDIA_TEXT if _TEXT_ENDINGS.match(last) or _TEXT_NAMES.match(last) else None
