"""Blocking connections by urllib3; each request is sent once."""

import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import replace
from typing import TYPE_CHECKING

from staging_api.client.connections import (
    CONNECT_SECONDS,
    SentRequest,
    checked,
    noted,
    silence_seconds,
)
from staging_api.client.pacing import Deadline, Pacing
from staging_api.errors import AnswerUnusable, DeadlineOver, Unavailable, Unreachable

if TYPE_CHECKING:
    from urllib3 import BaseHTTPResponse


class Transport:
    """Connections to one service; threads may share it."""

    def __init__(self, base_url: str, headers: Mapping[str, str], pacing: Pacing) -> None:
        """Prepare the connections without opening one.

        Args:
            base_url: address of the service, with the path it is mounted at, if any.
            headers: headers of every request.
            pacing: parameters of retries.

        Raises:
            Invalid: `base_url` is not an HTTP address.
        """
        # Imported here: it is most of the import time, which --help does not need.
        import urllib3

        self.base_url = checked(base_url)
        self.pacing = pacing
        #: Whether the service ever answered.
        self.reached = False
        self._headers = dict(headers)
        # Unlike most clients, a pool manager takes no proxy from the environment. It keeps as many
        # connections as a fetch uses by default, and closes any others after each request.
        self._pool = urllib3.PoolManager(maxsize=8, retries=False)

    def close(self) -> None:
        """Close the connections."""
        self._pool.clear()

    @contextmanager
    def sent(self, request: SentRequest) -> Iterator["BaseHTTPResponse"]:
        """Send a request once; read its response within the block.

        Raises:
            Unreachable: nothing listens at the address, or its name is unknown.
            Unavailable: the connection was reset, or cut off within the response.
            DeadlineOver: no byte arrived in time.
            AnswerUnusable: TLS failed, or the head of the response is too long.
        """
        url, headers = self.base_url + request.path, {**self._headers, **request.headers}
        began = time.monotonic()
        with self._answered(replace(request, headers=headers), url) as answer:
            self.reached = True
            noted(request, answer.status, answer.headers, began)
            yield answer

    @contextmanager
    def sent_on(
        self, link: str, deadline: Deadline, headers: Mapping[str, str]
    ) -> Iterator["BaseHTTPResponse"]:
        """Follow a link of the service into its store.

        Our own headers are not sent to the store: the link suffices, and the credential is for the
        service only.

        Raises:
            StagingApiError: see `sent`.
        """
        if not link.startswith(("http://", "https://")):
            raise AnswerUnusable(f"{self.base_url} sent a link that is not an HTTP URL")
        with self._answered(SentRequest("GET", link, deadline, headers), link) as answer:
            yield answer

    @contextmanager
    def _answered(self, request: SentRequest, url: str) -> Iterator["BaseHTTPResponse"]:
        import urllib3

        silence = silence_seconds(request.deadline)
        with self._translated_errors():
            answer = self._pool.request(
                request.method,
                url,
                body=request.content,
                headers=request.headers,
                timeout=urllib3.Timeout(connect=min(silence, CONNECT_SECONDS), read=silence),
                redirect=False,
                preload_content=False,
            )
            try:
                yield answer
                answer.drain_conn()
            except BaseException:
                answer.close()  # unread bytes would be taken for the next response
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
        except (exceptions.NewConnectionError, exceptions.ConnectTimeoutError) as error:
            raise Unreachable(f"{self.base_url} cannot be reached: {_reason(error)}") from error
        except exceptions.HTTPError as error:
            # Raised for a response head that is too long: the standard library stops reading it,
            # and has no class for that.
            if "got more than" in _reason(error):
                raise AnswerUnusable(
                    f"{self.base_url} answers with more than 100 headers, or with one of more than"
                    " 64 KiB, which is not read"
                ) from error
            raise Unavailable(f"{self.base_url} cannot be reached: {_reason(error)}") from error


def _reason(error: Exception) -> str:
    """Return the message of the innermost cause: urllib3 wraps it in its own."""
    cause: BaseException = error
    while cause.__cause__ or cause.__context__:
        cause = cause.__cause__ or cause.__context__ or cause
    return getattr(cause, "strerror", None) or str(cause)
