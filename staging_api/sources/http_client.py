"""Send one GET or HEAD, following redirects only to where the allow-list permits.

urllib3's own redirects, retries, proxies from the environment and decoding are off: they would
decide for us. A credential belongs to an origin and is sent to no other.
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
#: A rest of a body up to this size is read, so that the connection can be reused.
_WORTH_READING = 64 << 10


@dataclass(frozen=True)
class _Target:
    url: ArchiveUrl
    query: str = ""

    @property
    def path(self) -> str:
        """Return path and query for the request line."""
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
        """Yield the answer after all redirects; its body has not been read.

        Raises:
            SourceNotAllowed: a redirect, or an address, is outside the allow-list.
            SourceRefused: the certificate is not valid.
            SourceFailed: redirected too often.
            Interrupted: no connection, or a time-out.
        """
        response = self._followed(method, _Target(url), headers)
        try:
            with _translated_errors(url.authority):
                yield response
        finally:
            _release(response)

    def close(self) -> None:
        """Close all connections."""
        self._origins.close()

    def _followed(self, method: str, target: _Target, headers: Mapping[str, str]) -> Response:
        for _ in range(self._options.redirects + 1):
            response = self._sent(method, target, headers)
            location = response.headers.get("Location")
            if response.status not in _REDIRECTS or location is None:
                return response
            # The body of a redirect may be endless: drop the connection instead.
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
            with _translated_errors(target.url.authority):
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
            # The name may resolve differently by now; new addresses are vetted again.
            self._origins.drop(target.url)
            raise


def _redirected(target: _Target, location: str) -> _Target:
    """Return the target of a redirect; only its query may hold what an archive URL may not."""
    try:
        parts = urlsplit(urljoin(target.url.canonical, location))
        url = parse_prefix(f"{parts.scheme}://{parts.netloc}{parts.path}", "location")
    except (Invalid, ValueError):
        raise SourceFailed("redirected to an invalid URL") from None
    if url.scheme not in ("http", "https"):
        raise SourceNotAllowed(f"redirected to the scheme {url.scheme}")
    return _Target(url, parts.query)


def _release(response: Response) -> None:
    """Return the connection to its pool if the body is nearly read, else close it."""
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
def _translated_errors(host: str) -> Iterator[None]:
    """Translate urllib3's errors by their class: their messages hold URLs and their secrets."""
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
