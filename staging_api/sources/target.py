"""Target of a request: the URL that was checked, and the exact bytes that are sent for it.

The two differ. A redirect is followed byte for byte, because its sender may have signed it, or may
distinguish ``%2F`` from ``/``; its meaning is decoded, folded and checked like any URL. A path that
different servers read differently (an escape within an escape) is checked in every reading.
"""

import re
from dataclasses import dataclass
from urllib.parse import quote, unquote, urljoin, urlsplit

from staging_api.errors import Invalid, SourceFailed, SourceNotAllowed
from staging_api.sources.url import ArchiveUrl, parse_prefix

#: Characters allowed in a request line; others are escaped, and existing escapes are kept.
_SENT = "!\"#$%&'()*+,-./:;<=>?@[\\]^_`{|}~"
_SEPARATORS = re.compile(r"[/\\]+")
_MAX_LOCATION_BYTES = 16 << 10
#: A path that is still escaped after this many readings hides its meaning, and is refused.
_MAX_READINGS = 4


@dataclass(frozen=True)
class RequestTarget:
    """The target of one request.

    Attributes:
        url: URL that must be on the allow-list; the connection is made to its origin.
        path: path and query as they are sent.
        redirected: whether a redirect led to this target.
    """

    url: ArchiveUrl
    path: str
    redirected: bool = False

    @property
    def origin(self) -> str:
        """Scheme, host and port."""
        return f"{self.url.scheme}://{self.url.authority}"


def target_of(url: ArchiveUrl, query: str = "") -> RequestTarget:
    """Return the target of an object's own URL.

    A ``+`` is sent as ``%2B``, because S3 and some others read it as a space. The URL's own query
    is sent as it was given, after `query`.
    """
    path = url.path.replace("+", "%2B")
    sent = "&".join(filter(None, (query, url.sent_query)))
    return RequestTarget(url, f"{path}?{sent}" if sent else path)


def redirected(target: RequestTarget, location: str) -> RequestTarget:
    """Return the target of a redirect.

    Raises:
        SourceFailed: the location is not a URL, or its path leads upwards.
        SourceNotAllowed: the location has another scheme.
    """
    try:
        text = _sent_form(location)
        parts = urlsplit(urljoin(f"{target.origin}{target.path}", text))
        base = parse_prefix(f"{parts.scheme}://{parts.netloc}/", "location")
        url = ArchiveUrl(base.scheme, base.authority, _meaning(parts.path))
    except Invalid as error:
        fault = error.errors[0].message
        raise SourceFailed(f"redirected to an invalid URL: {fault}", retryable=False) from None
    except ValueError:
        raise SourceFailed("redirected to an invalid URL", retryable=False) from None
    if url.scheme not in ("http", "https"):
        raise SourceNotAllowed(f"redirected to the scheme {url.scheme}")
    path = parts.path or "/"
    return RequestTarget(url, f"{path}?{parts.query}" if parts.query else path, redirected=True)


def _sent_form(location: str) -> str:
    """Return a Location with disallowed characters escaped, and otherwise unchanged."""
    # Headers are decoded as Latin-1, so this restores the sender's bytes.
    raw = location.strip().encode("latin-1")
    if not raw or len(raw) > _MAX_LOCATION_BYTES or any(each < ord(" ") for each in raw):
        raise ValueError("is no URL")
    return quote(raw, safe=_SENT)


def _meaning(path: str) -> tuple[str, ...]:
    """Return the segments of a path, each decoded once; no reading may lead upwards.

    Raises:
        ValueError: a reading leads upwards, or has a control character.
    """
    # Split before decoding: if the allow-list covers this reading, it covers every other one.
    segments = tuple(unquote(part, errors="replace") for part in path.split("/") if part)
    for _ in range(_MAX_READINGS):
        _check_reading(path)
        decoded = unquote(path, errors="replace")
        if decoded == path:
            return segments
        path = decoded
    raise ValueError("is escaped too often")


def _check_reading(path: str) -> None:
    if any(part in (".", "..") for part in _SEPARATORS.split(path)):
        raise ValueError("leads upwards")
    if any(char < " " or char == "\x7f" for char in path):
        raise ValueError("has a control character")
