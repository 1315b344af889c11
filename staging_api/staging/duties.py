"""The duties of a worker beside stagings, as steps of housekeeping."""

import threading

from staging_api.db import idempotency_rows
from staging_api.locks import store as locks
from staging_api.locks.hold import RequestOrigin
from staging_api.staging import repository
from staging_api.staging.counts import Counts
from staging_api.staging.housekeeping import Done, Step
from staging_api.staging.model import StagedArtifact
from staging_api.staging.quota import Quota
from staging_api.staging.reconcile import check_next
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


def database_steps(stagings: StagingService) -> list[Step]:
    """Return the steps that need only the database."""
    database, terms = stagings.database, stagings.store

    def record_expired() -> None:
        with database.connect() as conn:
            locks.record_expired(conn, stagings.locks.holder)

    def extend_lock_history() -> None:
        with database.connect() as conn:
            locks.extend_history(conn)

    def delete_unused_scopes() -> None:
        with database.connect() as conn:
            locks.delete_unused_scopes(conn)

    def delete_old_responses() -> None:
        with database.connect() as conn:
            idempotency_rows.delete_old(conn, _RESPONSE_SECONDS)

    def extend_events() -> None:
        with database.connect() as conn:
            repository.extend_events(conn)

    def delete_dead_reservations() -> None:
        with database.connect() as conn:
            repository.forget_dead_reservations(conn)

    def compact_ledger() -> None:
        with database.connect() as conn:
            repository.compact_ledger(conn)

    def forget_polls() -> None:
        with database.connect() as conn:
            repository.forget_polls(conn, terms.grace_seconds)

    def forget_dropped() -> None:
        stagings.upkeep.forget_dropped()

    return [
        Step("expired locks", _OFTEN_SECONDS, record_expired),
        Step("months of locks", _SELDOM_SECONDS, extend_lock_history),
        Step("months of events", _SELDOM_SECONDS, extend_events),
        Step("unused lock scopes", _SELDOM_SECONDS, delete_unused_scopes),
        Step("responses to Idempotency-Keys", _SELDOM_SECONDS, delete_old_responses),
        Step("dead reservations", _OFTEN_SECONDS, delete_dead_reservations),
        Step("ledger", _OFTEN_SECONDS, compact_ledger),
        Step("rows of dropped packs", _OFTEN_SECONDS, forget_dropped),
        Step("upload polls", _SELDOM_SECONDS, forget_polls),
    ]


def report_steps(stagings: StagingService) -> list[Step]:
    """Return the steps that count for people: they read much, and nothing waits for them."""

    def count_events() -> Done:
        return Done(more=Counts(stagings.database).count())

    return [
        Step("counts", _COUNTS_SECONDS, count_events),
        Step("use of the store", _OFTEN_SECONDS, lambda: count_usage(stagings.upkeep)),
    ]


def store_steps(stagings: StagingService) -> list[Step]:
    """Return the steps that need the store."""
    upkeep = stagings.upkeep

    def sweep() -> Done:
        upkeep.identity.check()
        upkeep.check_clocks()
        return Done(failed=len(upkeep.blobs.sweep(_STALE_SECONDS).failed))

    def collect() -> Done:
        turn = upkeep.collect_some()
        return Done(more=turn.may_be_more, failed=turn.failed)

    def compare() -> Done:
        found = check_next(upkeep)
        return Done(failed=found.failed if found else 0)

    return [
        Step("quota", _OFTEN_SECONDS, Quota(upkeep).keep),
        Step("collection", _OFTEN_SECONDS, collect),
        Step("comparison", _OFTEN_SECONDS, compare),
        Step("sweep", _SWEEP_SECONDS, sweep),
    ]


def scrub_steps(stagings: StagingService, stop: threading.Event) -> list[Step]:
    """Return the steps that read contents again."""
    origin = RequestOrigin(caller="upkeep")

    def stage_again(artifact: StagedArtifact) -> None:
        staging_request = stagings.check_request(artifact.archive_url, (artifact.name,))
        stagings.queue_behind(staging_request, origin)

    scrub = Scrub(stagings.upkeep, stage_again, stop)

    def turn() -> Done:
        if not stagings.store.scrub_bytes_per_second:
            return Done()
        stagings.upkeep.identity.check()
        found = scrub.turn()
        return Done(more=bool(found.good or found.corrupt), failed=found.failed)

    return [Step("scrub", 1.0, turn)]
