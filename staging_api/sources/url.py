"""Parser of archive URLs into the canonical spelling for locks, tables and paths.

Two spellings of one archive would be two locks and two downloads. Therefore every alternative
spelling is normalised here or refused, and no later code parses a URL again. A segment is decoded
once; a result that still looks like an escape is refused, so that no later decoding can turn it
into a separator.
"""

import ipaddress
import math
import re
from collections.abc import Collection, Mapping
from dataclasses import dataclass, field, replace
from functools import cached_property, lru_cache
from urllib.parse import quote, unquote

from staging_api.buckets import SERVICES
from staging_api.errors import Invalid
from staging_api.formats.names import has_unsafe_character
from staging_api.sources.query import split_query


@dataclass(frozen=True)
class Scheme:
    """Properties of a scheme outside of the module that reads its archives.

    Attributes:
        opener: ``module:function`` that opens an archive; a text, because the module imports this
            one.
        default_port: port omitted from the canonical URL; None: the scheme has no port.
        bucket: whether the URL has a bucket in place of a host.
        local: whether the archive is on this machine: no host, no circuit breaker.
    """

    opener: str
    default_port: int | None = None
    bucket: bool = False
    local: bool = False


#: The only list of schemes; all bucket schemes are in `SERVICES`.
SCHEMES: Mapping[str, Scheme] = {
    **dict.fromkeys(SERVICES, Scheme("staging_api.sources.bucket:open_archive", bucket=True)),
    "http": Scheme("staging_api.sources.http:open_archive", default_port=80),
    "https": Scheme("staging_api.sources.http:open_archive", default_port=443),
    "file": Scheme("staging_api.sources.file:open_archive", local=True),
}
MAX_URL_BYTES = 1024
#: Signed URLs have tokens of one or two thousand bytes.
MAX_QUERY_BYTES = 7168
#: Limit of file systems for the name of a folder or file; segments become names in the store.
MAX_SEGMENT_BYTES = 255
#: RFC 1035, 2.3.4: 255 with a length before the first label and a zero after the last.
_MAX_HOST_LENGTH = 253
_MAX_PORT = 65535

_SHAPE = re.compile(r"(?P<scheme>[A-Za-z][A-Za-z0-9+.-]*)://(?P<authority>[^/]*)(?P<path>/.*)?")
# At most 63 characters with all services, but 222 with dots in Google Cloud Storage.
_BUCKET = re.compile(r"[a-z0-9][a-z0-9._-]{1,220}[a-z0-9]")
# Underscores are not allowed in host names (RFC 952), but internal hosts have them.
_LABEL = re.compile(r"[a-z0-9_]([a-z0-9_-]{0,61}[a-z0-9_])?")
_ESCAPE = re.compile(r"%[0-9A-Fa-f]{2}")
#: A name that is still escaped after this many readings hides its meaning, and is not safe.
_MAX_READINGS = 4
_NUMBER = re.compile(r"0x[0-9a-f]*|[0-9]+")
_PLAIN = "!$&'()*+,;=:@~"


@dataclass(frozen=True)
class ArchiveUrl:
    """The canonical URL of an archive.

    Attributes:
        scheme: one of `SCHEMES`.
        authority: bucket, or host with its port unless that is the default; empty for ``file``.
        segments: the decoded path, each segment checked.
        query: the parameters that identify the archive, without credentials.
        sent_query: the query as it was given: it may contain a credential, so it is neither shown
            nor compared, and is lost where only the canonical text is kept.
        has_credential: whether `sent_query` contains a credential.
        is_object: whether the credential is for the single object that the URL names.
    """

    scheme: str
    authority: str
    segments: tuple[str, ...]
    query: str = ""
    sent_query: str = field(default="", repr=False, compare=False)
    has_credential: bool = field(default=False, compare=False)
    is_object: bool = field(default=False, compare=False)

    @cached_property
    def path(self) -> str:
        """The path, percent-encoded."""
        return "".join("/" + quote(part, safe=_PLAIN) for part in self.segments) or "/"

    @cached_property
    def canonical(self) -> str:
        """The canonical text of this URL."""
        query = f"?{self.query}" if self.query else ""
        return f"{self.scheme}://{self.authority}{self.path}{query}"

    def covers(self, other: "ArchiveUrl") -> bool:
        """Return whether another URL is at or below this one; segments are compared as a whole."""
        same_place = (self.scheme, self.authority) == (other.scheme, other.authority)
        return same_place and other.segments[: len(self.segments)] == self.segments

    @property
    def has_query(self) -> bool:
        """Whether a query is sent, or should be."""
        return bool(self.query or self.sent_query)

    @property
    def local(self) -> bool:
        """Whether the archive is on this machine."""
        return SCHEMES[self.scheme].local

    @property
    def build(self) -> str:
        """The last segment, which is the build's short name; for a bucket's root, the bucket."""
        return self.segments[-1] if self.segments else self.authority

    @cached_property
    def key_prefix(self) -> str:
        """Common prefix of the keys of the archive's objects in a bucket."""
        return "".join(f"{segment}/" for segment in self.segments)

    def below(self, name: str) -> "ArchiveUrl":
        """Return the URL of the object `name`, whose segments must be safe (`is_safe_name`).

        A URL with a query is often that of an object: its last segment then names that object. All
        other names are below it, with the same query.
        """
        if self.has_query and name == self.build:
            return self
        return replace(self, segments=(*self.segments, *name.split("/")))


def parse(text: str, secret_parameters: Collection[str] = (), *, root: bool = False) -> ArchiveUrl:
    """Parse an archive URL.

    Args:
        text: the URL; http and https URLs may have a query.
        secret_parameters: further names of parameters that are credentials.
        root: whether the root of a bucket is allowed, for requests of single objects.

    Raises:
        Invalid: of field ``archive_url``; the message gives the correct form, and does not repeat
            the text, which may contain a password.
    """
    place, mark, query = text.partition("?")
    url = parse_prefix(place, "archive_url")
    if not url.segments and not (root and SCHEMES[url.scheme].bucket):
        raise Invalid.field("archive_url", "names no build: a path must follow the host or bucket")
    if not mark:
        return url
    try:
        return _with_query(url, query, secret_parameters)
    except ValueError as error:
        raise Invalid.field("archive_url", str(error)) from None


def most_specific_first(prefix: ArchiveUrl | None) -> float:
    """Sort key for prefixes: longest first; None, which means all others, last."""
    return math.inf if prefix is None else -len(prefix.segments)


def parse_prefix(text: str, field: str) -> ArchiveUrl:
    """Parse a URL that may end after its host or bucket; `field` is its name in errors.

    Raises:
        Invalid: of that field.
    """
    try:
        return _parse(text)
    except ValueError as error:
        raise Invalid.field(field, str(error)) from None


def parse_setting(text: str, setting: str) -> ArchiveUrl:
    """Parse a URL in a setting, which may list several URLs; an error names the wrong one.

    Raises:
        Invalid: of that setting; the message does not repeat a text that may contain a password.
    """
    try:
        return _parse(text)
    except ValueError as error:
        named = "" if "@" in text or "?" in text else f"{text!r}: "
        raise Invalid.field(setting, f"{named}{error}") from None


def canonical_filter(text: str, secret_parameters: Collection[str] = ()) -> str:
    """Return the canonical spelling of a URL for filtering rows; other texts stay unchanged."""
    try:
        return parse(text, secret_parameters, root=True).canonical
    except Invalid:
        return text


def canonical_prefix(text: str) -> str:
    """Return the canonical spelling of a URL prefix; other texts are returned unchanged.

    A slash at its end is kept: ``gs://b/board/`` does not match ``gs://b/board-2``.
    """
    try:
        url = parse_prefix(text, "prefix")
    except Invalid:
        return text
    ends = "/" if text.endswith("/") and url.segments else ""
    return url.canonical.removesuffix("/") + ends if url.segments else url.canonical


def is_safe_name(name: str) -> bool:
    """Return whether a relative name can be that of an object.

    More is allowed than in the URL of an archive: a backslash, a no-break space and ``%20`` are
    ordinary characters here, and percent-encoded in the URL of the object. But servers on Windows
    follow a backslash after ``..``, and some servers decode a URL twice, which may give another
    name, but must not lead to another place: ``%2e%2e`` and ``a%2Fb`` are not safe.
    """
    reading = name
    for _ in range(_MAX_READINGS):
        if not _is_path(reading) or _separators(reading) != _separators(name):
            return False
        if "%" not in reading or (decoded := unquote(reading)) == reading:
            return True
        reading = decoded
    return False


def _is_path(name: str) -> bool:
    """Return whether a name leads downwards, by segments that all servers read in the same way."""
    try:
        for segment in name.split("/"):
            _check_length(segment)
            if segment in ("", ".") or ".." in segment.split("\\"):
                return False
    except ValueError:
        return False
    return not has_unsafe_character(name)


def _separators(name: str) -> tuple[int, int]:
    return name.count("/"), name.count("\\")


def _with_query(url: ArchiveUrl, query: str, secret_parameters: Collection[str]) -> ArchiveUrl:
    if SCHEMES[url.scheme].bucket or url.local:
        raise ValueError(f"must not have a query: in {url.scheme}://, %3F is a question mark")
    if len(query) > MAX_QUERY_BYTES or not query.isascii() or not query.isprintable():
        raise ValueError(f"must have a query of at most {MAX_QUERY_BYTES} characters of ASCII")
    if "#" in query or " " in query:
        raise ValueError("must not have a fragment, or a space in its query")
    split = split_query(query, secret_parameters)
    whole = replace(
        url,
        query=split.identity,
        sent_query=query,
        has_credential=split.has_credential,
        is_object=split.of_one_object,
    )
    if len(whole.canonical.encode()) > MAX_URL_BYTES:
        raise ValueError(f"is longer than {MAX_URL_BYTES} bytes, without its credential")
    return whole


# Cached, because many clients name the same archive at the same time.
@lru_cache(maxsize=1024)
def _parse(text: str) -> ArchiveUrl:
    shape = _SHAPE.fullmatch(_checked_text(text))
    if shape is None:
        raise ValueError("must be absolute: scheme://bucket-or-host/path")
    scheme = shape["scheme"].lower()
    if scheme not in SCHEMES:
        raise ValueError(f"the scheme must be one of {', '.join(SCHEMES)}")
    url = ArchiveUrl(scheme, _authority(scheme, shape["authority"]), _segments(shape["path"] or ""))
    if len(url.canonical.encode()) > MAX_URL_BYTES:
        raise ValueError(f"is longer than {MAX_URL_BYTES} bytes")
    return url


def _checked_text(text: str) -> str:
    if not text:
        raise ValueError("is missing")
    if len(text) > MAX_URL_BYTES:
        raise ValueError(f"is longer than {MAX_URL_BYTES} bytes")
    if not text.isprintable():
        raise ValueError("must not contain control or invisible characters")
    if "\\" in text:
        raise ValueError("must not contain a backslash")
    if "?" in text or "#" in text:
        raise ValueError("must not have a fragment; only an archive_url may have a query")
    return text


def _segments(path: str) -> tuple[str, ...]:
    if path in ("", "/"):
        return ()
    inner = path.removeprefix("/").removesuffix("/")
    return tuple(_segment(raw) for raw in inner.split("/"))


def _segment(raw: str) -> str:
    if raw.count("%") != len(_ESCAPE.findall(raw)):
        raise ValueError("has a % that is not followed by two hexadecimal digits")
    try:
        segment = unquote(raw, errors="strict")
    except UnicodeDecodeError:
        raise ValueError("must be UTF-8 when percent-decoded") from None
    _check_segment(segment)
    return segment


def _check_segment(segment: str) -> None:
    if not segment:
        raise ValueError("must not have an empty path segment")
    if segment in (".", ".."):
        raise ValueError("must not have . or .. as a path segment")
    if "/" in segment or "\\" in segment:
        raise ValueError("must not have a percent-encoded separator")
    if not segment.isprintable():
        raise ValueError("must not contain control or invisible characters")
    if _ESCAPE.search(segment):
        raise ValueError("must not be percent-encoded twice")
    _check_length(segment)


def _check_length(segment: str) -> None:
    if len(segment.encode()) > MAX_SEGMENT_BYTES:
        raise ValueError(f"has a path segment longer than {MAX_SEGMENT_BYTES} bytes")


def _authority(scheme: str, text: str) -> str:
    if "@" in text:
        raise ValueError("must not carry a user name or password")
    if SCHEMES[scheme].local:
        if text:
            raise ValueError("a file URL has no host: write file:///path")
        return ""
    if not text:
        raise ValueError("has no host or bucket")
    if SCHEMES[scheme].bucket:
        return _bucket(text)
    return _http_authority(scheme, text)


def _bucket(text: str) -> str:
    if _BUCKET.fullmatch(text) is None or ".." in text:
        raise ValueError("the bucket must be 3 to 222 of a-z, 0-9, dot, underscore and hyphen")
    return text


def _http_authority(scheme: str, text: str) -> str:
    host, colon, digits = text, "", ""
    if not text.endswith("]"):
        host, colon, digits = text.rpartition(":") if ":" in text else (text, "", "")
    if colon and not (digits.isascii() and digits.isdigit() and 0 < int(digits) <= _MAX_PORT):
        raise ValueError("the port must be a number from 1 to 65535")
    host = _ipv6(host) if host.startswith("[") else _host(host)
    if not colon or int(digits) == SCHEMES[scheme].default_port:
        return host
    return f"{host}:{int(digits)}"


def _ipv6(text: str) -> str:
    # A zone (%eth0) would name an interface of this machine.
    inner = "" if "%" in text else text.removeprefix("[").removesuffix("]")
    try:
        return f"[{ipaddress.IPv6Address(inner).compressed}]"
    except ValueError:
        raise ValueError("the host is not an IPv6 address") from None


def _host(text: str) -> str:
    try:
        # IDNA first: it also folds look-alike full stops and full-width digits.
        host = text.encode("idna").decode("ascii").lower()
    except UnicodeError:
        raise ValueError("the host is not a valid name") from None
    if host.endswith("."):
        raise ValueError("the host must be written without a trailing dot")
    labels = host.split(".")
    if len(host) > _MAX_HOST_LENGTH or not all(_LABEL.fullmatch(label) for label in labels):
        raise ValueError("the host is not a valid name")
    # Some parsers treat a host that ends in a number as an address: accept only its plainest form.
    if _NUMBER.fullmatch(labels[-1]):
        return _ipv4(host)
    return host


def _ipv4(text: str) -> str:
    try:
        return str(ipaddress.IPv4Address(text))
    except ValueError:
        raise ValueError("an IPv4 address must be four decimal numbers") from None
