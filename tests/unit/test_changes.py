"""How often a process looks for what changed."""

import pytest

from staging_api.changes.service import LOOK_SECONDS, pause_seconds


def test_a_quick_database_is_looked_at_once_a_second() -> None:
    assert pause_seconds(0) == pause_seconds(0.25) == LOOK_SECONDS == 1


@pytest.mark.parametrize("looked", [0.3, 1, 20])
def test_looks_take_a_fifth_of_the_time_of_a_slow_one(looked: float) -> None:
    assert looked / (looked + pause_seconds(looked)) == pytest.approx(1 / 5)
