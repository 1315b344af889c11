"""Single flight: concurrent requests for the same work share one execution."""

import threading
import time
from collections.abc import Callable
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass, field

import pytest

from staging_api.clients import ALWAYS_CONNECTED
from staging_api.errors import ClientGone, NotFound, ShuttingDown, StagingApiError, Unavailable
from staging_api.open_stream import OpenStream
from staging_api.shutdown import Shutdown
from staging_api.single_flight import SingleFlight, WaitTimedOut
from staging_api.work_slots import WorkSlots, _Turn
from tests.service import eventually


@dataclass
class Leaving:
    """Client that disconnects when the test says so."""

    gone: bool = False
    wakes: list[Callable[[], None]] = field(default_factory=list)

    def waiting(self, wake: Callable[[], None]) -> AbstractContextManager[None]:
        self.wakes.append(wake)
        if self.gone:
            wake()
        return nullcontext()

    def leave_to(self, stream: OpenStream) -> bool:
        del stream
        return False

    def go(self) -> None:
        self.gone = True
        for wake in self.wakes:
            wake()


@dataclass
class Work:
    """Work that runs until the test releases it, and may fail."""

    error: BaseException | None = None
    begun: int = 0
    release: threading.Event = field(default_factory=threading.Event)

    def __call__(self) -> None:
        self.begun += 1
        assert self.release.wait(30)
        if self.error is not None:
            raise self.error


def in_seconds(seconds: float) -> float:
    return time.monotonic() + seconds


def followers(flight: SingleFlight, key: str) -> int:
    return len(flight._followers.get(key, ()))


def test_one_does_it_for_all_of_the_same_key_and_another_key_is_another_matter():
    flight, work, other = SingleFlight(), Work(), Work()
    with ThreadPoolExecutor(20) as pool:
        same = [
            pool.submit(flight.run, "a", work, ALWAYS_CONNECTED, in_seconds(30)) for _ in range(10)
        ]
        eventually(lambda: followers(flight, "a") == 9, "they do not wait")
        apart = pool.submit(flight.run, "b", other, ALWAYS_CONNECTED, in_seconds(30))
        eventually(lambda: other.begun == 1, "another key waits")
        other.release.set()
        apart.result()
        work.release.set()
        assert [one.result() for one in same] == [None] * 10
        assert work.begun == 1
        assert not flight.is_running("a")


def test_all_followers_get_the_error_each_as_a_copy():
    flight, work = SingleFlight(), Work(NotFound("it is not there", extra={"a": 1}))
    with ThreadPoolExecutor(5) as pool:
        asked = [
            pool.submit(flight.run, "a", work, ALWAYS_CONNECTED, in_seconds(30)) for _ in range(5)
        ]
        eventually(lambda: followers(flight, "a") == 4, "they do not wait")
        work.release.set()
        errors = [one.exception() for one in asked]
    assert {type(error) for error in errors} == {NotFound}
    assert {error.detail for error in errors if isinstance(error, StagingApiError)} == {
        "it is not there"
    }
    assert len({id(error) for error in errors}) == 5


@pytest.mark.parametrize(
    "error", [ClientGone("gone"), WaitTimedOut("over"), RuntimeError("a fault of its own")]
)
@pytest.mark.parametrize("count", [1, 2])
def test_the_next_request_leads_when_the_first_gives_up(error, count):
    flight, first, second = SingleFlight(), Work(error), Work()
    with ThreadPoolExecutor(3) as pool:
        leader = pool.submit(flight.run, "a", first, ALWAYS_CONNECTED, in_seconds(30))
        eventually(lambda: first.begun == 1, "it does not begin")
        waiting = [
            pool.submit(flight.run, "a", second, ALWAYS_CONNECTED, in_seconds(30))
            for _ in range(count)
        ]
        eventually(lambda: followers(flight, "a") == count, "they do not wait")
        first.release.set()
        assert isinstance(leader.exception(), type(error))
        second.release.set()
        assert [one.result() for one in waiting] == [None] * count
    assert second.begun == 1


def test_one_that_is_gone_when_the_work_falls_to_it_leaves_it_to_the_next():
    flight, first, second, left = SingleFlight(), Work(ClientGone("gone")), Work(), Work()
    leaving = Leaving()
    second.release.set()
    left.release.set()
    with ThreadPoolExecutor(3) as pool:
        leader = pool.submit(flight.run, "a", first, ALWAYS_CONNECTED, in_seconds(30))
        eventually(lambda: first.begun == 1, "it does not begin")
        asked = []
        for work, client in ((left, leaving), (second, ALWAYS_CONNECTED)):
            asked.append(pool.submit(flight.run, "a", work, client, in_seconds(30)))
            eventually(lambda: followers(flight, "a") == len(asked), "it does not wait")
        # Nothing wakes this waiter: it is still first in the queue when the leader gives up.
        leaving.gone = True
        first.release.set()
        assert isinstance(leader.exception(), ClientGone)
        assert isinstance(asked[0].exception(), ClientGone)
        assert asked[1].result() is None
    assert (left.begun, second.begun) == (0, 1)


def test_a_client_that_goes_or_has_waited_long_enough_leaves_the_others():
    flight, work, leaving = SingleFlight(), Work(), Leaving()
    with ThreadPoolExecutor(3) as pool:
        leader = pool.submit(flight.run, "a", work, ALWAYS_CONNECTED, in_seconds(30))
        eventually(lambda: work.begun == 1, "it does not begin")
        gone: Future[None] = pool.submit(flight.run, "a", work, leaving, in_seconds(30))
        eventually(lambda: bool(leaving.wakes), "it does not wait")
        leaving.go()
        assert isinstance(gone.exception(), ClientGone)
        with pytest.raises(WaitTimedOut):
            flight.run("a", work, ALWAYS_CONNECTED, in_seconds(0.01))
        assert followers(flight, "a") == 0
        work.release.set()
        leader.result()


def queued(slots: WorkSlots) -> int:
    return len(slots._queue)


def test_slots_are_given_in_order_and_a_client_that_goes_leaves_the_queue():
    slots, shutdown, order = WorkSlots(1), Shutdown(), list[str]()

    def work(name: str, client: Leaving) -> None:
        with slots.one(client, shutdown):
            order.append(name)

    with ThreadPoolExecutor(3) as pool:
        gone = Leaving()
        with slots.one(ALWAYS_CONNECTED, shutdown):
            asked = []
            for number, (name, client) in enumerate(
                [("first", Leaving()), ("gone", gone), ("last", Leaving())]
            ):
                asked.append(pool.submit(work, name, client))
                eventually(lambda: queued(slots) == number + 1, "it does not queue")  # noqa: B023
            gone.go()
            assert isinstance(asked[1].exception(), ClientGone)
        asked[0].result()
        asked[2].result()
    assert order == ["first", "last"]
    assert queued(slots) == 0


def test_two_work_at_once_one_may_queue_and_the_next_is_refused():
    slots, shutdown = WorkSlots(2, most_waiting=1), Shutdown()
    with ThreadPoolExecutor(1) as pool:
        with slots.one(ALWAYS_CONNECTED, shutdown), slots.one(ALWAYS_CONNECTED, shutdown) as second:
            waiting = pool.submit(slots.take, ALWAYS_CONNECTED, shutdown, first=False)
            eventually(lambda: queued(slots) == 1, "the third did not queue")
            with pytest.raises(Unavailable, match="too many requests are queued"):
                slots.take(ALWAYS_CONNECTED, shutdown, first=False)
            assert queued(slots) == 1
            second.give()
            waiting.result()


def test_one_that_had_a_slot_comes_back_to_a_full_queue_and_before_the_others():
    slots, shutdown, order = WorkSlots(1, most_waiting=1), Shutdown(), list[str]()

    def take(name, *, first):
        slots.take(ALWAYS_CONNECTED, shutdown, first=first)
        order.append(name)
        slots.give()

    with ThreadPoolExecutor(2) as pool:
        with slots.one(ALWAYS_CONNECTED, shutdown):
            pool.submit(take, "waited", first=False)
            eventually(lambda: queued(slots) == 1, "it does not queue")
            pool.submit(take, "came back", first=True)
            eventually(lambda: queued(slots) == 2, "it was refused")
    assert order == ["came back", "waited"]


def test_a_slot_that_comes_as_its_client_goes_is_given_on():
    slots, shutdown = WorkSlots(1), Shutdown()

    class Late(Leaving):
        def waiting(self, wake):
            slots.give()
            self.gone = True
            return super().waiting(wake)

    slots.take(ALWAYS_CONNECTED, shutdown, first=False)
    with pytest.raises(ClientGone):
        slots.take(Late(), shutdown, first=False)
    # The slot is free again; otherwise this would wait for ever.
    with slots.one(Leaving(gone=True), shutdown):
        assert queued(slots) == 0


def test_a_slot_is_another_ones_while_its_request_waits_in_the_middle_of_its_work():
    slots, shutdown, done = WorkSlots(1), Shutdown(), list[str]()
    with slots.one(ALWAYS_CONNECTED, shutdown) as slot:
        with slot.aside(), slots.one(ALWAYS_CONNECTED, shutdown):
            done.append("another")
        done.append("on")
        with ThreadPoolExecutor(1) as pool:
            late = pool.submit(lambda: slots.one(ALWAYS_CONNECTED, shutdown).__enter__())
            eventually(lambda: queued(slots) == 1, "the slot was given twice")
            assert not late.done()
            slot.give()
            late.result().give()
    assert done == ["another", "on"]


def test_one_that_waited_in_the_middle_of_its_work_comes_before_those_that_queue():
    slots, shutdown, order = WorkSlots(1), Shutdown(), list[str]()

    def queue(name):
        with slots.one(ALWAYS_CONNECTED, shutdown):
            order.append(name)

    with ThreadPoolExecutor(2) as pool, slots.one(ALWAYS_CONNECTED, shutdown) as slot:
        with slot.aside():
            slots.take(ALWAYS_CONNECTED, shutdown, first=False)
            pool.submit(queue, "queued")
            eventually(lambda: queued(slots) == 1, "it does not queue")
            # Continues once this block, which is about to return, is queued as well.
            pool.submit(lambda: (eventually(lambda: queued(slots) == 2, ""), slots.give()))
        order.append("came back")
    assert order == ["came back", "queued"]


def test_a_thousand_may_queue_if_nothing_else_is_said():
    slots, shutdown = WorkSlots(0), Shutdown()
    slots._queue.extend([_Turn()] * 1000)
    with pytest.raises(Unavailable):
        slots.take(ALWAYS_CONNECTED, shutdown, first=False)
    slots._queue.pop()
    with pytest.raises(ClientGone):
        slots.take(Leaving(gone=True), shutdown, first=False)


def test_what_queues_when_the_process_ends_leaves_the_queue():
    slots, shutdown, other = WorkSlots(1), Shutdown(), Shutdown()
    shutdown.begin(30)

    class Once(Leaving):
        def waiting(self, wake):
            assert not self.wakes, "it goes on to wait"
            return super().waiting(wake)

    with ThreadPoolExecutor(1) as pool:
        with slots.one(ALWAYS_CONNECTED, other):
            waits = pool.submit(slots.take, ALWAYS_CONNECTED, other, first=False)
            eventually(lambda: queued(slots) == 1, "it does not queue")
            with pytest.raises(ShuttingDown):
                slots.take(Once(), shutdown, first=False)
            assert queued(slots) == 1
        waits.result()
