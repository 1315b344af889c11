"""Wall: the numbers of Now in six tiles, without controls, for a screen on a wall."""

from dataclasses import dataclass

from staging_api.locks.model import IDEMPOTENCY, LockFilter
from staging_api.sizes import size
from staging_api.staging.store_report import store_report, used_share
from staging_api.ui.attention import FULL
from staging_api.ui.copies import Copies, api_path
from staging_api.ui.dependencies import UiDependencies
from staging_api.ui.formats import counted, duration
from staging_api.ui.screen import ScreenContent, View
from staging_api.ui.screens.now import MANY_LEASES

_MINUTES = 60
_LOCKS = 100


@dataclass(frozen=True)
class Tile:
    """A number with a label; `mood` as for a page."""

    number: str
    label: str
    mood: str = ""


def show(deps: UiDependencies, view: View) -> ScreenContent:
    """Show running work, failures and stagings of the last hour, locks, space and processes."""
    counts = deps.api.counts.page("minute", limit=_MINUTES)
    running = sum(counts.unfinished.values())
    failed = sum(each.stagings.get("failed", 0) for each in counts.items)
    staged = sum(each.stagings.get("staged", 0) for each in counts.items)
    fetched = sum(each.fetched_bytes for each in counts.items)
    spared = sum(each.staged_bytes for each in counts.items) - fetched
    tiles = [
        Tile(*_number_of(running, "stagings", "under way"), "busy" if running else ""),
        Tile(str(failed), "failed in the last hour", "bad" if failed else ""),
        Tile(
            str(staged),
            f"staged in the last hour: {size(fetched)} fetched, {size(max(spared, 0))} spared",
        ),
        _locks(deps, view),
        _space(deps),
        _processes(deps),
    ]
    moods = {tile.mood for tile in tiles}
    return ScreenContent(
        "wall.html",
        f"{failed} failed, {running} under way" if failed else f"{running} under way",
        {"tiles": tiles},
        mood=next((mood for mood in ("bad", "warn", "busy") if mood in moods), "ok"),
        copies=Copies(
            api_path("/counts", by="minute", limit=_MINUTES),
            python=f'print(client.counts("minute", limit={_MINUTES}))',
        ),
    )


def _locks(deps: UiDependencies, view: View) -> Tile:
    # As on Now: locks of Idempotency-Keys belong to requests, and protect no archive.
    only = LockFilter(except_kind=IDEMPOTENCY.name)
    page = deps.api.lock_service.page("held", limit=_LOCKS, only=only)
    if not page.items:
        return Tile("0", "locks held")
    oldest = max((view.now - each.grant.acquired_at).total_seconds() for each in page.items)
    long_held = oldest > MANY_LEASES * deps.api.locks.lease_seconds
    count = f"{len(page.items)}{'+' if page.next else ''}"
    said = _number_of(count, "locks", f"held, the oldest for {duration(oldest)}")
    return Tile(*said, "warn" if long_held else "")


def _space(deps: UiDependencies) -> Tile:
    report = store_report(deps.api.stagings.upkeep)
    share = used_share(deps.api.stagings.upkeep)
    used = report.space.used + report.space.reserved
    return Tile(f"{share:.0%}", f"of the store: {size(used)}", "warn" if share > FULL else "")


def _processes(deps: UiDependencies) -> Tile:
    seen = deps.api.processes.all()
    alive = sum(each.alive for each in seen)
    lost = len(seen) - alive
    said = _number_of(alive, "processes", f"alive, {lost} not seen" if lost else "alive")
    return Tile(*said, "warn" if lost else "")


def _number_of(count: int | str, plural: str, what: str) -> tuple[str, str]:
    """Return a number, and separately its words, in the singular for one."""
    number, noun = counted(count, plural).split()
    return number, f"{noun} {what}"
