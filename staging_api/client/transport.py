"""Send requests again until they are answered or their time is over.

What if the service dies? Connection refused: the request is sent again. Killed after it read the
request, or before its answer arrived: the same request is sent again, a POST with the same
Idempotency-Key, so that finished work is answered and not repeated. Frozen: the same after
`_SILENCE_SECONDS` without a byte, to the process that answers next.
"""

import json
import time
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any
from urllib.parse import urlsplit

from staging_api.client.pacing import Deadline, OnRetry, Pacing, retried
from staging_api.client.problems import problem
from staging_api.errors import AnswerUnusable, DeadlineOver, Invalid, LockHeld, Unavailable

if TYPE_CHECKING:
    from urllib3 import BaseHTTPResponse

_CONNECT_SECONDS = 10.0
_SILENCE_SECONDS = 120.0
#: One wait in the service's queue for a lock; half of what the service permits by default.
_QUEUE_SECONDS = 30.0
#: Time-out of the last try when little time is left: enough for a refusal.
_LAST_TRY_SECONDS = 1.0

#: A body: bytes, or pieces that can be read again.
Content = bytes | Iterable[bytes]


@dataclass(frozen=True)
class Reply:
    """An answer that is not an error; `document` is None for one without a body."""

    status: int
    headers: Mapping[str, str]
    document: Any


class Transport:
    """Connections to one service; threads may share it."""

    def __init__(self, base_url: str, headers: Mapping[str, str], pacing: Pacing) -> None:
        """Send nothing yet.

        Args:
            base_url: address of the service, with the path it is mounted at, if any.
            headers: sent with every request.
            pacing: when to try again, and for how long.

        Raises:
            Invalid: `base_url` is not an HTTP address.
        """
        # Imported here: it is most of the import time, which --help does not need.
        import urllib3

        self.base_url = _checked(base_url)
        self.pacing = pacing
        self._headers = dict(headers)
        # A pool manager takes no proxy from the environment, unlike most clients.
        self._pool = urllib3.PoolManager(maxsize=8, retries=False)

    def close(self) -> None:
        """Close the connections."""
        self._pool.clear()

    def exchange(
        self,
        method: str,
        path: str,
        deadline: Deadline,
        *,
        body: Mapping[str, Any] | None = None,
        content: Content | None = None,
        headers: Mapping[str, str] | None = None,
        on_retry: OnRetry | None = None,
        queues: bool = False,
    ) -> Reply:
        """Send a request until its answer would not change by a retry.

        Args:
            method: of HTTP.
            path: below the address of the service, quoted.
            deadline: for all tries together.
            body: sent as JSON.
            content: alternative to `body`: sent as it is, from its beginning with each try.
            headers: of this request.
            on_retry: called before each wait.
            queues: whether to wait in the service's queue for a held lock before coming again.

        Raises:
            StagingApiError: the error in the answer; the last one when the time is over.
            Unavailable: the service was out of reach for too long.
            DeadlineOver: it took the request, and did not answer in time.
            AnswerUnusable: the answer is not one of this service.
        """
        content = content if body is None else json.dumps(body).encode()
        sent = {} if body is None else {"Content-Type": "application/json"}

        def once() -> Reply:
            wait = _queue_seconds(deadline) if queues else 0
            given = _preferring({**sent, **(headers or {})}, wait)
            began = time.monotonic()
            try:
                with self.sent(method, path, deadline, given, content) as answer:
                    return _reply(answer)
            except LockHeld as error:
                if wait and time.monotonic() - began >= wait:
                    # The request has waited in the service's queue: queue again at once.
                    error.retry_after_seconds = None
                raise

        return retried(once, deadline, self.pacing, on_retry)

    @contextmanager
    def sent(
        self,
        method: str,
        path: str,
        deadline: Deadline,
        headers: Mapping[str, str],
        content: Content | None = None,
    ) -> Iterator["BaseHTTPResponse"]:
        """Send a request once; read its answer within the block.

        Args:
            method: of HTTP.
            path: below the address of the service, quoted.
            deadline: bounds each wait for bytes.
            headers: of this request.
            content: its body; `headers` have its length unless it is bytes.

        Raises:
            Unavailable: refused, reset, or cut off within the answer.
            DeadlineOver: no byte came in time.
            AnswerUnusable: TLS failed.
        """
        url, all_headers = self.base_url + path, {**self._headers, **headers}
        with self._answered(method, url, deadline, all_headers, content) as answer:
            yield answer

    @contextmanager
    def sent_on(
        self, link: str, deadline: Deadline, headers: Mapping[str, str]
    ) -> Iterator["BaseHTTPResponse"]:
        """Follow a link of the service into its store.

        Our own headers are not sent there: the link suffices, and the credential is for the
        service only.

        Raises:
            StagingApiError: as for `sent`.
        """
        if not link.startswith(("http://", "https://")):
            raise AnswerUnusable(f"{self.base_url} sent a link that is not an HTTP URL")
        with self._answered("GET", link, deadline, headers, None) as answer:
            yield answer

    @contextmanager
    def _answered(
        self,
        method: str,
        url: str,
        deadline: Deadline,
        headers: Mapping[str, str],
        content: Content | None,
    ) -> Iterator["BaseHTTPResponse"]:
        import urllib3

        silence = min(max(deadline.remaining_seconds(), _LAST_TRY_SECONDS), _SILENCE_SECONDS)
        with self._translated_errors():
            answer = self._pool.request(
                method,
                url,
                body=content,
                headers=headers,
                timeout=urllib3.Timeout(connect=min(silence, _CONNECT_SECONDS), read=silence),
                redirect=False,
                preload_content=False,
            )
            try:
                yield answer
                answer.drain_conn()
            except BaseException:
                answer.close()  # unread bytes would be taken for the next answer
                raise

    @contextmanager
    def _translated_errors(self) -> Iterator[None]:
        from urllib3 import exceptions

        try:
            yield
        except exceptions.SSLError as error:
            raise AnswerUnusable(f"{self.base_url}: TLS failed: {error}") from error
        except exceptions.ReadTimeoutError as error:
            raise DeadlineOver(f"no answer in time from {self.base_url}") from error
        except exceptions.HTTPError as error:
            raise Unavailable(f"{self.base_url} cannot be reached: {_reason(error)}") from error


def _queue_seconds(deadline: Deadline) -> int:
    """Return how long to queue: less than the deadline, so that the refusal still arrives."""
    return int(max(0.0, min(_QUEUE_SECONDS, deadline.remaining_seconds() - _LAST_TRY_SECONDS)))


def _preferring(headers: Mapping[str, str], wait: int) -> Mapping[str, str]:
    if not wait:
        return headers
    preferences = filter(None, [headers.get("Prefer"), f"wait={wait}"])
    return {**headers, "Prefer": ", ".join(preferences)}


def _checked(base_url: str) -> str:
    parts = urlsplit(base_url)
    if parts.scheme not in {"http", "https"} or not parts.hostname:
        raise Invalid.field("base_url", f"must be http://... or https://..., not {base_url!r}")
    return base_url.rstrip("/")


def _reply(answer: "BaseHTTPResponse") -> Reply:
    body = answer.read()
    if answer.status >= 400:  # noqa: PLR2004 - errors, RFC 9110
        raise problem(answer.status, answer.headers, body)
    if answer.status == 304:  # noqa: PLR2004 - Not Modified
        return Reply(answer.status, answer.headers, None)
    if answer.status >= 300:  # noqa: PLR2004 - redirections
        raise AnswerUnusable(f"the service is not here but at {answer.headers.get('Location')}")
    try:
        return Reply(answer.status, answer.headers, json.loads(body))
    except ValueError:
        said = body[:100].decode(errors="replace")
        raise AnswerUnusable(f"status {answer.status} with what is not JSON: {said!r}") from None


def _reason(error: Exception) -> str:
    """Return the message of the innermost cause: urllib3 wraps it in its own."""
    cause: BaseException = error
    while cause.__cause__ or cause.__context__:
        cause = cause.__cause__ or cause.__context__ or cause
    return getattr(cause, "strerror", None) or str(cause)
