"""Now: running and failed stagings, and locks: the first screen to open when something hangs."""

from collections import defaultdict
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from math import ceil

from staging_api.locks.model import IDEMPOTENCY, Grant, LockFilter
from staging_api.paging import Page
from staging_api.sizes import size
from staging_api.staging.counts import CountsPage
from staging_api.staging.lists import StagingFilter
from staging_api.staging.model import Staging
from staging_api.ui.attention import AttentionItem, attention_items
from staging_api.ui.charts import Chart, chart_of
from staging_api.ui.copies import Copies, api_path
from staging_api.ui.dependencies import UiDependencies
from staging_api.ui.formats import counted, duration
from staging_api.ui.screen import ScreenContent, View
from staging_api.vocabulary.staging import FINAL_STATES

_RUNNING_SHOWN = 50
_NEWEST_SHOWN = 20
_LOOKED_AT = 100
_LOCKS_SHOWN = 100
#: Maximum number of long-held locks: after the death of a pod there are many with one cause.
_LONG_HELD_SHOWN = 10
_MINUTES = 60
_RECENT = timedelta(hours=1)
#: A lock held for this many lease durations needs attention.
MANY_LEASES = 10


@dataclass(frozen=True)
class FailureGroup:
    """Failures of the last hour with the same code, at artifacts of the same names."""

    code: str
    names: Sequence[str]
    count: int
    first: datetime
    last: Staging
    message: str


def show(deps: UiDependencies, view: View) -> ScreenContent:
    """Show the state of the service in one sentence, and its details."""
    stagings = deps.api.stagings
    running = stagings.page(limit=_RUNNING_SHOWN, only=StagingFilter(unfinished=True))
    newest = stagings.page(limit=_LOOKED_AT).items
    locks = _work_locks(deps)
    failures = _failures(deps, view.now)
    long_held = [lock for lock in locks if _is_long(lock, view.now, deps.api.locks.lease_seconds)]
    counts = deps.api.counts.page("minute", limit=_MINUTES)
    seen = deps.api.processes.all()
    trouble = attention_items(deps, seen, counts, view.now)
    mood, sentence = _summary(running, failures, long_held, trouble, view.now)
    return ScreenContent(
        "now.html",
        sentence,
        {
            "sentence": sentence,
            "running": running,
            "uploads_waited_for": sum(bool(each.waiting_for) for each in running.items),
            "upload_wait_seconds": stagings.uploads.wait_seconds,
            "newest": newest[:_NEWEST_SHOWN],
            "trouble": trouble,
            "charts": [*_charts(counts), *_times(newest, view.now)],
            "refused": sum(each.refused for each in seen if each.alive),
            "failures": failures,
            "long_held": long_held,
            "most_held": _LONG_HELD_SHOWN,
            "more_held": _number(len(long_held), _LOCKS_SHOWN, _LONG_HELD_SHOWN),
            "sources": [entry.url.canonical for entry in deps.api.stagings.allowed.entries],
        },
        mood=mood,
        copies=Copies(
            api_path("/stagings", limit=_NEWEST_SHOWN),
            cli="staging-api status",
            python="for staging in client.stagings(): print(staging.state, staging.archive_url)",
            sql="SELECT id, state, archive_url, caller, created_at FROM stagings\n"
            "ORDER BY id DESC LIMIT :limit;",
            values={"limit": _NEWEST_SHOWN},
        ),
    )


def _times(newest: Sequence[Staging], now: datetime) -> list[Chart]:
    """Return a chart of the durations of recently ended stagings, among those in `newest`."""
    ended = [
        (each.finished_at, (each.finished_at - each.created_at).total_seconds())
        for each in newest
        if each.state == "staged" and each.finished_at and _ended_recently(each, now)
    ]
    took = [seconds for _, seconds in sorted(ended)]
    if not took:
        return []
    in_order = sorted(took)
    # By nearest rank: a real duration of one staging, however few there are.
    half, most = (in_order[ceil(part * len(took)) - 1] for part in (0.5, 0.99))
    return [
        chart_of(
            duration(half),
            f"median of the last {counted(len(took), 'stagings')}; {duration(most)} at the 99th"
            " percentile",
            "how long each took, the newest at the right",
            # As wide as the other charts; otherwise a single staging would fill its tile.
            [("staged", [0.0] * (_MINUTES - len(took)) + took)],
        )
    ]


def _charts(counts: CountsPage) -> list[Chart]:
    """Return charts of the last hour, by minute."""
    # The newest come first; a chart runs from left to right.
    minutes = counts.items[::-1]
    fetched = [each.fetched_bytes for each in minutes]
    spared = [max(each.staged_bytes - each.fetched_bytes, 0) for each in minutes]
    ended = [
        (state, [each.stagings.get(state, 0) for each in minutes])
        for state in FINAL_STATES
        if state != "cancelled"
    ]
    artifacts = [each.artifacts.get("staged", 0) for each in minutes]
    return [
        chart_of(
            str(sum(sum(values) for _, values in ended)),
            "stagings ended in the last hour",
            "staged and failed, by minute",
            ended,
        ),
        chart_of(
            str(sum(artifacts)),
            "artifacts staged in the last hour",
            "by minute",
            [("staged", artifacts)],
        ),
        chart_of(
            size(sum(fetched)),
            f"fetched in the last hour; {size(sum(spared))} spared, as the store had it",
            "fetched and spared, by minute",
            [("running", fetched), ("staged", spared)],
        ),
    ]


def _work_locks(deps: UiDependencies) -> list[Grant]:
    # Each request with an Idempotency-Key holds a lock: these would hide those of archives.
    only = LockFilter(except_kind=IDEMPOTENCY.name)
    page = deps.api.lock_service.page("held", limit=_LOCKS_SHOWN, only=only)
    return [each.grant for each in page.items]


def _ended_recently(staging: Staging, now: datetime) -> bool:
    return staging.finished_at is not None and now - staging.finished_at < _RECENT


def _is_long(lock: Grant, now: datetime, lease_seconds: float) -> bool:
    return (now - lock.acquired_at).total_seconds() > MANY_LEASES * lease_seconds


def _failures(deps: UiDependencies, now: datetime) -> list[FailureGroup]:
    """Return the failures within the last hour, which may not be among the newest stagings."""
    only = StagingFilter(equal={"state": "failed"})
    failed = deps.api.stagings.page(limit=_LOOKED_AT, only=only).items
    return _grouped(each for each in failed if _ended_recently(each, now))


def _grouped(failed: Iterable[Staging]) -> list[FailureGroup]:
    """Return the groups, largest first; `failed` are newest first."""
    groups: dict[tuple[str, tuple[str, ...]], list[Staging]] = defaultdict(list)
    for staging in failed:
        names = tuple(sorted({a.name for a in staging.artifacts if a.failure is not None}))
        code = staging.failure.code if staging.failure else "unknown"
        groups[code, names].append(staging)
    made = [
        FailureGroup(
            code=code,
            names=names,
            count=len(members),
            first=min(m.finished_at or m.created_at for m in members),
            last=members[0],
            message=members[0].failure.message if members[0].failure else "",
        )
        for (code, names), members in groups.items()
    ]
    return sorted(made, key=lambda group: -group.count)


def _summary(
    running: Page[Staging],
    failures: Sequence[FailureGroup],
    long_held: Sequence[Grant],
    trouble: Sequence[AttentionItem],
    now: datetime,
) -> tuple[str, str]:
    """Return the mood and the sentence of the page."""
    failed = sum(group.count for group in failures)
    if failed:
        return "bad", f"{counted(_number(failed, _LOOKED_AT), 'stagings')} failed in the last hour"
    if trouble:
        return "warn", trouble[0].sentence
    if long_held:
        oldest = min(lock.acquired_at for lock in long_held)
        held = duration((now - oldest).total_seconds())
        return "warn", f"{counted(_number(len(long_held), _LOCKS_SHOWN), 'locks')} held for {held}"
    if running.items:
        number = f"{len(running.items)}{'+' if running.next else ''}"
        return "busy", f"All is well: {counted(number, 'stagings')} running"
    return "ok", "All is well: nothing runs"


def _number(found: int, looked_at: int, shown: int = 0) -> str:
    """Return the number of items not shown, with ``+`` if not all were examined."""
    return f"{found - shown}{'+' if found >= looked_at else ''}"
