"""Joining: for clients that take a refusal for final, a request waits for the work of another.

Of identical requests of a process one does the work and the others wait for its result
(`single_flight`). That one, if it finds the lock held, by another process say, writes down what it
wants (`StagingService.queue_behind`), and waits until the rows say that it is there. It makes no
difference which process brings it: the lock holder, a worker after it, or one that took over from a
dead process.

What if the process dies during a wait? What was wanted is written down, so a worker
brings it; the client asks again and joins again. It ends in good order: it says so at once. The
worker dies: another takes its rows up, and the wait goes on. The client goes away: its slot is free
at once, and another request that waits for the same goes on in its place.
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

#: Between two looks at the rows of a staging whose version did not change.
_LOOK_SECONDS = 5.0
_Result = TypeVar("_Result")
_FOREGROUND: tuple[Phase, ...] = ("foreground",)


@dataclass
class WaiterSlots:
    """How many requests of this process may stage or wait at once."""

    number: int
    taken: int = 0
    _mutex: threading.Lock = field(default_factory=threading.Lock)

    @contextmanager
    def one(self) -> Iterator[None]:
        """A slot for the block.

        Raises:
            Unavailable: all are taken.
        """
        with self._mutex:
            if self.taken >= self.number:
                raise Unavailable("as many requests as may wait at once do already")
            self.taken += 1
        try:
            yield
        finally:
            with self._mutex:
                self.taken -= 1


@dataclass(frozen=True)
class Joining:
    """Staging for callers that wait for each other.

    Attributes:
        watch: has a slot for each of `waiter_slots`.
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
        """Check a request, as `StagingService.check_request` does.

        These callers take "it is not there" for final, and ask while builds are still uploaded: if
        they do not say how long to wait, they wait as long as the service allows.
        """
        if upload_wait_seconds is None:
            upload_wait_seconds = self.stagings.uploads.wait_seconds
        return self.stagings.check_request(archive_url, artifacts, upload_wait_seconds)

    def slot(self, client: Client) -> AbstractContextManager[Slot]:
        """Take one of the slots for long requests; raises what `WorkSlots.one` does."""
        return self.stagings.slots.one(client, self.stagings.locks.shutdown)

    def stage(self, request: StagingRequest, origin: RequestOrigin) -> None:
        """Return once the foreground is staged; what follows is on its way.

        Raises:
            LockHeld: another works on it, and this service `refuses`.
            Unavailable: no slot is free, or the wait took too long; the work goes on.
            ClientGone: the client closed its connection while its request waited.
            StagingApiError: an artifact failed, for this caller or for the one that it joined.
        """
        self._patiently(partial(self._stage, request, origin), origin.client)

    def stage_all(self, request: StagingRequest, origin: RequestOrigin) -> None:
        """Return once everything is staged, what would follow included.

        Raises:
            StagingApiError: as `stage` does.
        """
        self.stage(request, origin)
        self._patiently(partial(self._wait_for_all, request, origin, origin.client), origin.client)

    def queue(self, request: StagingRequest, origin: RequestOrigin) -> None:
        """Return at once; a worker stages it.

        Raises:
            LockHeld: another works on it, and this service `refuses`.
            Invalid: the archive's URL has a credential, which no worker would have.
        """
        request.check_can_be_left()
        self._patiently(partial(self._queue, request, origin), origin.client)

    def all_staged(self, request: StagingRequest, client: Client = ALWAYS_CONNECTED) -> bool:
        """Return whether each of its artifacts is staged, none missing: by one probe of an index.

        Most requests ask for what is staged; of those nothing else is to be found out.
        """

        def look(_deadline: float) -> bool:
            outcomes = self.stagings.outcomes(request)
            staged = {outcome.name for outcome in outcomes if outcome.state == "staged"}
            return staged == set(request.names) and len(outcomes) == len(staged)

        return self._patiently(look, client)

    def is_staged(self, request: StagingRequest, client: Client = ALWAYS_CONNECTED) -> bool:
        """Return whether all of it is there, by one probe of an index.

        Raises:
            StagingApiError: an artifact failed.
        """
        return not self._patiently(lambda _deadline: self._left(request, PHASES), client)

    def wait_for_all(self, request: StagingRequest, client: Client = ALWAYS_CONNECTED) -> None:
        """Return once all that earlier requests named is staged, the background included.

        Raises:
            NotFound: no request named it.
            Unavailable: no slot is free, or the wait took too long.
            ClientGone: the client closed its connection while its request waited.
            StagingApiError: an artifact failed.
        """
        self._patiently(partial(self._wait_for_all, request, None, client), client)

    def check_there(self, request: StagingRequest, named: Collection[str]) -> None:
        """Refuse a request that names an artifact which the archive does not have.

        An optional one may be missing from a group; a client that names it needs it.

        Raises:
            ArtifactNotFound: says which.
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
        """Stage it, or wait for the request that does, in whatever process."""
        try:
            self.stagings.stage(request, origin)
        # Lost as well: the process that took over may bring it.
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
        # One that may ask anew must not wait for one that may not.
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
        """Return once it is staged; request anew, by `origin`, what no staging brings any more."""
        while left := self._left(request, phases):
            with self.stagings.database.connect() as conn:
                bringer = reading.bringer(conn, request.archive_url, sorted(left))
            if bringer is None and (left := self._left(request, phases)):
                # Evicted since: all that was to do when we looked first is settled or gone.
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
        """Call with the deadline of the request, again while no database connection is free.

        A crowd of clients can keep them in use for longer than one request waits for one. That
        passes by itself, and these clients take a refusal for final.
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
            StagingApiError: some of it failed.
        """
        left = {kind.name for kind in request.kinds if kind.phase in phases}
        outcomes = self.stagings.outcomes(request)
        left -= {outcome.name for outcome in outcomes if outcome.settled}
        for outcome in outcomes:
            if outcome.name in left and outcome.state == "failed":
                raise self._failure(request, outcome.name)
        return left

    def _failure(self, request: StagingRequest, name: str) -> StagingApiError:
        """Return the error that an artifact failed with, of the class that its code has."""
        with self.stagings.database.connect() as conn:
            (row,) = reading.artifacts_of(conn, request.archive_url, [name])
        message = row.failure.message if row.failure else "failed"
        kind = class_of(row.failure.code) if row.failure else StagingApiError
        return kind(f"{name}: {message}")

    def _nothing_left(self, request: StagingRequest, origin: RequestOrigin) -> bool:
        """Return whether a request makes no work; most name staged artifacts, found by one probe.

        A staging that brings it records that this request relies on it.
        """
        outcomes = self.stagings.outcomes(request)
        settled = {outcome.name for outcome in outcomes if outcome.settled}
        is_missing = any(outcome.state == "missing" for outcome in outcomes)
        if settled == set(request.names):
            # Only what was missing is worth a look at the archive.
            return not (is_missing and self.stagings.late.came(request))
        if self.stagings.nothing_left(request) is None:
            return False
        self.stagings.queue_behind(request, origin)
        return True


def _key(request: StagingRequest, phases: tuple[Phase, ...]) -> Hashable:
    """Return the key that identical requests share."""
    return request.archive_url, frozenset(request.names), phases, request.upload_wait_seconds
