"""Page Now: sentence and charts about running, failed and held work."""

from collections.abc import Sequence
from datetime import UTC, datetime, timedelta
from typing import Any, TypeVar, cast

from staging_api.locks.model import Grant
from staging_api.paging import Page
from staging_api.staging.counts import CountsPage, IntervalCounts
from staging_api.staging.model import Failure, StagedArtifact, Staging
from staging_api.ui.attention import AttentionItem
from staging_api.ui.charts import Chart
from staging_api.ui.screens import now

Row = TypeVar("Row")
NOW = datetime(2026, 11, 29, 10, 0, tzinfo=UTC)


def made(of: type[Row], **given: object) -> Row:
    """Return a row of which only these columns are read."""
    fields: Any = of
    return of(**{**dict.fromkeys(fields.__dataclass_fields__), **given})


def before(seconds: float) -> datetime:
    return NOW - timedelta(seconds=seconds)


def staging(name: str, state: str, created: float, ended: float | None, **given: object) -> Staging:
    finished_at = None if ended is None else before(ended)
    row = {"id": name, "state": state, "artifacts": (), **given}
    return made(Staging, created_at=before(created), finished_at=finished_at, **row)


def failed(name: str, ended: float, code: str | None, *lacking: str) -> Staging:
    failure = code and Failure(code, f"{name} lacks it", retryable=False)
    artifacts = [made(StagedArtifact, name=each, failure=failure or True) for each in lacking]
    artifacts.append(made(StagedArtifact, name="staged well"))
    return staging(name, "failed", 5000, ended, failure=failure or None, artifacts=artifacts)


def lock(seconds: float) -> Grant:
    return made(Grant, acquired_at=before(seconds))


def group(count: int) -> now.FailureGroup:
    return made(now.FailureGroup, count=count)


def summary(
    running: int = 0,
    failures: Sequence[int] = (),
    held: Sequence[float] = (),
    trouble: Sequence[str] = (),
    following: str | None = None,
) -> tuple[str, str]:
    page = Page([staging(str(each), "running", 9, None) for each in range(running)], following)
    locks, groups = [lock(each) for each in held], [group(each) for each in failures]
    given = [AttentionItem(each, "Store", "/ui/store") for each in trouble]
    return now._summary(page, groups, locks, given, NOW)


def test_the_sentence_says_the_worst() -> None:
    all_of_it = {"failures": [2, 1], "trouble": ["A", "B"], "held": [120, 4000], "running": 2}
    for left_out, said in (
        ("failures", ("bad", "3 stagings failed in the last hour")),
        ("trouble", ("warn", "A")),
        ("held", ("warn", "2 locks held for 1 h 6 min")),
        ("running", ("busy", "All is well: 2 stagings running")),
    ):
        assert summary(**cast(Any, all_of_it)) == said
        del all_of_it[left_out]
    assert summary() == ("ok", "All is well: nothing runs")


def test_a_number_that_is_not_all_has_a_plus() -> None:
    assert summary(failures=[60, 39])[1].startswith("99 stagings")
    assert summary(failures=[60, 40])[1].startswith("100+ stagings")
    assert summary(running=50)[1].endswith("50 stagings running")
    assert summary(running=50, following="50")[1].endswith("50+ stagings running")
    assert summary(running=1)[1].endswith("1 staging running")
    assert summary(held=[60])[1] == "1 lock held for 1 min"


def test_failures_are_grouped_by_their_code_and_what_lacks() -> None:
    rows = [
        failed("newest", 60, "internal", "notes"),
        failed("second", 120, "gone", "suites", "payload"),
        failed("third", 180, "gone", "payload", "suites"),
        failed("fourth", 240, "gone", "payload"),
        failed("fifth", 300, None),
    ]
    found = [
        (each.code, each.names, each.count, each.first, each.last.id, each.message)
        for each in now._grouped(rows)
    ]
    assert found == [
        ("gone", ("payload", "suites"), 2, before(180), "second", "second lacks it"),
        ("internal", ("notes",), 1, before(60), "newest", "newest lacks it"),
        ("gone", ("payload",), 1, before(240), "fourth", "fourth lacks it"),
        ("unknown", (), 1, before(300), "fifth", ""),
    ]


def test_of_the_last_hour_is_what_ended_within_3600_seconds() -> None:
    for ended, recent in ((3599, True), (3600, False), (None, False)):
        assert now._ended_recently(staging("R1", "staged", 5000, ended), NOW) is recent


def test_a_lock_is_held_for_long_from_ten_leases_on() -> None:
    assert [now._is_long(lock(held), NOW, 30) for held in (300, 300.5)] == [False, True]


def counts(*items: IntervalCounts) -> CountsPage:
    return CountsPage(list(items), None, None, {}, {})


def test_times_are_the_median_and_the_99th_percentile_of_what_was_staged_lately() -> None:
    rows = [
        staging("R5", "running", 50, None),
        staging("R4", "staged", 110, 100),
        staging("R3", "staged", 240, 200),
        staging("R2", "failed", 900, 300),
        staging("R1", "staged", 420, 400),
        staging("R0", "staged", 9000, 3600),
    ]
    (chart,) = now._times(rows, NOW)
    assert chart.number == "20 s"
    assert chart.label == "median of the last 3 stagings; 40 s at the 99th percentile"
    # As wide as an hour; the highest bar fills the chart, the newest is at the right.
    assert chart.width == 300
    assert drawn(chart) == [("staged", 285, 20), ("staged", 290, 40), ("staged", 295, 10)]
    assert now._times(rows[:1], NOW) == []


def drawn(chart: Chart) -> list[tuple[str, float, float]]:
    return [(bar.kind, bar.x, bar.height) for bar in chart.bars]


def test_charts_say_what_ended_what_was_staged_and_what_was_spared() -> None:
    newest = IntervalCounts(
        NOW, {"staged": 1, "failed": 1, "cancelled": 7, "running": 9}, {"staged": 4, "failed": 2}
    )
    middle = IntervalCounts(NOW, {}, {}, fetched_bytes=3000, staged_bytes=9000)
    oldest = IntervalCounts(NOW, {"staged": 4}, {"staged": 1}, 3000, 1000)
    ended, artifacts, fetched = now._charts(counts(newest, middle, oldest))
    assert (ended.number, drawn(ended)) == (
        "6",
        [("staged", 0, 40), ("staged", 10, 10), ("failed", 10, 10)],
    )
    assert (artifacts.number, drawn(artifacts)) == ("5", [("staged", 0, 10), ("staged", 10, 40)])
    assert drawn(fetched) == [("running", 0, 13.3), ("running", 5, 13.3), ("staged", 5, 26.7)]
    assert fetched.number.startswith("6")
    assert "; 6" in fetched.label
    few = counts(IntervalCounts(NOW, {}, {}, 3, 9), IntervalCounts(NOW, {}, {}, 3, 1))
    assert "; 6 bytes spared" in now._charts(few)[2].label
