"""``staging-api prune``: free space in the store, and drop records that need not be kept."""

from contextlib import closing
from datetime import timedelta
from typing import Annotated, Any

import typer

from staging_api.cli.cures import PACKAGES_STAY
from staging_api.cli.options import AsJson
from staging_api.cli.output import exit_on_error, print_lines
from staging_api.db.engine import Database, database_time
from staging_api.errors import Invalid
from staging_api.locks import store
from staging_api.locks.factory import process_name
from staging_api.processes.bootstrap import build
from staging_api.processes.run import known_database_of
from staging_api.settings import Settings
from staging_api.staging.eviction import prune as prune_store
from staging_api.staging.repository import event_rows
from staging_api.staging.upkeep import Upkeep

_KEEP_DAYS = 400  # a year, and a month to look back on that year
_DAY_SECONDS = 86400.0


def prune(
    *,
    keep_days: Annotated[
        int, typer.Option(min=1, help="Drop months of lock history that ended before this time.")
    ] = _KEEP_DAYS,
    idle_days: Annotated[
        float | None,
        typer.Option(min=0, help="Evict unpinned artifacts that were not read for this time."),
    ] = None,
    keep_bytes: Annotated[
        int,
        typer.Option(min=0, help="With --idle-days: stop once the store has this size."),
    ] = 0,
    events_days: Annotated[
        int | None,
        typer.Option(min=31, help="Drop months of event records that ended before this time."),
    ] = None,
    reason: Annotated[
        str, typer.Option(metavar="TEXT", help="With --events-days: reason, for the record.")
    ] = "",
    dry_run: Annotated[
        bool, typer.Option("--dry-run", help="Change nothing; show what would be evicted.")
    ] = False,
    as_json: AsJson = False,
) -> None:
    """Drop old months of the lock history; with options, also free space in the store.

    Kept are months with a held lock, and artifacts that are pinned, being read or being staged.
    Safe to run at any time, and several times at once.
    """
    with exit_on_error(as_json), known_database_of(Settings.from_env()) as settings:
        if events_days is not None and not reason:
            raise Invalid.field("--reason", "must say why events are dropped")
        with closing(build(settings)) as services:
            upkeep, lines = services.stagings.upkeep, list[str]()
            report: dict[str, Any] = {"dry_run": dry_run}
            if not dry_run:
                lines += _drop_history(upkeep.database, keep_days, report)
                if events_days is not None:
                    lines += _drop_events(upkeep.database, events_days, reason, report)
            if idle_days is not None:
                lines += _evict(upkeep, idle_days, keep_bytes, report, dry_run=dry_run)
        print_lines(report, lines, as_json=as_json)


def _drop_history(database: Database, keep_days: int, report: dict[str, Any]) -> list[str]:
    with database.connect() as conn:
        store.record_expired(conn, process_name())
        store.extend_history(conn)
        # The database dated these months, and this machine's clock may be wrong.
        before = database_time(conn) - timedelta(days=keep_days)
        dropped = store.drop_history(conn, before)
        forgotten = store.delete_unused_scopes(conn)
    report |= {"dropped_months": dropped, "forgotten_scopes": forgotten}
    return [f"dropped {', '.join(dropped) or 'nothing'}; forgot {forgotten} unused scopes"]


def _drop_events(
    database: Database, events_days: int, reason: str, report: dict[str, Any]
) -> list[str]:
    with database.connect() as conn:
        before = database_time(conn) - timedelta(days=events_days)
        count = event_rows.drop_events(conn, before, reason)
    report["dropped_events"] = count
    return [f"dropped {count} events"]


def _evict(
    upkeep: Upkeep, idle_days: float, keep_bytes: int, report: dict[str, Any], *, dry_run: bool
) -> list[str]:
    idle_seconds = idle_days * _DAY_SECONDS
    pruned = prune_store(upkeep, keep_bytes=keep_bytes, idle_seconds=idle_seconds, dry_run=dry_run)
    report["evicted"] = [
        {"archive_url": each.archive_url, "name": each.name, "size_bytes": each.size_bytes}
        for each in pruned.artifacts
    ]
    report["freed_bytes"] = pruned.freed_bytes
    would = "would be " if dry_run else ""
    evicted = [f"{would}evicted: {each.name} of {each.archive_url}" for each in pruned.artifacts]
    why = "" if evicted else PACKAGES_STAY
    return [*evicted, f"{would}freed: {pruned.freed_bytes} bytes{why}"]
