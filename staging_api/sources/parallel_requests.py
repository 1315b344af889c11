"""Adaptive limit of the number of parallel connections to a source.

Servers limit connections in many ways: 429, 503, 403, a refused or reset connection, silence. So
any failure while other requests of this source are running counts as such a limit: from then on one
connection fewer is used, and the failure does not count as one of the source. A failure without
other requests does count. Each such failure removes a connection, so their number is bounded.

A range waits for its turn no longer than the read timeout; then it starts anyway, so that a reader
that keeps one range open while it reads another does not wait for itself.
"""

import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager

from staging_api.errors import ArtifactNotFound, SourceChanged, SourceFailed


class TooManyAtOnce(SourceFailed):
    """A request failed while others were running; it is repeated with fewer of them.

    Attributes:
        cause: the original failure.
    """

    def __init__(self, cause: SourceFailed) -> None:
        super().__init__(cause.detail, retry_after_seconds=cause.retry_after_seconds)
        self.cause = cause


class ParallelRequests:
    """The running requests for bytes of one source."""

    def __init__(self, patience_seconds: float) -> None:
        self._patience_seconds = patience_seconds
        self._most: int | None = None
        self._under_way = 0
        self._changed = threading.Condition()

    @contextmanager
    def one(self) -> Iterator[None]:
        """Take a turn for one request, until its last byte has arrived.

        Raises:
            TooManyAtOnce: the request failed while others were running.
        """
        self._enter()
        try:
            yield
        except (ArtifactNotFound, SourceChanged, TooManyAtOnce):
            raise
        except SourceFailed as error:
            if self._lose_one():
                raise TooManyAtOnce(error) from None
            raise
        finally:
            with self._changed:
                self._under_way -= 1
                self._changed.notify_all()

    def _enter(self) -> None:
        deadline = time.monotonic() + self._patience_seconds
        with self._changed:
            while self._most is not None and self._under_way >= self._most:
                left = deadline - time.monotonic()
                if left <= 0:
                    break
                self._changed.wait(left)
            self._under_way += 1

    def _lose_one(self) -> bool:
        """Lower the limit by one connection; False if no other request runs or the limit is one."""
        with self._changed:
            if self._under_way < 2 or self._most == 1:  # noqa: PLR2004 - itself and another
                return False
            known = self._under_way if self._most is None else min(self._most, self._under_way)
            self._most = max(known - 1, 1)
            return True
