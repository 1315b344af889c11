"""Number of concurrent requests to a source, after failures of concurrent ones."""

import threading
from contextlib import ExitStack

import pytest

from staging_api.errors import ArtifactNotFound, SourceChanged, SourceFailed
from staging_api.sources.parallel_requests import ParallelRequests, TooManyAtOnce

#: Longer than any test waits for another thread.
PATIENCE = 60.0


def lose_one(requests: ParallelRequests, others: int) -> None:
    """Let one request fail while this many others are running."""
    with ExitStack() as under_way:
        for _ in range(others):
            under_way.enter_context(requests.one())
        with pytest.raises(TooManyAtOnce, match="crowded") as failed, requests.one():
            raise SourceFailed("crowded", retry_after_seconds=2)
    assert failed.value.retry_after_seconds == 2


def order_of(requests: ParallelRequests, under_way: int) -> list[str]:
    """Return whether a further request begins before or after the end of a running one."""
    order: list[str] = []
    begun = threading.Event()

    def further() -> None:
        with requests.one():
            order.append("another begins")
            begun.set()

    thread = threading.Thread(target=further)
    with ExitStack() as others:
        for _ in range(under_way - 1):
            others.enter_context(requests.one())
        with requests.one():
            thread.start()
            begun.wait(0.2)
            order.append("one ends")
        assert begun.wait(PATIENCE / 2)
    thread.join()
    return order


@pytest.mark.parametrize("most", [1, 2])
def test_after_a_failure_beside_others_there_is_one_fewer_at_once(most: int) -> None:
    requests = ParallelRequests(PATIENCE)
    lose_one(requests, most)
    assert order_of(requests, most) == ["one ends", "another begins"]
    if most > 1:
        assert order_of(requests, most - 1) == ["another begins", "one ends"]


def test_a_source_that_refused_none_gets_as_many_as_there_are() -> None:
    assert order_of(ParallelRequests(PATIENCE), 3) == ["another begins", "one ends"]


@pytest.mark.parametrize("error", [ArtifactNotFound("x"), SourceChanged("x")])
def test_an_answer_about_the_object_costs_no_connection(error: Exception) -> None:
    requests = ParallelRequests(PATIENCE)
    with requests.one(), pytest.raises(type(error)), requests.one():
        raise error
    assert order_of(requests, 1) == ["another begins", "one ends"]


def test_what_fails_alone_or_is_the_last_one_is_a_failure_of_the_source() -> None:
    requests = ParallelRequests(0.0)
    for _ in range(2):
        with pytest.raises(SourceFailed, match="down") as failed, requests.one():
            raise SourceFailed("down")
        assert type(failed.value) is SourceFailed
    lose_one(requests, 1)
    # Without patience it runs beside another request, though the source takes only one.
    with requests.one(), pytest.raises(SourceFailed, match="down") as failed, requests.one():
        raise SourceFailed("down")
    assert type(failed.value) is SourceFailed
