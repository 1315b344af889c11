"""Retries of a source: their number, their delays, and detection of slow bodies."""

from collections.abc import Generator, Sequence

import pytest

from staging_api.errors import SourceFailed
from staging_api.sources.model import SourceOptions
from staging_api.sources.parallel_requests import TooManyAtOnce
from staging_api.sources.retrying import Interrupted, SlowestRate, resumed, retried

#: After this many bytes of a body, the next failure counts as the first again.
PROGRESS = 8 << 20


@pytest.fixture
def pauses() -> list[float]:
    return []


def options(pauses: list[float], attempts: int) -> SourceOptions:
    return SourceOptions(
        attempts=attempts, backoff_seconds=1, backoff_cap_seconds=10, sleep=pauses.append
    )


def never() -> None:
    raise Interrupted("down")


def in_parts(sizes: Sequence[int], error: SourceFailed, chosen: SourceOptions) -> int:
    """Read a body that `error` interrupts after each of these parts; return the bytes read."""
    left = [*sizes]

    def read(_position: int) -> Generator[bytes, None, None]:
        if left:
            yield bytes(left.pop(0))
            raise error

    return sum(map(len, resumed(read, 0, chosen, resumable=lambda: True)))


def test_pauses_double_with_jitter_up_to_a_longest(pauses: list[float]) -> None:
    with pytest.raises(Interrupted):
        retried(never, options(pauses, 7))
    longest = [1, 2, 4, 8, 10, 10]
    assert len(pauses) == len(longest)
    assert all(most / 2 <= pause <= most for pause, most in zip(pauses, longest, strict=True))
    assert pauses[:4] != longest[:4]


def test_a_body_is_given_up_after_as_many_cuts_as_there_are_attempts(pauses: list[float]) -> None:
    assert in_parts([1, 1], Interrupted("cut"), options(pauses, 3)) == 2
    assert len(pauses) == 2
    with pytest.raises(Interrupted):
        in_parts([1, 1, 1], Interrupted("cut"), options(pauses, 3))
    assert len(pauses) == 4


def test_after_enough_progress_a_cut_counts_as_the_first_again(pauses: list[float]) -> None:
    assert (
        in_parts([1, *[PROGRESS] * 3], Interrupted("cut"), options(pauses, 2)) == 3 * PROGRESS + 1
    )
    with pytest.raises(Interrupted):
        in_parts([1, PROGRESS - 1], Interrupted("cut"), options(pauses, 2))


def test_our_own_parallel_requests_cost_a_pause_and_no_attempt(pauses: list[float]) -> None:
    crowded = TooManyAtOnce(SourceFailed("429", retry_after_seconds=3))
    assert in_parts([1, 1, 1], crowded, options(pauses, 1)) == 3
    assert pauses == [3, 3, 3]


def at(rate: SlowestRate, now: list[float], seconds: float, count: int) -> None:
    now[0] = seconds
    rate.add(count)


def test_a_body_is_too_slow_by_what_came_in_its_last_window() -> None:
    now = [5.0]
    enough = 60 * 1024
    rate = SlowestRate(SourceOptions(), lambda: now[0])
    at(rate, now, 64, enough - 1)
    at(rate, now, 65, 1)
    at(rate, now, 124, 1)
    at(rate, now, 125, enough - 1)
    with pytest.raises(Interrupted, match="too slowly"):
        at(rate, now, 185, enough - 1)


def test_a_body_may_be_too_slow_in_its_first_window() -> None:
    now = [5.0]
    rate = SlowestRate(SourceOptions(), lambda: now[0])
    with pytest.raises(Interrupted, match="too slowly"):
        at(rate, now, 65, 60 * 1024 - 1)


def test_a_body_that_only_pauses_is_not_too_slow() -> None:
    now = [0.0]
    rate = SlowestRate(SourceOptions(), lambda: now[0])
    for _ in range(10):
        at(rate, now, now[0] + 30, 1 << 20)
