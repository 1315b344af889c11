"""Default limits of reports: days, rows, and seconds of a wait."""

from contextlib import nullcontext
from datetime import UTC, datetime, timedelta
from types import SimpleNamespace
from typing import Any

import pytest

from staging_api.clients import ALWAYS_CONNECTED
from staging_api.staging import partial_files
from staging_api.staging.audit_questions import AuditQuestions
from staging_api.staging.partial_files import PartialFiles
from staging_api.staging.repository import check_rows, space_rows, store_rows, usage_rows
from staging_api.staging.repository.space_rows import StoreSpace
from staging_api.staging.store_report import store_report, used_share


def test_a_question_between_two_dates_is_of_the_last_30_days() -> None:
    now = datetime(2026, 1, 31, 12, tzinfo=UTC)
    conn = SimpleNamespace(execute=lambda _statement: SimpleNamespace(scalar_one=lambda: now))
    database: Any = SimpleNamespace(connect=lambda: nullcontext(conn))
    found = AuditQuestions(database, ["gs://x"]).defaults()
    assert (found["until"], found["moment"]) == (now, now)
    assert found["until"] - found["since"] == timedelta(days=30)
    assert found["allowed"] == ["gs://x"]


def store(quota: int, free: int | OSError, disk_of: str = "store") -> Any:
    def free_bytes() -> int:
        if isinstance(free, OSError):
            raise free
        return free

    return SimpleNamespace(
        database=SimpleNamespace(connect=nullcontext),
        terms=SimpleNamespace(quota_bytes=quota),
        blobs=SimpleNamespace(free_bytes=free_bytes, disk_of=disk_of),
    )


def test_a_report_of_a_store_has_its_20_idlest_artifacts(monkeypatch: pytest.MonkeyPatch) -> None:
    for module, name in (
        (store_rows, "store_id"),
        (space_rows, "space"),
        (usage_rows, "usage"),
        (usage_rows, "largest_archives"),
        (usage_rows, "checks"),
        (check_rows, "lost_count"),
    ):
        monkeypatch.setattr(module, name, lambda _conn: StoreSpace(1, 0, 0))
    monkeypatch.setattr(usage_rows, "idlest", lambda _conn, limit: limit)
    report: Any = store_report(store(0, 5))
    assert (report.idlest, report.quota_bytes, report.free_bytes) == (20, None, 5)
    assert report.whole_bytes == 6
    report = store_report(store(9, OSError("away")))
    assert (report.quota_bytes, report.free_bytes, report.whole_bytes) == (9, None, 9)
    # The disk of a bucket's spool says nothing about the bucket.
    assert store_report(store(0, 5, "spool")).whole_bytes is None


@pytest.mark.parametrize(
    ("quota", "free", "used", "share"),
    [(40, 0, 10, 0.5), (0, 70, 10, 0.25), (0, OSError("away"), 10, 0.0), (0, 0, -10, 0.0)],
    ids=str,
)
def test_a_store_is_as_full_as_its_used_and_reserved_bytes(
    monkeypatch: pytest.MonkeyPatch, quota: int, free: int | OSError, used: int, share: float
) -> None:
    monkeypatch.setattr(space_rows, "space", lambda _conn: StoreSpace(used, 5, 10))
    assert used_share(store(quota, free)) == share
    assert used_share(store(quota, free, "spool")) == (share if quota else 0.0)


@pytest.mark.parametrize(
    ("left", "closed", "waited"),
    [(0.5, False, [0.5]), (9.0, False, [5.0]), (0.0, False, []), (-1.0, False, []), (9, True, [])],
)
def test_a_wait_for_a_file_ends_with_its_time_or_its_process(
    monkeypatch: pytest.MonkeyPatch, left: float, closed: bool, waited: list[float]
) -> None:
    monkeypatch.setattr(partial_files, "time", SimpleNamespace(monotonic=lambda: 100.0))
    asked: list[float] = []
    watch = SimpleNamespace(closed=closed, changed=lambda *given: asked.append(given[2]))
    made: Any = SimpleNamespace(watch=watch)
    found: Any = SimpleNamespace(staging_id="s", version=1)
    is_over = not PartialFiles.wait(made, found, 100.0 + left, ALWAYS_CONNECTED)
    assert (asked, is_over) == (waited, not waited)
