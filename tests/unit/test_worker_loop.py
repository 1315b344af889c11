"""Loop of a worker: the work it begins, its order, and the work left to other workers."""

import io
import json
import logging
import threading
from concurrent.futures import Future
from contextlib import nullcontext
from types import SimpleNamespace
from typing import Any

import pytest

from staging_api import logs
from staging_api.errors import (
    Cancelled,
    LockHeld,
    LockLost,
    ShuttingDown,
    StagingApiError,
    Unavailable,
)
from staging_api.staging import worker
from staging_api.staging.repository.reading import DueStaging
from staging_api.staging.worker import Worker
from tests.statements import patch_statement


def due(number: int, caller: str, *, background: bool = False, url: str = "") -> DueStaging:
    return DueStaging(f"{number:03}", url or f"gs://x/{number}", caller, background)


class Duty:
    """Housekeeping that only records its beginning and end."""

    def __init__(self, log: list[str]) -> None:
        self._log = log

    def start(self) -> None:
        self._log.append("start")

    def stop(self, patience_seconds: float) -> None:
        self._log.append(f"stop {patience_seconds}")


class Pool:
    """Pool that begins jobs and never finishes them."""

    def __init__(self) -> None:
        self.begun: list[str] = []
        self.jobs: dict[str, Future[None]] = {}

    def submit(self, _resume: object, turn: DueStaging) -> "Future[None]":
        self.begun.append(turn.staging_id)
        self.jobs[turn.staging_id] = Future()
        return self.jobs[turn.staging_id]

    def end(self, *numbers: int) -> None:
        for number in numbers:
            self.jobs[f"{number:03}"].set_result(None)


class Bed:
    """A worker over rows that a test sets."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self.due: list[DueStaging] = []
        self.asked: list[int] = []
        self.foreground_is_due = True
        self.pool: Any = Pool()
        self.now = 100.0
        patch_statement(monkeypatch, "due", self._due)
        patch_statement(monkeypatch, "foreground_is_due", lambda _c: self.foreground_is_due)
        monkeypatch.setattr(worker, "time", SimpleNamespace(monotonic=lambda: self.now))
        self.service: Any = SimpleNamespace(
            database=SimpleNamespace(connect=nullcontext), find=lambda staging_id: staging_id
        )

    def worker(self, jobs: int = 1, **given: Any) -> Worker:
        return Worker(self.service, jobs, **given)

    def begin(self, of: Worker) -> list[str]:
        """Begin the due work; return what was begun."""
        before = len(self.pool.begun)
        of._begin_due(self.pool)
        begun: list[str] = self.pool.begun[before:]
        self.due = [each for each in self.due if each.staging_id not in begun]
        return begun

    def _due(self, _conn: object, *, each: int) -> list[DueStaging]:
        self.asked.append(each)
        return self.due


@pytest.fixture
def bed(monkeypatch: pytest.MonkeyPatch) -> Bed:
    return Bed(monkeypatch)


def test_no_more_is_begun_than_there_are_jobs(bed: Bed) -> None:
    made = bed.worker(2)
    bed.due = [due(number, "me") for number in range(4)]
    assert (bed.begin(made), made.busy) == (["000", "001"], 2)
    assert (bed.begin(made), made.busy) == ([], 2)
    # While every job slot is taken, the database is not queried.
    assert bed.asked == [4]
    bed.pool.end(1)
    assert made.busy == 1
    assert (bed.begin(made), made.busy) == (["002"], 2)
    bed.pool.end(0, 2)
    assert (bed.begin(made), bed.begin(made), made.busy) == (["003"], [], 1)


def test_an_archive_has_one_job_at_a_time(bed: Bed) -> None:
    made = bed.worker(3)
    bed.due = [due(1, "me", url="gs://x"), due(2, "you", url="gs://x"), due(3, "me")]
    assert bed.begin(made) == ["001", "003"]
    bed.pool.end(1)
    assert bed.begin(made) == ["002"]


def test_callers_take_turns_and_foreground_goes_first(bed: Bed) -> None:
    made = bed.worker()
    bed.due = [
        *(due(1, "me", background=True), due(2, "me"), due(3, "me"), due(4, "me")),
        *(due(5, "you"), due(6, "her")),
    ]
    order = []
    while bed.due:
        (begun,) = bed.begin(made)
        order.append(int(begun))
        bed.pool.end(int(begun))
    assert order == [2, 5, 6, 3, 4, 1]


def test_the_caller_with_the_fewest_jobs_goes_first(bed: Bed) -> None:
    made = bed.worker(3)
    bed.due = [due(1, "me"), due(2, "you"), due(3, "you")]
    assert bed.begin(made) == ["001", "002", "003"]
    bed.pool.end(1)
    bed.due = [due(4, "you"), due(5, "me")]
    assert bed.begin(made) == ["005"]


@pytest.mark.parametrize(("share", "begun"), [(0, 3), (1, 1), (2, 2)])
def test_a_caller_has_its_share_of_the_jobs(bed: Bed, share: int, begun: int) -> None:
    made = bed.worker(3, jobs_per_caller=share)
    bed.due = [due(number, "me") for number in range(6)]
    assert len(bed.begin(made)) == begun
    assert len(bed.begin(bed.worker(3))) == 3


def test_callers_that_are_gone_are_forgotten(bed: Bed) -> None:
    made = bed.worker(2)
    bed.due = [due(1, "me"), due(2, "you"), due(3, "her")]
    bed.begin(made)
    assert made._served_at.keys() == {"me", "you"}
    bed.pool.end(1)
    bed.begin(made)
    assert made._served_at.keys() == {"you", "her"}
    bed.pool.end(2, 3)
    bed.begin(made)
    assert made._served_at == {}


def test_a_background_job_gives_way_only_if_a_foreground_waits_for_a_job(bed: Bed) -> None:
    made = bed.worker(2)
    bed.due = [due(1, "me"), due(2, "me")]
    assert not made._foreground_waits()
    bed.begin(made)
    assert made._foreground_waits()
    bed.foreground_is_due = False
    assert not made._foreground_waits()


def test_a_loop_that_has_not_turned_for_a_minute_hangs_unless_it_was_stopped(bed: Bed) -> None:
    made = bed.worker()
    bed.now = 160.0
    made.check()
    bed.now = 160.1
    with pytest.raises(Unavailable, match="the worker's loop hangs"):
        made.check()
    made.stop()
    made.check()


@pytest.mark.parametrize("error", [None, Unavailable("away"), ValueError("a bug")], ids=repr)
def test_the_loop_goes_on_until_it_is_stopped_and_pauses_between_turns(
    bed: Bed, monkeypatch: pytest.MonkeyPatch, error: Exception | None
) -> None:
    duties: list[str] = []
    pauses: list[float] = []
    turned: list[float] = []
    made = bed.worker()
    monkeypatch.setattr(made, "_housekeeping", lambda: (Duty(duties), Duty(duties)))

    def turn(_pool: object) -> None:
        turned.append(made._turned_at)
        bed.now += 1
        if len(turned) > 5:
            made.stop()
        if error:
            raise error

    def wait(seconds: float) -> bool:
        pauses.append(seconds)
        if len(pauses) == 3:
            made.stop()
        return False

    monkeypatch.setattr(made, "_begin_due", turn)
    monkeypatch.setattr(made._stop, "wait", wait)
    made.run()
    assert pauses == ([0.2, 0.4, 0.8] if error else [0.1] * 3)
    assert turned == [100.0, 101.0, 102.0]
    assert duties == ["start", "start", "stop 2.0", "stop 2.0"]


def test_a_worker_that_was_stopped_begins_nothing(
    bed: Bed, monkeypatch: pytest.MonkeyPatch
) -> None:
    made = bed.worker()
    turned: list[int] = []
    monkeypatch.setattr(made, "_housekeeping", lambda: ())
    monkeypatch.setattr(made, "_begin_due", lambda _pool: turned.append(1) or made.stop())
    made.stop()
    made.run()
    assert turned == []


@pytest.mark.parametrize(
    ("error", "level"),
    [
        (None, None),
        *((each("x"), "INFO") for each in (Cancelled, LockHeld, LockLost, ShuttingDown)),
        (StagingApiError("x"), "WARNING"),
        (ValueError("x"), "ERROR"),
    ],
    ids=repr,
)
def test_a_job_resumes_its_staging_and_leaves_it_to_others_if_it_fails(
    bed: Bed,
    monkeypatch: pytest.MonkeyPatch,
    caplog: pytest.LogCaptureFixture,
    error: Exception | None,
    level: str | None,
) -> None:
    resumed: list[Any] = []
    made = bed.worker()

    def resume(_service: object, staging: object, origin: Any, postpone: Any) -> None:
        logs.bind_log_context(staging_id=str(staging))
        resumed.append((staging, origin.caller, postpone()))
        if error:
            raise error

    monkeypatch.setattr(worker, "resume", resume)
    caplog.set_level(logging.INFO)
    made._resume(due(1, "me"))
    assert resumed == [("001", "worker", False)]
    assert [each.levelname for each in caplog.records] == ([level] if level else [])
    assert context() is None


@pytest.mark.parametrize("error", [Unavailable("away"), ValueError("a bug")], ids=repr)
def test_a_staging_that_fails_here_is_tried_ever_more_rarely_and_others_go_first(
    bed: Bed, monkeypatch: pytest.MonkeyPatch, error: Exception
) -> None:
    made = bed.worker(1)
    failing, other = due(1, "me"), due(2, "me")
    ended: list[str] = []

    def resume(_service: object, staging: object, _origin: Any, _postpone: Any) -> None:
        if staging == failing.staging_id:
            raise error
        ended.append(str(staging))

    monkeypatch.setattr(worker, "resume", resume)
    pauses = []
    for _ in range(8):
        made._resume(failing)
        until = made._left[failing.staging_id].until
        pauses.append(round(until - bed.now, 1))
        bed.now = until - 0.01
        assert made._next([failing]) is None
        bed.now = until
        assert made._next([failing]) == failing
    assert pauses == [0.2, 0.4, 0.8, 1.6, 3.2, 5.0, 5.0, 5.0]
    made._resume(failing)
    assert made._next([failing, other]) == other
    bed.due = []
    bed.now += 66
    bed.begin(made)
    assert made._left == {}


def context() -> str | None:
    """Return the staging in the log context of this thread."""
    log = logging.Logger("alone", logging.INFO)  # noqa: LOG001 - of this test alone
    log.addHandler(logging.StreamHandler(lines := io.StringIO()))
    log.handlers[0].setFormatter(logs.JsonLines())
    log.info("line")
    found: str | None = json.loads(lines.getvalue())["staging_id"]
    return found


def test_a_worker_has_the_duties_of_others_if_there_are_any(
    bed: Bed, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in ("database_steps", "store_steps", "report_steps"):
        monkeypatch.setattr(worker, name, lambda _service: [])
    stops: list[threading.Event] = []
    monkeypatch.setattr(worker, "scrub_steps", lambda _service, stop: stops.append(stop) or [])
    made: dict[str, list[Any]] = {}
    monkeypatch.setattr(worker, "Housekeeping", made.__setitem__)
    alone = bed.worker()
    assert len(alone._housekeeping()) == len(made) == 4
    assert stops == [alone._stop]
    made.clear()
    chores: Any = {"one": list, "other": dict}
    assert len(bed.worker(chores=chores)._housekeeping()) == 5
    steps = made["of others"]
    assert [(each.name, each.every_seconds, each.run) for each in steps] == [
        ("one", 1.0, list),
        ("other", 1.0, dict),
    ]
