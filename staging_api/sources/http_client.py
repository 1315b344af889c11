"""Send one GET or HEAD, following redirects only to where the allow-list permits.

Nothing of urllib3's own convenience is used that decides for us: no redirects, no retries, no
proxy from the environment, no decoding. A credential belongs to an origin and is sent to no other.
"""

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from urllib.parse import urljoin, urlsplit

import urllib3

from staging_api.errors import Invalid, SourceFailed, SourceNotAllowed, SourceRefused
from staging_api.sources.allowlist import AllowList
from staging_api.sources.model import SourceOptions
from staging_api.sources.origin import Origins
from staging_api.sources.retrying import Interrupted
from staging_api.sources.url import ArchiveUrl, parse_prefix

Response = urllib3.BaseHTTPResponse

_REDIRECTS = (301, 302, 303, 307, 308)
#: So little left of a body is read to the end, which keeps the connection for the next request.
_WORTH_READING = 64 << 10


@dataclass(frozen=True)
class _Target:
    url: ArchiveUrl
    query: str = ""

    @property
    def path(self) -> str:
        """What the request line asks for."""
        path = self.url.canonical.split("/", 3)[3]
        return f"/{path}?{self.query}" if self.query else f"/{path}"


class HttpClient:
    """Requests to the origins of an allow-list."""

    def __init__(self, allowed: AllowList, options: SourceOptions) -> None:
        self._allowed = allowed
        self._options = options
        self._origins = Origins(options)

    @contextmanager
    def request(
        self, method: str, url: ArchiveUrl, headers: Mapping[str, str]
    ) -> Iterator[Response]:
        """Give the answer that stands at the end of all redirects; its body is not read yet.

        Raises:
            SourceNotAllowed: a redirect, or an address, is outside the allow-list.
            SourceRefused: the certificate does not hold.
            SourceFailed: redirected too often.
            Interrupted: no connection, or a time-out.
        """
        response = self._followed(method, _Target(url), headers)
        try:
            with _told_in_our_words(url.authority):
                yield response
        finally:
            _let_go(response)

    def close(self) -> None:
        """Close all connections."""
        self._origins.close()

    def _followed(self, method: str, target: _Target, headers: Mapping[str, str]) -> Response:
        for _ in range(self._options.redirects + 1):
            response = self._sent(method, target, headers)
            location = response.headers.get("Location")
            if response.status not in _REDIRECTS or location is None:
                return response
            # Its body may be endless: the connection is not worth reading it.
            response.close()
            target = _redirected(target, location)
        raise SourceFailed(f"redirected more than {self._options.redirects} times")

    def _sent(self, method: str, target: _Target, headers: Mapping[str, str]) -> Response:
        pool = self._origins.pool(target.url, self._allowed.check(target.url))
        origin = f"{target.url.scheme}://{target.url.authority}"
        sent = {
            "Host": target.url.authority,
            "User-Agent": "staging-api",
            "Accept-Encoding": "identity",
            **headers,
        }
        if origin in self._options.authorization:
            sent["Authorization"] = self._options.authorization[origin]
        try:
            with _told_in_our_words(target.url.authority):
                return pool.urlopen(
                    method,
                    target.path,
                    headers=sent,
                    retries=False,
                    redirect=False,
                    preload_content=False,
                    decode_content=False,
                )
        except Interrupted:
            # The name may lead elsewhere by now; whatever it leads to is vetted again.
            self._origins.forget(target.url)
            raise


def _redirected(target: _Target, location: str) -> _Target:
    """Where a redirect leads; only its query may hold what an archive URL may not."""
    try:
        parts = urlsplit(urljoin(target.url.canonical, location))
        url = parse_prefix(f"{parts.scheme}://{parts.netloc}{parts.path}", "location")
    except (Invalid, ValueError):
        raise SourceFailed("redirected to what is no URL that may be read") from None
    if url.scheme not in ("http", "https"):
        raise SourceNotAllowed(f"redirected to the scheme {url.scheme}")
    return _Target(url, parts.query)


def _let_go(response: Response) -> None:
    """Give the connection back if its answer is nearly read, else close it."""
    left = response.length_remaining
    try:
        if left is not None and 0 < left <= _WORTH_READING:
            response.read(decode_content=False)
        if response.length_remaining:
            response.close()
    except (urllib3.exceptions.HTTPError, OSError):
        response.close()
    else:
        response.release_conn()


@contextmanager
def _told_in_our_words(host: str) -> Iterator[None]:
    """Say what failed by its class: the library's own texts hold URLs and their secrets."""
    try:
        yield
    except urllib3.exceptions.SSLError:
        raise SourceRefused(f"{host} did not prove its name by a certificate") from None
    except urllib3.exceptions.ConnectTimeoutError:
        raise Interrupted(f"{host} could not be connected to in time") from None
    except urllib3.exceptions.NewConnectionError:
        raise Interrupted(f"{host} could not be connected to") from None
    except urllib3.exceptions.ReadTimeoutError:
        raise Interrupted(f"{host} stopped sending") from None
    except (urllib3.exceptions.HTTPError, OSError):
        raise Interrupted(f"{host} cut the connection") from None
