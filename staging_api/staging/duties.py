"""The duties of a worker beside stagings, as steps of housekeeping."""

import threading
from collections.abc import Callable

from staging_api.db import idempotency_rows
from staging_api.db.engine import Database
from staging_api.locks import store as locks
from staging_api.locks.hold import RequestOrigin
from staging_api.staging.counts import Counts
from staging_api.staging.housekeeping import HousekeepingStep, StepResult
from staging_api.staging.model import StagedArtifact
from staging_api.staging.quota import Quota
from staging_api.staging.reconcile import check_next
from staging_api.staging.repository import event_rows, space_rows, upload_rows
from staging_api.staging.scrub import Scrub
from staging_api.staging.service import StagingService
from staging_api.staging.store_report import count_usage

_OFTEN_SECONDS = 30.0
_SWEEP_SECONDS = 600.0
_COUNTS_SECONDS = 20.0
_SELDOM_SECONDS = 3600.0
#: Temporary files of the store are older than this only if their process died.
_STALE_SECONDS = 24 * 3600.0
#: A client that sends an Idempotency-Key again does so within this time.
_RESPONSE_SECONDS = 24 * 3600.0


def database_steps(stagings: StagingService) -> list[HousekeepingStep]:
    """Return the steps that need only the database."""
    holder, grace = stagings.locks.holder, stagings.store.grace_seconds
    writes: list[tuple[str, float, Callable[..., object]]] = [
        ("expired locks", _OFTEN_SECONDS, lambda conn: locks.record_expired(conn, holder)),
        ("months of locks", _SELDOM_SECONDS, locks.extend_history),
        ("months of events", _SELDOM_SECONDS, event_rows.extend_events),
        ("unused lock scopes", _SELDOM_SECONDS, locks.delete_unused_scopes),
        (
            "responses to Idempotency-Keys",
            _SELDOM_SECONDS,
            lambda conn: idempotency_rows.delete_old(conn, _RESPONSE_SECONDS),
        ),
        ("dead reservations", _OFTEN_SECONDS, space_rows.forget_dead_reservations),
        ("ledger", _OFTEN_SECONDS, space_rows.compact_ledger),
        ("upload polls", _SELDOM_SECONDS, lambda conn: upload_rows.forget_polls(conn, grace)),
    ]
    steps = [
        HousekeepingStep(name, every_seconds, _with_connection(stagings.database, write))
        for name, every_seconds, write in writes
    ]

    def forget_dropped() -> None:
        stagings.upkeep.forget_dropped()

    return [*steps, HousekeepingStep("rows of dropped packs", _OFTEN_SECONDS, forget_dropped)]


def report_steps(stagings: StagingService) -> list[HousekeepingStep]:
    """Return the steps that count for reports: they read much, and no work waits for them."""

    def count_events() -> StepResult:
        return StepResult(more=Counts(stagings.database).count())

    return [
        HousekeepingStep("counts", _COUNTS_SECONDS, count_events),
        HousekeepingStep("use of the store", _OFTEN_SECONDS, lambda: count_usage(stagings.upkeep)),
    ]


def store_steps(stagings: StagingService) -> list[HousekeepingStep]:
    """Return the steps that need the store."""
    upkeep = stagings.upkeep

    def sweep() -> StepResult:
        upkeep.identity.check()
        upkeep.check_clocks()
        return StepResult(failed=len(upkeep.blobs.sweep(_STALE_SECONDS).failed))

    def collect() -> StepResult:
        turn = upkeep.collect_some()
        return StepResult(more=turn.may_be_more, failed=turn.failed)

    def compare() -> StepResult:
        found = check_next(upkeep)
        return StepResult(failed=found.failed if found else 0)

    return [
        HousekeepingStep("quota", _OFTEN_SECONDS, Quota(upkeep).keep),
        HousekeepingStep("collection", _OFTEN_SECONDS, collect),
        HousekeepingStep("comparison", _OFTEN_SECONDS, compare),
        HousekeepingStep("sweep", _SWEEP_SECONDS, sweep),
    ]


def scrub_steps(stagings: StagingService, stop: threading.Event) -> list[HousekeepingStep]:
    """Return the steps that read contents again."""
    origin = RequestOrigin(caller="upkeep")

    def stage_again(artifact: StagedArtifact) -> None:
        staging_request = stagings.check_request(artifact.archive_url, (artifact.name,))
        stagings.queue_behind(staging_request, origin)

    scrub = Scrub(stagings.upkeep, stage_again, stop)

    def turn() -> StepResult:
        if not stagings.store.scrub_bytes_per_second:
            return StepResult()
        stagings.upkeep.identity.check()
        found = scrub.turn()
        return StepResult(more=bool(found.good or found.corrupt), failed=found.failed)

    return [HousekeepingStep("scrub", 1.0, turn)]


def _with_connection(database: Database, write: Callable[..., object]) -> Callable[[], None]:
    def run() -> None:
        with database.connect() as conn:
            write(conn)

    return run
