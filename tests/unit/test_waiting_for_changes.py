"""Waiting for a change of a staging: wake-ups, their causes, and queries to the database."""

import threading
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager, nullcontext
from types import SimpleNamespace
from typing import Any

import pytest

from staging_api.errors import ClientGone, Unavailable
from staging_api.open_stream import OpenStream
from staging_api.shutdown import Shutdown
from staging_api.staging import watch
from staging_api.staging.watch import Watch
from tests.statements import patch_statement

LONG = 20.0


class Versions:
    """Versions of stagings, as a look finds them."""

    def __init__(self, **versions: int) -> None:
        self.seen = versions
        self.asked: list[list[str]] = []
        self.then: Callable[[], None] = lambda: None

    def __call__(self, _conn: object, ids: list[str]) -> dict[str, int]:
        self.asked.append(sorted(ids))
        self.then()
        return {each: self.seen[each] for each in ids}


class Impatient:
    """Client that can disconnect, and records that a request waits for it."""

    def __init__(self, *, gone: bool = False) -> None:
        self.gone = gone
        self.waited = 0

    @contextmanager
    def _waits(self) -> Iterator[None]:
        self.waited += 1
        yield

    def waiting(self, wake: Callable[[], None]) -> AbstractContextManager[None]:
        del wake
        return self._waits()

    def leave_to(self, stream: OpenStream) -> bool:
        del stream
        return False


class NeverWaited(threading.BoundedSemaphore):
    """Slots without waiters."""

    def acquire(self, blocking: bool = True, timeout: float | None = None) -> bool:
        assert not blocking
        return super().acquire(blocking, timeout)


class Waiter(threading.Thread):
    """Request that waits in its own thread; `news` is its result."""

    def __init__(self, of: Watch, staging_id: str, version: int = 1) -> None:
        super().__init__(daemon=True)
        self.news: bool | None = None
        self._wait = lambda: of.changed(staging_id, version, LONG)
        self._is_known = lambda: any(
            each.version == version for each in of._waiting.get(staging_id, ())
        )
        self.start()
        while not self._is_known():
            assert self.is_alive()

    def run(self) -> None:
        self.news = self._wait()

    def told(self) -> bool | None:
        self.join(LONG / 2)
        assert not self.is_alive()
        return self.news


@pytest.fixture
def versions(monkeypatch: pytest.MonkeyPatch) -> Versions:
    found = Versions(one=1, other=1)
    patch_statement(monkeypatch, "versions", found)
    return found


@pytest.fixture
def shutdown() -> Shutdown:
    return Shutdown()


@pytest.fixture
def waits(versions: Versions, shutdown: Shutdown) -> Iterator[Watch]:
    database: Any = SimpleNamespace(connect=nullcontext)
    made = Watch(database, NeverWaited(2), shutdown)
    yield made
    versions.then = lambda: None
    made.close()


def test_a_waiter_is_woken_by_a_newer_version_of_its_staging(
    waits: Watch, versions: Versions
) -> None:
    first, second, other = Waiter(waits, "one"), Waiter(waits, "one", 2), Waiter(waits, "other")
    versions.seen["one"] = 2
    assert first.told() is True
    assert (second.is_alive(), other.is_alive()) == (True, True)
    versions.seen["one"] = 3
    assert second.told() is True
    assert other.is_alive()
    versions.seen["other"] = 2
    assert other.told() is True
    assert waits._waiting == {}


def test_without_a_change_a_wait_ends_when_its_time_is_over(
    waits: Watch, versions: Versions
) -> None:
    versions.seen["one"] = 7
    client = Impatient()
    assert waits.changed("one", 7, 0.2, client) is False
    assert waits.changed("one", 8, -1.0, client) is False
    assert client.waited == 2


def test_a_wait_takes_a_slot_and_without_one_nobody_waits(waits: Watch, versions: Versions) -> None:
    versions.seen["one"] = 2
    client = Impatient()
    for _ in range(5):
        with waits.waiter_slot() as first:
            assert first
    with waits.waiter_slot() as first:
        assert waits.wait_for_change("one", 1, LONG) is True
        assert waits.wait_for_change("one", 2, 0.0) is False
        with waits.waiter_slot() as second, waits.waiter_slot() as third:
            assert (first, second, third) == (True, True, False)
            assert waits.wait_for_change("one", 1, LONG, client) is False
    assert client.waited == 0
    with waits.waiter_slot() as first, waits.waiter_slot() as second:
        assert (first, second) == (True, True)


def test_a_client_that_is_gone_ends_its_wait(waits: Watch) -> None:
    with pytest.raises(ClientGone):
        waits.changed("one", 1, 0.0, Impatient(gone=True))
    assert waits._waiting == {}


def test_the_end_of_the_process_wakes_all_and_nobody_waits_any_more(
    waits: Watch, shutdown: Shutdown
) -> None:
    one, other = Waiter(waits, "one"), Waiter(waits, "other")
    assert not waits.closed
    shutdown.begin(60)
    assert (one.told(), other.told()) == (False, False)
    assert waits.closed
    client = Impatient()
    assert waits.changed("one", 1, LONG, client) is False
    assert client.waited == 0


def test_to_close_wakes_all_and_waits_for_the_thread(waits: Watch, versions: Versions) -> None:
    looks, let = threading.Event(), threading.Event()
    one, other = Waiter(waits, "one"), Waiter(waits, "other")

    def then() -> None:
        looks.set()
        let.wait(LONG)

    versions.then = then
    assert looks.wait(LONG)
    closing = threading.Thread(target=waits.close)
    closing.start()
    try:
        assert (one.told(), other.told(), waits.closed) == (False, False, True)
        closing.join(0.2)
        assert closing.is_alive()
    finally:
        let.set()
        closing.join()
    client = Impatient()
    assert waits.changed("one", 1, LONG, client) is False
    assert client.waited == 0


def test_while_the_database_is_away_waiters_wait_on(waits: Watch, versions: Versions) -> None:
    away = [True]

    def then() -> None:
        if away:
            away.clear()
            raise Unavailable("the database cannot be reached")

    versions.then = then
    versions.seen["one"] = 2
    assert waits.changed("one", 1, LONG) is True
    assert versions.asked == [["one"], ["one"]]


def test_a_thread_that_does_not_run_is_missed(
    waits: Watch, monkeypatch: pytest.MonkeyPatch
) -> None:
    waits.check()

    def cannot_start(_: threading.Thread) -> None:
        raise RuntimeError("can't start new thread")

    with monkeypatch.context() as full:
        full.setattr(threading.Thread, "start", cannot_start)
        with pytest.raises(Unavailable):
            waits.changed("one", 1, LONG)
    assert waits._waiting == {}
    with pytest.raises(Unavailable):
        waits.check()
    waits.changed("one", 1, 0.0)
    waits.check()


class Paused(threading.Event):
    """Event that is set after some waits; records them, and calls `during` in each."""

    def __init__(self, waits: int, during: Callable[[], None] = lambda: None) -> None:
        super().__init__()
        self.waited: list[float] = []
        self._most = waits
        self._during = during

    def wait(self, timeout: float | None = None) -> bool:
        assert timeout is not None
        self.waited.append(timeout)
        self._during()
        return len(self.waited) > self._most


@pytest.fixture
def slow(monkeypatch: pytest.MonkeyPatch, versions: Versions) -> list[float]:
    """Return the duration of each look, in seconds, which a test may change."""
    seconds, now = [0.0], [0.0]
    monkeypatch.setattr(watch, "time", SimpleNamespace(monotonic=lambda: now[0]))

    def then() -> None:
        now[0] += seconds[0]

    versions.then = then
    return seconds


@pytest.mark.parametrize(
    ("look_seconds", "between"),
    [(0.0, [0.1]), (0.025, [0.1]), (0.03, [0.1, 0.02]), (0.0625, [0.1, 0.1, 0.05])],
)
def test_looks_take_a_fifth_of_the_time_at_most(
    slow: list[float],
    versions: Versions,
    shutdown: Shutdown,
    look_seconds: float,
    between: list[float],
) -> None:
    slow[0] = look_seconds
    database: Any = SimpleNamespace(connect=nullcontext)
    made = Watch(database, NeverWaited(1), shutdown)
    made._closed = pauses = Paused(1 + len(between))
    made._waiting = {"one": set(), "other": set()}
    made._run()
    assert pauses.waited == pytest.approx([0.1, *between, between[0]])
    assert versions.asked == [["one", "other"]] * 2
    # Without waiters there is no query.
    made._waiting = {}
    made._closed = pauses = Paused(2)
    made._run()
    assert (pauses.waited, len(versions.asked)) == ([0.1] * 3, 2)


def test_a_look_that_fails_late_is_tried_again_soon(
    slow: list[float], versions: Versions, shutdown: Shutdown
) -> None:
    slow[0] = 10.0
    takes_long = versions.then

    def then() -> None:
        takes_long()
        raise Unavailable("the database cannot be reached")

    versions.then = then
    database: Any = SimpleNamespace(connect=nullcontext)
    made = Watch(database, NeverWaited(1), shutdown)
    made._closed = pauses = Paused(2)
    made._waiting = {"one": set(), "other": set()}
    made._run()
    assert pauses.waited == [0.1] * 3
    assert versions.asked == [["one", "other"]] * 2


@pytest.mark.parametrize("look_seconds", [0.0, 10.0])
def test_the_end_of_the_process_wakes_all_in_the_pause_after_a_slow_look_too(
    slow: list[float], versions: Versions, shutdown: Shutdown, look_seconds: float
) -> None:
    slow[0] = look_seconds
    database: Any = SimpleNamespace(connect=nullcontext)
    made = Watch(database, NeverWaited(1), shutdown)
    one, other = watch._Waiter(1), watch._Waiter(1)
    woken: list[tuple[bool, bool]] = []

    def during() -> None:
        woken.append((one.wake.is_set(), other.wake.is_set()))
        if len(woken) == 2:
            shutdown.begin(60)

    made._closed = pauses = Paused(3, during)
    made._waiting = {"one": {one}, "other": {other}}
    made._run()
    assert versions.asked == [["one", "other"]]
    assert pauses.waited == [0.1] * 4
    assert woken == [(False, False), (False, False), (True, True), (True, True)]
