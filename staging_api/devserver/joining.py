"""Joining: requests of clients for whom a refusal is final wait for the work of other requests.

Of identical requests in a process one does the work and the others wait for its result
(`single_flight`). If that request finds the lock held, for example by another process, it records
its artifacts (`StagingService.queue_behind`), and waits until their rows show that they are staged.
Any process may stage them: the lock holder, a worker after it, or a process that took over from a
dead one.

What if the process dies during a wait? The artifacts are recorded, so a worker stages them; the
client repeats its request, which joins again. If the process ends regularly, it answers the request
at once. If the worker dies, another one takes over its rows, and the wait continues. If the client
disconnects, its slot is free at once, and another request that waits for the same work takes its
place.
"""

import threading
import time
from collections.abc import Callable, Collection, Hashable, Iterator, Sequence
from contextlib import AbstractContextManager, contextmanager
from dataclasses import dataclass, field
from functools import partial
from typing import TypeVar

from staging_api.clients import ALWAYS_CONNECTED, Client, check_connected
from staging_api.errors import (
    ArtifactNotFound,
    LockHeld,
    LockLost,
    NoConnectionFree,
    NotFound,
    ShuttingDown,
    StagingApiError,
    Unavailable,
    class_of,
)
from staging_api.locks.hold import RequestOrigin
from staging_api.single_flight import SingleFlight, WaitTimedOut
from staging_api.staging.model import StagingRequest
from staging_api.staging.repository import reading
from staging_api.staging.service import StagingService
from staging_api.staging.watch import Watch
from staging_api.vocabulary.staging import PHASES, Phase
from staging_api.work_slots import Slot

#: Interval between two reads of a staging whose version did not change.
_LOOK_SECONDS = 5.0
_Result = TypeVar("_Result")
_FOREGROUND: tuple[Phase, ...] = ("foreground",)


@dataclass
class WaiterSlots:
    """Limit of requests of this process that stage or wait at once."""

    number: int
    taken: int = 0
    _mutex: threading.Lock = field(default_factory=threading.Lock)

    @contextmanager
    def one(self) -> Iterator[None]:
        """Occupy a slot during the block.

        Raises:
            Unavailable: all slots are occupied.
        """
        with self._mutex:
            if self.taken >= self.number:
                raise Unavailable(
                    f"too many requests are waiting already: {self.number}"
                    " (STAGING_DEVSERVER_WAITERS)"
                )
            self.taken += 1
        try:
            yield
        finally:
            with self._mutex:
                self.taken -= 1


@dataclass(frozen=True)
class Joining:
    """Staging for callers that wait for each other's work.

    Attributes:
        watch: watch with a slot for each of `waiter_slots`.
        patience_seconds: how long a caller may wait.
        refuses: whether a second caller gets `LockHeld`, instead of waiting.
    """

    stagings: StagingService
    watch: Watch
    waiter_slots: WaiterSlots
    patience_seconds: float
    refuses: bool = False
    flights: SingleFlight = field(default_factory=SingleFlight)

    def check_request(
        self, archive_url: str, artifacts: Sequence[str], upload_wait_seconds: float | None
    ) -> StagingRequest:
        """Check a request; see `StagingService.check_request`.

        For these callers "not found" is final, and they send requests while builds are still
        uploaded: unless they specify a wait, they wait as long as the service allows.
        """
        if upload_wait_seconds is None:
            upload_wait_seconds = self.stagings.uploads.wait_seconds
        return self.stagings.check_request(archive_url, artifacts, upload_wait_seconds)

    def slot(self, client: Client) -> AbstractContextManager[Slot]:
        """Occupy one of the slots for long requests; for errors see `WorkSlots.one`."""
        return self.stagings.slots.one(client, self.stagings.locks.shutdown)

    def stage(self, request: StagingRequest, origin: RequestOrigin) -> None:
        """Return once the foreground artifacts are staged; the background artifacts are queued.

        Raises:
            LockHeld: another request works on the archive, and this service `refuses`.
            Unavailable: no slot is free, or the wait took too long; the work continues.
            ClientGone: the client closed its connection while its request waited.
            StagingApiError: an artifact failed, for this request or for the one that it joined.
        """
        self._patiently(partial(self._stage, request, origin), origin.client)

    def stage_all(self, request: StagingRequest, origin: RequestOrigin) -> None:
        """Return once all artifacts are staged, including the background.

        Raises:
            StagingApiError: see `stage`.
        """
        self.stage(request, origin)
        self._patiently(partial(self._wait_for_all, request, origin, origin.client), origin.client)

    def queue(self, request: StagingRequest, origin: RequestOrigin) -> None:
        """Leave the request to a worker, and return at once.

        Raises:
            LockHeld: another request works on the archive, and this service `refuses`.
            Invalid: the archive's URL has a credential, which a worker would not have.
        """
        request.check_can_be_left()
        self._patiently(partial(self._queue, request, origin), origin.client)

    def all_staged(self, request: StagingRequest, client: Client = ALWAYS_CONNECTED) -> bool:
        """Return whether all artifacts are staged and none is missing, by one probe of an index.

        Most requests name staged artifacts, and need no other query.
        """

        def look(_deadline: float) -> bool:
            outcomes = self.stagings.outcomes(request)
            staged = {outcome.name for outcome in outcomes if outcome.state == "staged"}
            return staged == set(request.names) and len(outcomes) == len(staged)

        return self._patiently(look, client)

    def is_staged(self, request: StagingRequest, client: Client = ALWAYS_CONNECTED) -> bool:
        """Return whether all artifacts are settled, by one probe of an index.

        Raises:
            StagingApiError: an artifact failed.
        """
        return not self._patiently(lambda _deadline: self._left(request, PHASES), client)

    def wait_for_all(self, request: StagingRequest, client: Client = ALWAYS_CONNECTED) -> None:
        """Return once all artifacts of earlier requests are staged, including the background.

        Raises:
            NotFound: no request named the archive's artifacts.
            Unavailable: no slot is free, or the wait took too long.
            ClientGone: the client closed its connection while its request waited.
            StagingApiError: an artifact failed.
        """
        self._patiently(partial(self._wait_for_all, request, None, client), client)

    def check_there(self, request: StagingRequest, named: Collection[str]) -> None:
        """Refuse a request that names an artifact which the archive does not have.

        An optional artifact may be missing from a group; a client that names the artifact needs it.

        Raises:
            ArtifactNotFound: the message names the artifact.
        """
        for outcome in self.stagings.outcomes(request):
            if outcome.state == "missing" and outcome.name in named:
                raise ArtifactNotFound(f"{outcome.name} is not in {request.archive_url}")

    def _stage(self, request: StagingRequest, origin: RequestOrigin, deadline: float) -> None:
        key = _key(request, _FOREGROUND)
        if not self.flights.is_running(key) and self._nothing_left(request, origin):
            return
        with self.waiter_slots.one():
            if self.refuses:
                self.stagings.stage(request, origin)
            else:
                work = partial(self._bring, request, origin, deadline)
                self.flights.run(key, work, origin.client, deadline)

    def _bring(self, request: StagingRequest, origin: RequestOrigin, deadline: float) -> None:
        """Stage the artifacts, or wait for the request that stages them, in any process."""
        try:
            self.stagings.stage(request, origin)
        # LockLost, too: the process that took over may stage them.
        except (LockHeld, LockLost):
            self.stagings.queue_behind(request, origin)
            self._wait(request, _FOREGROUND, origin, origin.client, deadline)

    def _queue(self, request: StagingRequest, origin: RequestOrigin, _deadline: float) -> None:
        if self._nothing_left(request, origin):
            return
        if self.refuses:
            self.stagings.queue(request, origin)
        else:
            self.stagings.queue_behind(request, origin)

    def _wait_for_all(
        self,
        request: StagingRequest,
        origin: RequestOrigin | None,
        client: Client,
        deadline: float,
    ) -> None:
        # A waiter that may record a new request must not follow a waiter that may not.
        key = (_key(request, PHASES), origin is None)
        if not self.flights.is_running(key) and not self._left(request, PHASES):
            return
        with self.waiter_slots.one():
            work = partial(self._wait, request, PHASES, origin, client, deadline)
            self.flights.run(key, work, client, deadline)

    def _wait(
        self,
        request: StagingRequest,
        phases: tuple[Phase, ...],
        origin: RequestOrigin | None,
        client: Client,
        deadline: float,
    ) -> None:
        """Return once all is staged; by `origin`, record a new request if no staging will do it."""
        while left := self._left(request, phases):
            with self.stagings.database.connect() as conn:
                bringer = reading.bringer(conn, request.archive_url, sorted(left))
            if bringer is None and (left := self._left(request, phases)):
                # Evicted meanwhile: all work that existed at the first look is settled or gone.
                if origin is None:
                    raise NotFound(f"no staging brings {request.archive_url}")
                self.stagings.queue_behind(request, origin)
            if self.watch.closed:
                raise ShuttingDown(f"{request.archive_url} is still being staged")
            seconds = min(_LOOK_SECONDS, deadline - time.monotonic())
            if seconds <= 0:
                raise WaitTimedOut(f"{request.archive_url} is still being staged")
            if bringer is not None:
                self.watch.wait_for_change(bringer.id, bringer.version, seconds, client)

    def _patiently(self, call: Callable[[float], _Result], client: Client) -> _Result:
        """Call with the deadline of the request, and retry while no database connection is free.

        Many clients can occupy all connections for longer than one request waits for one. That is
        temporary, and for these clients a refusal is final.
        """
        deadline = time.monotonic() + self.patience_seconds
        while True:
            try:
                return call(deadline)
            except NoConnectionFree:
                check_connected(client)
                if self.watch.closed or time.monotonic() >= deadline:
                    raise

    def _left(self, request: StagingRequest, phases: tuple[Phase, ...]) -> set[str]:
        """Return the artifacts that are not settled: in work, or evicted meanwhile.

        Raises:
            StagingApiError: an artifact failed.
        """
        left = {kind.name for kind in request.kinds if kind.phase in phases}
        outcomes = self.stagings.outcomes(request)
        left -= {outcome.name for outcome in outcomes if outcome.settled}
        for outcome in outcomes:
            if outcome.name in left and outcome.state == "failed":
                raise self._failure(request, outcome.name)
        return left

    def _failure(self, request: StagingRequest, name: str) -> StagingApiError:
        """Return the error with which an artifact failed, in the class of its code."""
        with self.stagings.database.connect() as conn:
            (row,) = reading.artifacts_of(conn, request.archive_url, [name])
        message = row.failure.message if row.failure else "failed"
        kind = class_of(row.failure.code) if row.failure else StagingApiError
        return kind(f"{name}: {message}")

    def _nothing_left(self, request: StagingRequest, origin: RequestOrigin) -> bool:
        """Return whether a request causes no work; for most requests one probe shows that.

        If another staging stages the artifacts, it records that this request relies on it.
        """
        outcomes = self.stagings.outcomes(request)
        settled = {outcome.name for outcome in outcomes if outcome.settled}
        is_missing = any(outcome.state == "missing" for outcome in outcomes)
        if settled == set(request.names):
            # Only missing artifacts are worth another look at the archive.
            return not (is_missing and self.stagings.late.came(request))
        if self.stagings.nothing_left(request) is None:
            return False
        self.stagings.queue_behind(request, origin)
        return True


def _key(request: StagingRequest, phases: tuple[Phase, ...]) -> Hashable:
    """Return the key that identical requests share."""
    return request.archive_url, frozenset(request.names), phases, request.upload_wait_seconds
