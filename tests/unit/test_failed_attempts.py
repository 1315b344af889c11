"""Failed attempts on an artifact: time of the retry, and the message."""

import errno
import random
from collections.abc import Callable
from contextlib import nullcontext
from types import SimpleNamespace
from typing import Any

import pytest
from prometheus_client import REGISTRY

from staging_api.errors import (
    ArchiveCorrupt,
    ArchiveNotFound,
    Cancelled,
    ClientGone,
    LockLost,
    ShuttingDown,
    SourceFailed,
    StagingApiError,
    StoreAbsent,
    Unavailable,
    UploadWaitOver,
)
from staging_api.staging import attempt
from staging_api.staging.attempt import Attempt, ThrottledProgress
from staging_api.staging.model import Failure
from staging_api.staging.repository import artifact_rows, growth_rows, staging_rows


class Rows:
    """Records when an artifact is tried again, and whether it is left to a longer wait."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch, *, has_patient: bool = False) -> None:
        self.failed: list[tuple[str, float | None]] = []
        self.left: list[str] = []
        self.settled = 0
        self._has_patient = has_patient
        monkeypatch.setattr(attempt, "guarded", lambda *_: nullcontext())
        monkeypatch.setattr(random, "uniform", lambda low, high: (low + high) / 1.5)
        monkeypatch.setattr(artifact_rows, "mark_failed", self._fail)
        monkeypatch.setattr(artifact_rows, "leave_to_patient", self._leave)
        monkeypatch.setattr(staging_rows, "settle", self._settle)

    def _fail(
        self, _c: object, _id: str, _lease: object, why: Failure, again: float | None
    ) -> None:
        self.failed.append((why.code, again))

    def _leave(self, _conn: object, _id: str, _staging_id: str, why: Failure) -> bool:
        self.left.append(why.code)
        return self._has_patient

    def _settle(self, *_: object) -> None:
        self.settled += 1


def fail(error: Exception, before: int = 0, attempts: int = 3) -> StagingApiError:
    """Fail after this many earlier attempts; return the error that the caller gets."""
    artifact = SimpleNamespace(id="a", name="n", archive_url="gs://x", attempt=before)
    made: Any = (None, None, "s", artifact, SimpleNamespace(lease=None), attempts)
    try:
        with Attempt(*made).failure_recorded():
            raise error
    except StagingApiError as met:
        return met


@pytest.mark.parametrize(
    ("error", "before", "again"),
    [
        # The upper limit of the random delay: 5 s, doubled with each attempt.
        (SourceFailed("away"), 0, 10.0),
        (SourceFailed("away"), 1, 20.0),
        (SourceFailed("away"), 2, None),
        (ArchiveCorrupt("no tar"), 0, None),
    ],
)
def test_what_may_pass_is_tried_again_after_a_pause_that_doubles(
    monkeypatch: pytest.MonkeyPatch, error: StagingApiError, before: int, again: float | None
) -> None:
    rows = Rows(monkeypatch)
    assert fail(error, before) is error
    assert (rows.failed, rows.left, rows.settled) == ([(error.code, again)], [], 1)


@pytest.mark.parametrize("has_patient", [True, False])
@pytest.mark.parametrize("error", [ArchiveNotFound("none"), UploadWaitOver("late")], ids=repr)
def test_what_did_not_come_in_time_is_left_to_one_that_waits_longer(
    monkeypatch: pytest.MonkeyPatch, error: StagingApiError, has_patient: bool
) -> None:
    rows = Rows(monkeypatch, has_patient=has_patient)
    assert fail(error) is error
    assert (rows.left, rows.settled) == ([error.code], 1)
    assert rows.failed == ([] if has_patient else [(error.code, None)])


def test_what_this_process_lacks_is_no_failure_of_the_artifact(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    rows = Rows(monkeypatch)
    met = fail(OSError(errno.EMFILE, "Too many open files"))
    assert isinstance(met, Unavailable)
    assert (met.retry_after_seconds, rows.failed, rows.settled) == (2, [], 0)


def test_an_error_of_ours_fails_the_artifact_for_good(monkeypatch: pytest.MonkeyPatch) -> None:
    rows = Rows(monkeypatch)
    met = fail(ValueError("a bug"))
    assert str(met) == "ValueError while staging n"
    assert rows.failed == [(StagingApiError.code, None)]


def test_progress_is_written_twice_a_second_with_its_rate(monkeypatch: pytest.MonkeyPatch) -> None:
    now = [100.0]
    monkeypatch.setattr(attempt, "time", SimpleNamespace(monotonic=lambda: now[0]))
    written: list[tuple[int, int | None, float]] = []
    progress = ThrottledProgress(lambda *each: written.append(each))
    assert progress.done == 0
    for seconds, done in ((0.25, 1), (0.25, 2), (0.25, 3), (0.25, 4)):
        now[0] += seconds
        progress(done, 8)
    assert written == [(2, 8, 4.0), (4, 8, 4.0)]
    assert progress.done == 4


class Calls:
    """Recorder of the calls on rows, in order."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self.names: list[str] = []
        monkeypatch.setattr(attempt, "guarded", lambda *_: nullcontext())
        for module, name in (
            (artifact_rows, "begin_artifact"),
            (staging_rows, "settle"),
            (artifact_rows, "mark_pending"),
            (staging_rows, "mark_cancelled"),
            (artifact_rows, "note_progress"),
            (growth_rows, "note_growth"),
            (staging_rows, "touch"),
            (artifact_rows, "mark_failed"),
        ):
            monkeypatch.setattr(module, name, self._noting(name))

    def _noting(self, name: str) -> Callable[..., None]:
        return lambda *_: self.names.append(name)


@pytest.mark.parametrize(
    ("error", "calls"),
    [
        (ShuttingDown("ends"), ["mark_pending", "settle"]),
        # The staging itself is marked as cancelled once all its artifacts have ended.
        (Cancelled("cancelled"), ["mark_pending", "settle"]),
        (ClientGone("gone"), ["mark_pending", "settle"]),
        (LockLost("lost"), []),
        (Unavailable("away"), []),
        (StoreAbsent("absent"), []),
    ],
    ids=repr,
)
def test_what_is_no_fault_of_the_artifact_is_left_to_others_or_cancelled(
    monkeypatch: pytest.MonkeyPatch, error: StagingApiError, calls: list[str]
) -> None:
    made = Calls(monkeypatch)
    assert fail(error) is error
    assert made.names == calls


@pytest.mark.parametrize("grows", [True, False])
def test_an_attempt_says_that_it_begins_and_how_far_it_is(
    monkeypatch: pytest.MonkeyPatch, grows: bool
) -> None:
    calls = Calls(monkeypatch)
    artifact = SimpleNamespace(id="a", archive_url="gs://x")
    blobs = SimpleNamespace(name_of=lambda file: file)
    made: Any = (None, blobs, "s", artifact, SimpleNamespace(lease=None), 1)
    Attempt(*made).begin()
    assert calls.names == ["begin_artifact", "settle"]
    calls.names.clear()
    written = SimpleNamespace(file="f", bytes_done=1, size_bytes=2) if grows else None
    tracker: Any = SimpleNamespace(synced=lambda: written)
    Attempt(*made).progress_writer(tracker)(1, 2, 3.0)
    assert calls.names == ["note_progress", *(["note_growth"] if grows else []), "touch"]


def test_a_failure_is_counted_by_its_artifact_and_code(monkeypatch: pytest.MonkeyPatch) -> None:
    Rows(monkeypatch)
    labels = {"artifact": "n", "outcome": ArchiveCorrupt.code}
    before = REGISTRY.get_sample_value("staging_artifacts_total", labels) or 0
    fail(ArchiveCorrupt("no tar"))
    assert REGISTRY.get_sample_value("staging_artifacts_total", labels) == before + 1
