"""Pages of the wall and the store: their queries, and their content."""

from collections.abc import Sequence
from datetime import UTC, datetime, timedelta
from types import SimpleNamespace
from typing import Any

import pytest

from staging_api.staging.counts import CountsPage, IntervalCounts
from staging_api.ui.screen import ScreenContent
from staging_api.ui.screens import store, wall

NOW = datetime(2026, 11, 29, 10, 0, tzinfo=UTC)


class Asked:
    """Returns the same for every list, and records the queries."""

    def __init__(self, items: Sequence[object], following: str | None = None) -> None:
        self.items, self.following = items, following
        self.limits: list[int] = []
        self.only: Any = None

    def page(self, *_: object, limit: int, only: object = None, after: object = None) -> Any:
        self.limits.append(limit)
        self.only = only
        return SimpleNamespace(items=self.items, next=self.following)

    def all(self) -> Sequence[object]:
        return self.items


class Counts(Asked):
    """Counts of the last hour."""

    def page(self, *by: object, limit: int, only: object = None, after: object = None) -> Any:
        assert (by, only, after) == (("minute",), None, None)
        self.limits.append(limit)
        return CountsPage(list(self.items), None, None, {"running": 2, "queued": 1}, {})  # type: ignore[arg-type]


def on_wall(
    counts: Counts,
    locks: Asked,
    alive: Sequence[bool],
    monkeypatch: pytest.MonkeyPatch,
    full: float,
) -> ScreenContent:
    space = SimpleNamespace(used=2000, reserved=1000)
    monkeypatch.setattr(wall, "store_report", lambda _: SimpleNamespace(space=space))
    monkeypatch.setattr(wall, "used_share", lambda _: full)
    api = SimpleNamespace(
        counts=counts,
        lock_service=locks,
        locks=SimpleNamespace(lease_seconds=30),
        stagings=SimpleNamespace(upkeep=None),
        processes=Asked([SimpleNamespace(alive=each) for each in alive]),
    )
    deps: Any = SimpleNamespace(api=api)
    view: Any = SimpleNamespace(now=NOW)
    return wall.show(deps, view)


def held(*seconds: float) -> list[object]:
    return [
        SimpleNamespace(grant=SimpleNamespace(acquired_at=NOW - timedelta(seconds=each)))
        for each in seconds
    ]


def tiles(content: ScreenContent) -> list[tuple[str, str, str]]:
    return [(each.number, each.label, each.mood) for each in content.context["tiles"]]


def test_the_wall_counts_an_hour_and_a_hundred_locks(monkeypatch: pytest.MonkeyPatch) -> None:
    minutes = [
        IntervalCounts(NOW, {"staged": 2, "failed": 1}, {}, 1000, 3000),
        IntervalCounts(NOW, {"staged": 1}, {}, 1000, 500),
        IntervalCounts(NOW, {"failed": 1}),
    ]
    counts, locks = Counts(minutes), Asked(held(300, 200), following="x")
    content = on_wall(counts, locks, [True, True, False], monkeypatch, full=0.9)
    assert (counts.limits, locks.limits) == ([60], [100])
    assert tiles(content) == [
        ("3", "stagings under way", "busy"),
        ("2", "failed in the last hour", "bad"),
        ("3", "staged in the last hour: 2.0 kB fetched, 1.5 kB spared", ""),
        ("2+", "locks held, the oldest for 5 min", ""),
        ("90%", "of the store: 3.0 kB", ""),
        ("2", "processes alive, 1 not seen", "warn"),
    ]
    assert (content.title, content.mood) == ("2 failed, 3 under way", "bad")


def test_the_wall_warns_from_ten_leases_and_above_nine_tenths(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    minutes = [IntervalCounts(NOW, {}, {}, 1000, 500)]
    content = on_wall(Counts(minutes), Asked(held(301)), [True], monkeypatch, full=0.91)
    assert tiles(content)[1:] == [
        ("0", "failed in the last hour", ""),
        ("0", "staged in the last hour: 1.0 kB fetched, 0 bytes spared", ""),
        ("1", "lock held, the oldest for 5 min 1 s", "warn"),
        ("91%", "of the store: 3.0 kB", "warn"),
        ("1", "process alive", ""),
    ]
    assert (content.title, content.mood) == ("3 under way", "warn")
    empty = on_wall(Counts([]), Asked([]), [], monkeypatch, full=0.0)
    assert tiles(empty)[3] == ("0", "locks held", "")
    assert empty.mood == "busy"


@pytest.mark.parametrize(
    ("used", "lost", "shown"),
    [
        (900, (0, 0), ("Store 90% full", "ok")),
        (910, (0, 0), ("Store 91% full", "warn")),
        (910, (1, 0), ("Store 91% full", "bad")),
        (100, (0, 1), ("Store 10% full", "bad")),
    ],
)
def test_the_store_is_bad_if_contents_are_lost_and_warns_when_nearly_full(
    used: int, lost: tuple[int, int], shown: tuple[str, str], monkeypatch: pytest.MonkeyPatch
) -> None:
    report = SimpleNamespace(
        space=SimpleNamespace(used=used - 50, reserved=50),
        quota_bytes=1000,
        whole_bytes=1000,
        usage=[],
        lost_contents=lost[0],
        checks=SimpleNamespace(lost=lost[1]),
    )
    prunes, pins = Asked([]), Asked([])
    found = SimpleNamespace(page=prunes.page, find=lambda token: f"found {token}")
    monkeypatch.setattr(store, "store_report", lambda _: report)
    monkeypatch.setattr(store, "Pruning", lambda _: found)
    stagings = SimpleNamespace(upkeep=None, artifacts=pins)
    deps: Any = SimpleNamespace(api=SimpleNamespace(stagings=stagings))
    for query, token, prune in (({}, None, None), ({"prune": "one"}, "one", "found one")):
        view: Any = SimpleNamespace(query=query, after=lambda _: None)
        content = store.show(deps, view)
        assert (content.title, content.mood, content.live) == (*shown, token is None)
        assert (content.context["token"], content.context["prune"]) == (token, prune)
    assert (prunes.limits, pins.limits, pins.only.pinned) == ([5, 5], [20, 20], True)
    report.whole_bytes = None
    assert store.show(deps, view).title == "Store"
