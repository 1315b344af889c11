"""Increase of a counter within the last minute, on a clock that the test moves."""

from staging_api import metrics
from staging_api.heartbeats.recent import LastMinute
from staging_api.processes.services import refusals


def test_growth_counts_for_a_minute_and_no_longer() -> None:
    now, total = 0.0, 100.0
    recent = LastMinute(lambda: total, lambda: now)
    found = []
    for at, gained in ((5, 7), (30, 1), (64, 0), (66, 2), (95, 0), (400, 0)):
        now, total = float(at), total + gained
        found.append(recent())
    assert found == [7, 8, 8, 3, 2, 0]


def test_a_minute_of_looks_is_all_that_is_kept() -> None:
    now = 0.0
    recent = LastMinute(lambda: now, lambda: now)
    for second in range(0, 10_000, 5):
        now = float(second)
        recent()
    assert len(recent._looks) <= 14


def test_refusals_of_all_kinds_of_locks_are_one_number() -> None:
    before = refusals()
    metrics.LOCKS_REFUSED.labels("archive").inc()
    metrics.LOCKS_REFUSED.labels("publisher").inc(2)
    metrics.LOCKS_GRANTED.labels("archive").inc(5)
    assert refusals() == before + 3
