"""Shared reads: who shares them, their order, and the effects of a failure."""

import threading
from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures import Future, ThreadPoolExecutor

import pytest

from staging_api.db import shared_reads
from staging_api.db.shared_reads import SharedReads

PATIENCE_SECONDS = 30


class Statements:
    """Recorder of statements; a statement can be made to wait for permission."""

    def __init__(self) -> None:
        self.sent: list[list[str]] = []
        self.has_begun: dict[int, threading.Event] = {}
        self.may_end: dict[int, threading.Event] = {}

    def hold(self, number: int) -> None:
        """Let the statement with this number wait for `may_end`."""
        self.has_begun[number], self.may_end[number] = threading.Event(), threading.Event()

    def read(self, keys: Sequence[str]) -> Mapping[str, str]:
        number = len(self.sent)
        self.sent.append(sorted(keys))
        if number in self.may_end:
            self.has_begun[number].set()
            assert self.may_end[number].wait(PATIENCE_SECONDS)
        if "bad" in keys:
            raise ValueError(f"one of {len(keys)} is bad")
        return {key: f"{key} by {number}" for key in keys}


@pytest.fixture
def statements() -> Statements:
    return Statements()


@pytest.fixture
def reads(statements, monkeypatch) -> SharedReads[str, str]:
    monkeypatch.setattr(shared_reads, "_PATIENCE_SECONDS", PATIENCE_SECONDS)
    return SharedReads(statements.read)


@pytest.fixture
def ask(reads, monkeypatch) -> Iterator[Callable[..., list[Future[str]]]]:
    """Ask in separate threads, and return when all of them are about to wait."""
    waiting: list[threading.Lock] = []
    held = shared_reads._held

    def noted() -> threading.Lock:
        waiting.append(held())
        return waiting[-1]

    monkeypatch.setattr(shared_reads, "_held", noted)
    with ThreadPoolExecutor(100) as threads:

        def asked(*keys: str) -> list[Future[str]]:
            count = len(waiting) + len(keys)
            futures = [threads.submit(reads.find, key) for key in keys]
            over = threading.Event()
            for _ in range(PATIENCE_SECONDS * 1000):
                if len(waiting) == count:
                    return futures
                over.wait(0.001)
            raise AssertionError(f"{len(waiting)} wait, not {count}")

        yield asked


def answers(futures: Sequence[Future[str]]) -> list[str]:
    return [future.result(PATIENCE_SECONDS) for future in futures]


def test_a_read_alone_has_a_statement_of_its_own_each_time(reads, statements):
    assert [reads.find(key) for key in ("a", "b", "a")] == ["a by 0", "b by 1", "a by 2"]
    assert statements.sent == [["a"], ["b"], ["a"]]


def test_reads_during_a_statement_share_the_next_and_never_the_running_one(reads, statements, ask):
    statements.hold(0)
    with ThreadPoolExecutor(1) as first:
        alone = first.submit(reads.find, "a")
        assert statements.has_begun[0].wait(PATIENCE_SECONDS)
        others = ask("a", "b", "a", "c")
        statements.may_end[0].set()
        assert alone.result(PATIENCE_SECONDS) == "a by 0"
        assert answers(others) == ["a by 1", "b by 1", "a by 1", "c by 1"]
    assert statements.sent == [["a"], ["a", "b", "c"]]
    assert reads.find("a") == "a by 2"


def test_a_key_that_fails_fails_for_itself_and_for_nobody_else(reads, statements, ask):
    statements.hold(0)
    with ThreadPoolExecutor(1) as first:
        alone = first.submit(reads.find, "bad")
        assert statements.has_begun[0].wait(PATIENCE_SECONDS)
        good, *more = ask("a", "bad", "b")
        statements.may_end[0].set()
        with pytest.raises(ValueError, match="one of 1 is bad"):
            alone.result(PATIENCE_SECONDS)
        with pytest.raises(ValueError, match="one of 1 is bad"):
            more[0].result(PATIENCE_SECONDS)
        assert [good.result().partition(" ")[0], more[1].result().partition(" ")[0]] == ["a", "b"]
    assert reads.find("c").startswith("c by")


def test_a_hanging_statement_delays_waiting_reads_for_a_moment_and_later_ones_not_at_all(
    statements, monkeypatch
):
    monkeypatch.setattr(shared_reads, "_PATIENCE_SECONDS", 0.01)
    reads = SharedReads(statements.read)
    statements.hold(0)
    with ThreadPoolExecutor(1) as first:
        hanging = first.submit(reads.find, "a")
        assert statements.has_begun[0].wait(PATIENCE_SECONDS)
        assert [reads.find(key) for key in ("a", "b")] == ["a by 1", "b by 2"]
        assert not hanging.done()
        statements.may_end[0].set()
        assert hanging.result(PATIENCE_SECONDS) == "a by 0"
    assert reads.find("a") == "a by 3"


def test_who_waits_for_anothers_statement_that_hangs_sends_one(monkeypatch):
    monkeypatch.setattr(shared_reads, "_PATIENCE_SECONDS", 0.05)
    may_end, has_begun = threading.Event(), threading.Semaphore(0)

    def read(keys: Sequence[str]) -> Mapping[str, str]:
        if keys != ["c"]:
            has_begun.release()
            assert may_end.wait(PATIENCE_SECONDS)
        return {key: key for key in keys}

    reads = SharedReads(read)
    with ThreadPoolExecutor(4) as threads:
        hanging = [threads.submit(reads.find, key) for key in "ab"]
        both = [threads.submit(reads.find, "c") for _ in range(2)]
        for _ in hanging:
            assert has_begun.acquire(timeout=PATIENCE_SECONDS)
        assert answers(both) == ["c", "c"]
        assert not any(each.done() for each in hanging)
        may_end.set()
        assert answers(hanging) == ["a", "b"]


def test_a_statement_has_so_many_keys_at_the_most(reads, statements, ask, monkeypatch):
    monkeypatch.setattr(shared_reads, "_MOST_KEYS", 3)
    statements.hold(0)
    with ThreadPoolExecutor(1) as first:
        first.submit(reads.find, "a")
        assert statements.has_begun[0].wait(PATIENCE_SECONDS)
        futures = []
        for key in "bcdef":
            futures += ask(key)
        statements.may_end[0].set()
        assert [each.partition(" ")[0] for each in answers(futures)] == list("bcdef")
    assert sorted(map(len, statements.sent)) == [1, 2, 3]


def test_no_reader_gets_a_result_older_than_its_request():
    newest, mutex = 0, threading.Lock()

    def read(keys: Sequence[int]) -> Mapping[int, int]:
        return dict.fromkeys(keys, newest)

    reads = SharedReads(read)

    def change_and_look(number: int) -> None:
        nonlocal newest
        for _ in range(300):
            with mutex:
                newest += 1
                mine = newest
            assert reads.find(number % 3) >= mine

    with ThreadPoolExecutor(8) as threads:
        for future in [threads.submit(change_and_look, number) for number in range(8)]:
            future.result(PATIENCE_SECONDS)
