"""HTTP client for GET and HEAD that follows redirects only within the allow-list.

The redirects, retries and decoding of urllib3 are disabled, because they would bypass our checks. A
credential belongs to an origin and is sent to no other.
"""

import http.client
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from dataclasses import dataclass

import urllib3

from staging_api.call_deadline import limited
from staging_api.errors import SourceFailed
from staging_api.sources.allowlist import AllowList
from staging_api.sources.headers import content_length
from staging_api.sources.model import SourceOptions
from staging_api.sources.origin import SENT_TARGET, OriginPools
from staging_api.sources.proxy_failures import proxy_failure
from staging_api.sources.retrying import Interrupted
from staging_api.sources.source_cookies import SourceCookies
from staging_api.sources.target import RequestTarget, redirected
from staging_api.sources.tls import tls_failure

Response = urllib3.BaseHTTPResponse

_OK, _PASSED_ON = 200, 203
_REDIRECTS = (301, 302, 303, 307, 308)
#: Start of an error message for which the standard library has no class.
_TOO_MANY = "got more than"
#: If at most this many bytes of a body are left, they are read so that the connection can be
#: reused.
_WORTH_READING = 64 << 10


@dataclass(frozen=True)
class SourceResponse:
    """A response after all redirects, whose body has not been read.

    Attributes:
        target: the URL that sent the response.
        coding: content coding to decode, although none was requested; empty: none.
    """

    response: Response
    target: RequestTarget
    coding: str = ""

    @property
    def status(self) -> int:
        """The status code; 203, from a proxy that may have changed the response, counts as 200."""
        status = int(self.response.status)
        return _OK if status == _PASSED_ON else status

    @property
    def headers(self) -> Mapping[str, str]:
        """The headers, by case-insensitive names."""
        return self.response.headers

    @property
    def has_end(self) -> bool:
        """Whether the end of the body can be distinguished from a truncation."""
        return content_length(self.headers) is not None or self.is_chunked

    @property
    def is_chunked(self) -> bool:
        """Whether the body is chunked, so that its end is marked."""
        return bool(getattr(self.response, "chunked", False))

    def read1(self, count: int) -> bytes:
        """Return the decoded bytes of one read of the socket; empty at the end."""
        return self.response.read1(count, decode_content=bool(self.coding))


class HttpClient:
    """Client for the origins in an allow-list."""

    def __init__(self, allowed: AllowList, options: SourceOptions) -> None:
        self._allowed = allowed
        self._options = options
        self._origins = OriginPools(options)

    @contextmanager
    def request(
        self, method: str, target: RequestTarget, headers: Mapping[str, str]
    ) -> Iterator[SourceResponse]:
        """Yield the response after all redirects; its body has not been read.

        Raises:
            SourceNotAllowed: a redirect, or an address, is outside the allow-list.
            SourceRefused: the certificate is not valid, or a proxy refuses.
            SourceFailed: there were too many redirects.
            Interrupted: there was no connection, or a timeout.
        """
        answer = self._followed(method, target, headers)
        try:
            with _translated_errors(target.url.authority):
                yield answer
        finally:
            _release(answer.response)

    def close(self) -> None:
        """Close all connections."""
        self._origins.close()

    def _followed(
        self, method: str, target: RequestTarget, headers: Mapping[str, str]
    ) -> SourceResponse:
        cookies = SourceCookies()
        for _ in range(self._options.redirects + 1):
            response = self._sent(method, target, {**headers, **cookies.headers(target.origin)})
            location = response.headers.get("Location")
            if response.status not in _REDIRECTS or location is None:
                return SourceResponse(response, target)
            # The body of a redirect may be endless, so the connection is dropped instead.
            response.close()
            cookies.take(target.origin, response.headers.getlist("Set-Cookie"))
            target = redirected(target, location)
        raise SourceFailed(f"redirected more than {self._options.redirects} times", retryable=False)

    def _sent(self, method: str, target: RequestTarget, headers: Mapping[str, str]) -> Response:
        pool = self._origins.pool(target.url, self._allowed.check(target.url))
        sent = {
            "Host": target.url.authority,
            "User-Agent": "staging-api",
            "Accept-Encoding": "identity",
            **headers,
        }
        # For plain HTTP a proxy gets the whole URL; for https it opens a tunnel.
        place = target.origin if pool.proxy is not None and pool.scheme == "http" else ""
        sent[SENT_TARGET] = f"{place}{target.path}"
        if header := self._options.authorization.get(target.origin):
            sent["Authorization"] = header
        host = target.url.authority
        try:
            with limited(self._options.head_seconds) as limit, _translated_errors(host):
                response = pool.urlopen(
                    method,
                    f"{place}/",
                    headers=sent,
                    assert_same_host=False,
                    retries=False,
                    redirect=False,
                    preload_content=False,
                    decode_content=False,
                )
        except Interrupted:
            # The name may resolve differently by now; new addresses are checked again.
            self._origins.drop(target.url)
            raise
        # The start of a truncated header looks like a complete one.
        if limit.over:
            response.close()
            self._origins.drop(target.url)
            raise Interrupted(f"{host} sends too slowly")
        return response


def broken_off(host: str, error: Exception) -> SourceFailed:
    """Translate a connection error of urllib3: headers too long, not HTTP, or connection cut."""
    cause = error.args[1] if len(error.args) > 1 else None
    if isinstance(cause, http.client.LineTooLong) or _TOO_MANY in str(cause):
        return SourceFailed(
            f"{host} answers with more than 100 headers, or with one of more than 64 KiB,"
            " which is not read",
            retryable=False,
        )
    # The standard library raises BadStatusLine also if there was no response at all.
    if isinstance(cause, http.client.BadStatusLine) and not isinstance(cause, OSError):
        return Interrupted(f"{host} answered with something that is not HTTP")
    return Interrupted(f"{host} cut the connection")


def _release(response: Response) -> None:
    """Return the connection to its pool if the body is nearly read, else close it."""
    left = response.length_remaining
    with suppress(urllib3.exceptions.HTTPError, OSError):
        if left is not None and left <= _WORTH_READING:
            # Even if nothing is left: http.client notices the end of a body only by a read.
            response.drain_conn()
    # After its end the connection is back in the pool, so this does not close it.
    response.close()


@contextmanager
def _translated_errors(host: str) -> Iterator[None]:
    """Translate urllib3's errors by their class: their messages contain URLs with secrets."""
    try:
        yield
    except urllib3.exceptions.SSLError as error:
        raise tls_failure(host, error) from None
    except urllib3.exceptions.ProxyError as error:
        raise proxy_failure(host, error) from None
    except urllib3.exceptions.ConnectTimeoutError:
        raise Interrupted(f"{host} could not be connected to in time") from None
    except urllib3.exceptions.NewConnectionError:
        raise Interrupted(f"{host} could not be connected to") from None
    except urllib3.exceptions.DecodeError:
        raise SourceFailed(
            f"{host} sent a body that is damaged, or does not match its Content-Encoding",
            retryable=False,
        ) from None
    except urllib3.exceptions.ReadTimeoutError:
        raise Interrupted(f"{host} stopped sending") from None
    except (urllib3.exceptions.HTTPError, OSError) as error:
        raise broken_off(host, error) from None
