"""Remaining time of a run, from its duration so far and the usual duration of such runs."""

from types import SimpleNamespace
from typing import Any, cast

import pytest
from sqlalchemy import Connection

from staging_api.publishing.rows import runs


def connection(row: Any) -> Connection:
    """Return a connection that returns this row for every query."""
    answer = SimpleNamespace(one_or_none=lambda: row)
    return cast(Connection, SimpleNamespace(execute=lambda *_: answer))


@pytest.mark.parametrize(
    ("elapsed", "usual", "left"),
    [
        (4.0, 10.0, 6.0),
        (9.5, 10.0, 0.5),
        (10.0, 10.0, 5.0),
        (12.0, 10.0, 6.0),
        (12.0, None, None),
    ],
)
def test_a_run_over_its_usual_time_takes_half_as_long_again(
    elapsed: float, usual: float | None, left: float | None
) -> None:
    row = SimpleNamespace(elapsed=elapsed, usual=usual)
    assert runs.seconds_left(connection(row), "run") == left


def test_of_a_run_that_is_not_there_no_time_is_known() -> None:
    assert runs.seconds_left(connection(None), "run") is None
