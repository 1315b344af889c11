"""Sending a file of known digest: preconditions, ranges and headers, the same for every route."""

import base64
import mimetypes
import re
from datetime import UTC, datetime
from email.utils import format_datetime
from functools import lru_cache
from typing import NamedTuple

import falcon

from staging_api.http.conditions import Range, must_send, ranged

#: Files of builds that are text, and have no type of their own.
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
    """What a file is, apart from its bytes.

    Attributes:
        name: decides the media type.
        sha256: of the whole file, in hex: its ETag.
        modified_at: when it came to be; aware. None for what can change twice in one second:
            HTTP's dates would be equal for both, and a client would keep the older one.
        lasting: whether the same address will never have other bytes.
    """

    name: str
    sha256: str
    size_bytes: int
    modified_at: datetime | None
    lasting: bool = False


def describe(req: falcon.Request, resp: falcon.Response, file: SendableFile) -> Range | None:
    """Set status and headers; gives the part to send, None if there is no body to send."""
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
    """Set the media type that a file's name suggests, and a policy for pages of a build."""
    resp.set_headers(_of_content(name))


def _of_content(name: str) -> tuple[tuple[str, str], ...]:
    kind, encoding = mimetypes.guess_type(name, strict=False)
    if encoding or kind is None:
        kind = None if encoding else _text_type(name)
    elif kind.startswith("text/"):
        kind += "; charset=utf-8"
    return (
        ("Content-Type", kind or "application/octet-stream"),
        # A build is not ours: whatever page it holds must not run as one of this site.
        ("Content-Security-Policy", "sandbox; default-src 'none'"),
    )


@lru_cache(maxsize=4096)
def _described(file: SendableFile) -> tuple[tuple[tuple[str, str], ...], str, datetime | None]:
    """Headers, ETag and time of an answer about a file: many clients ask for the same one."""
    digest = base64.b64encode(bytes.fromhex(file.sha256)).decode()
    etag = f'"{file.sha256}"'
    # HTTP dates have whole seconds; the database's have more, and would never compare equal.
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
