"""Calls to an identity provider: shared, limited in number, and paused after a silence."""

import threading
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager

import pytest

from staging_api import metrics
from staging_api.errors import TooManyRequests
from staging_api.identity.calls import SharedCalls, always, provider_calls
from staging_api.identity.outage import IdentityOutage, OutageCause, cannot_check

#: Maximum number of concurrent calls.
THREADS = 8


class Provider:
    """Provider that answers when the test permits, and counts requests."""

    def __init__(self) -> None:
        self.asked: list[str] = []
        self.begun = threading.Semaphore(0)
        self.let_go = threading.Event()

    def answer(self, key: str) -> str:
        self.asked.append(key)
        self.begun.release()
        assert self.let_go.wait(15)
        return f"answer of {key}"


@pytest.fixture
def provider() -> Iterator[Provider]:
    made = Provider()
    yield made
    made.let_go.set()


def fails(cause: OutageCause) -> None:
    raise cannot_check(cause, "no answer")


@contextmanager
def refused(cause: OutageCause, seconds: float = 1) -> Iterator[None]:
    with pytest.raises(IdentityOutage) as error:
        yield
    assert (error.value.cause, error.value.retry_after_seconds) == (cause, seconds)


def test_who_asks_the_same_waits_for_one_call_and_further_ones_are_refused():
    """Twice: an answered caller is no longer a waiter, and a finished call is made again."""
    calls = SharedCalls(60, waiters=3)
    check_shared(calls, Provider())
    check_shared(calls, Provider())


def check_shared(calls: SharedCalls, provider: Provider) -> None:
    """Fail unless three requests for two keys cause two calls, and a fourth one is refused."""

    def wait(key: str) -> str:
        return calls.wait_for(key, lambda: provider.answer(key))

    with ThreadPoolExecutor(3) as requests:
        waiting = [requests.submit(wait, key) for key in ("a", "b", "a")]
        for _ in range(2):
            assert provider.begun.acquire(timeout=60)
        while calls._waiting < 3:
            threading.Event().wait(0.01)
        with refused(OutageCause.BUSY):
            wait("a")
        provider.let_go.set()
        answers = [each.result() for each in waiting]
    assert answers == ["answer of a", "answer of b", "answer of a"]
    assert sorted(provider.asked) == ["a", "b"]


def test_a_call_that_ends_too_late_leaves_the_next_one_of_its_key(provider: Provider):
    calls, late = SharedCalls(0.01), Provider()
    with refused(OutageCause.TIMEOUT, 5):
        calls.wait_for("a", lambda: late.answer("a"))
    first = calls._running["a"].future
    calls.seconds = 60
    calls.begin("a", lambda: provider.answer("a"))
    assert provider.begun.acquire(timeout=60)
    late.let_go.set()
    assert first.result() == "answer of a"
    with ThreadPoolExecutor(1) as requests:
        waiting = requests.submit(calls.wait_for, "a", lambda: "another call")
        while not calls._waiting:
            threading.Event().wait(0.01)
        provider.let_go.set()
        assert waiting.result() == "answer of a"


def test_a_call_without_an_answer_ends_the_wait_and_not_its_own_thread(provider: Provider):
    calls = SharedCalls(0.01)
    with refused(OutageCause.TIMEOUT, 5):
        calls.wait_for("a", lambda: provider.answer("a"))
    assert not provider.let_go.is_set()


@pytest.mark.parametrize(
    ("cause", "pauses"),
    [
        (OutageCause.UNREACHABLE, True),
        (OutageCause.TIMEOUT, True),
        (OutageCause.REFUSED, False),
        (OutageCause.MALFORMED, False),
    ],
)
def test_after_a_silence_the_provider_is_left_alone_and_after_an_answer_it_is_not(
    cause: OutageCause, pauses: bool, monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.setattr("staging_api.identity.calls._PAUSE_SECONDS", 60.0)
    calls = SharedCalls(60)
    before = metrics.IDENTITY_CALLS.labels(cause.value)._value.get()
    with refused(cause, 5):
        calls.wait_for("a", lambda: fails(cause))
    assert metrics.IDENTITY_CALLS.labels(cause.value)._value.get() == before + 1
    if pauses:
        with refused(OutageCause.PAUSED):
            calls.wait_for("b", lambda: "answer")
    else:
        assert calls.wait_for("b", lambda: "answer") == "answer"


def test_an_answer_is_counted_and_leaves_no_pause():
    calls = SharedCalls(60)
    before = metrics.IDENTITY_CALLS.labels("answered")._value.get()
    assert [calls.wait_for("a", lambda: 1), calls.wait_for("b", lambda: 2)] == [1, 2]
    assert metrics.IDENTITY_CALLS.labels("answered")._value.get() == before + 2


def test_calls_that_are_not_allowed_are_not_made_and_only_within_the_block():
    calls = SharedCalls(60)
    asked: list[str] = []
    with provider_calls(lambda: False):
        with pytest.raises(TooManyRequests) as error:
            calls.wait_for("a", lambda: asked.append("a"))
        # No caller waits for this call, so no caller gets its error.
        calls.begin("b", lambda: asked.append("b"))
        with provider_calls(always):
            calls.wait_for("c", lambda: asked.append("c"))
        calls.begin("b", lambda: asked.append("b"))
    assert error.value.retry_after_seconds == 1
    calls.wait_for("d", lambda: asked.append("d"))
    assert asked == ["c", "d"]


def test_calls_beyond_the_threads_wait_and_beyond_the_waiters_are_refused(provider: Provider):
    """A call that still waits when the process ends is not made."""
    calls = SharedCalls(60, waiters=2)
    for number in range(THREADS + 2):
        calls.begin(str(number), lambda number=number: provider.answer(str(number)))  # type: ignore[misc]
    for _ in range(THREADS):
        assert provider.begun.acquire(timeout=60)
    with refused(OutageCause.BUSY):
        calls.wait_for("one more", lambda: "answer")
    # A running call is still waited for.
    with ThreadPoolExecutor(1) as requests:
        waiting = requests.submit(calls.wait_for, "0", lambda: "another answer")
        while not calls._waiting:
            threading.Event().wait(0.01)
        calls.close()
        provider.let_go.set()
        assert waiting.result() == "answer of 0"
    calls._threads.shutdown(wait=True)
    assert sorted(provider.asked) == [str(number) for number in range(THREADS)]
    with refused(OutageCause.BUSY):
        SharedCalls.wait_for(closed(), "a", lambda: "answer")


def closed() -> SharedCalls:
    calls = SharedCalls(60)
    calls.close()
    return calls
