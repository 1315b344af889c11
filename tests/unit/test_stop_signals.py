"""Stop of work on a staging: within a second, with at most two queries per second."""

from contextlib import nullcontext
from types import SimpleNamespace
from typing import Any

import pytest

from staging_api.errors import Cancelled, LockLost, ShuttingDown
from staging_api.staging import stop_signals
from staging_api.staging.stop_signals import StopSignals
from tests.statements import patch_statement


class Work:
    """Work with its own clock, under two locks."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self.now = 100.0
        self.is_cancelled = False
        self.asked: list[str] = []
        self.errors: dict[str, Exception] = {}
        monkeypatch.setattr(stop_signals, "time", SimpleNamespace(monotonic=lambda: self.now))
        patch_statement(monkeypatch, "cancel_is_requested", self._ask)
        database: Any = SimpleNamespace(connect=nullcontext)
        holds: Any = iter([self._hold("one"), self._hold("other")])
        shutdown: Any = SimpleNamespace(check_over=lambda: self._fail("shutdown"))
        self.signals = StopSignals(database, "s", holds, shutdown)

    def _hold(self, name: str) -> Any:
        return SimpleNamespace(assert_held=lambda: self._fail(name))

    def _fail(self, name: str) -> None:
        if name in self.errors:
            raise self.errors[name]

    def _ask(self, _conn: object, staging_id: str) -> bool:
        self.asked.append(staging_id)
        return self.is_cancelled


@pytest.fixture
def work(monkeypatch: pytest.MonkeyPatch) -> Work:
    return Work(monkeypatch)


def test_the_row_is_looked_at_twice_a_second(work: Work) -> None:
    for now, looks in ((100.0, 0), (100.4, 0), (100.5, 1), (100.9, 1), (101.0, 2), (109.0, 3)):
        work.now = now
        work.signals.check()
        work.signals.check()
        assert work.asked == ["s"] * looks


def test_a_cancelled_staging_stays_cancelled_without_another_look(work: Work) -> None:
    work.is_cancelled = True
    work.signals.check()
    for now in (101.0, 101.1, 105.0):
        work.now = now
        with pytest.raises(Cancelled, match="staging s was cancelled"):
            work.signals.check()
    assert work.asked == ["s"]


@pytest.mark.parametrize(
    ("what", "error"),
    [("one", LockLost("x")), ("other", LockLost("x")), ("shutdown", ShuttingDown("x"))],
)
def test_a_lost_lock_or_the_end_of_the_process_stops_at_once(
    work: Work, what: str, error: Exception
) -> None:
    work.signals.check()
    work.errors[what] = error
    with pytest.raises(type(error)):
        work.signals.check()
    assert work.asked == []
