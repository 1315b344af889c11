"""`hold` under interference: a cut connection, a release at the last moment."""

import threading
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing
from datetime import UTC, datetime

import pytest
from sqlalchemy import text

from staging_api import metrics
from staging_api.db.engine import Database, open_database
from staging_api.errors import LockLost
from staging_api.locks import store
from staging_api.locks.hold import Locks, guarded, hold, holding
from staging_api.locks.keeper import Hold
from staging_api.locks.model import ARCHIVE, IMAGES, Lease, LockKind
from tests.factories import ORIGIN, locks_of
from tests.leases import acquired, broken, expire, refused, released, rows
from tests.service import eventually

SEEN = "SELECT seen_at FROM lock_waiters"


@pytest.fixture
def locks(database: Database, database_url: str) -> Iterator[Locks]:
    with locks_of(database, database_url) as made:
        yield made


def test_a_release_whose_connection_was_cut_is_sent_again(
    database: Database, database_url: str
) -> None:
    before = metrics.LOCK_RELEASES_FAILED._value.get()
    with (
        closing(open_database(database_url, pool_size=1)) as own,
        locks_of(own, database_url) as locks,
        hold(locks, ARCHIVE, "s", ORIGIN),
    ):
        ((pid,),) = rows(own, "SELECT pg_backend_pid()")
        rows(database, "SELECT pg_terminate_backend(:pid, 10000)", pid=pid)
    assert rows(database, "SELECT outcome FROM api_locks") == [("released",)]
    assert metrics.LOCK_RELEASES_FAILED._value.get() == before


def test_a_holder_that_writes_without_a_pause_keeps_its_lease(
    database: Database, database_url: str
) -> None:
    """Renewals skip a lease with an open write; here the write is open at every renewal."""
    with (
        locks_of(database, database_url, lease_seconds=1.5) as locks,
        hold(locks, ARCHIVE, "s", ORIGIN) as held,
    ):
        locks.keeper.remove(held)
        end = time.monotonic() + 2 * locks.lease_seconds
        while time.monotonic() < end:
            with guarded(database, held) as conn:
                conn.execute(text("SELECT pg_sleep(0.01)"))
    assert rows(database, "SELECT outcome FROM api_locks") == [("released",)]


def test_a_waiter_shows_that_it_lives_even_if_nothing_rings(
    locks: Locks, database: Database
) -> None:
    lease = acquired(database, scope="s")

    def wait() -> None:
        with hold(locks, ARCHIVE, "s", ORIGIN, wait_seconds=30):
            pass

    waiter = threading.Thread(target=wait)
    waiter.start()
    eventually(lambda: bool(rows(database, SEEN)), "it does not queue")
    first = rows(database, SEEN)
    eventually(lambda: rows(database, SEEN) > first, "it looks dead")
    # After the listener has connected and woken all waiters; nothing wakes them later.
    second = rows(database, SEEN)
    eventually(lambda: rows(database, SEEN) > second, "it looks dead")
    released(database, lease)
    waiter.join()


def test_a_lock_that_is_freed_in_the_last_moment_of_a_wait_is_taken(
    locks: Locks, database: Database
) -> None:
    acquired(database, scope="s")
    with database.begin() as conn:
        conn.exec_driver_sql(
            "CREATE FUNCTION free_scopes() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN"
            " UPDATE lock_scopes SET lock_id = NULL, expires_at = NULL; RETURN OLD; END $$;"
            "CREATE TRIGGER free_scopes BEFORE DELETE ON lock_waiters"
            " FOR EACH ROW EXECUTE FUNCTION free_scopes()"
        )
    try:
        with hold(locks, ARCHIVE, "s", ORIGIN, wait_seconds=0.1) as held:
            assert refused(database, scope="s").id == held.lease.id
    finally:
        with database.begin() as conn:
            conn.exec_driver_sql("DROP FUNCTION free_scopes CASCADE")


def test_losing_one_lock_loses_no_other_of_that_kind(database: Database) -> None:
    kept = acquired(database, scope="kept")
    broken(database, acquired(database, scope="broken"))
    assert refused(database, scope="kept").id == kept.id
    expire(database, acquired(database, scope="expired"))
    with database.connect() as conn:
        assert store.record_expired(conn, "worker") == 1
    assert refused(database, scope="kept").id == kept.id


@pytest.mark.parametrize("remaining_seconds", [3.0, 300.0])
def test_a_lease_is_renewed_within_a_third_of_its_remaining_time(
    remaining_seconds: float,
) -> None:
    now = datetime.now(UTC)
    lease = Lease("any", ARCHIVE, "s", 1, now, now, remaining_seconds)
    assert Hold(lease, 100.0, 30.0).renew_at == 100.0 + min(remaining_seconds, 30.0) / 3


def test_a_hold_that_is_handed_on_is_used_in_another_thread_and_ended_by_its_own_block(
    locks: Locks, database: Database
) -> None:
    def work(held: Hold) -> str:
        with holding(locks, ARCHIVE, "s", ORIGIN, held) as same:
            return same.lease.id

    with hold(locks, ARCHIVE, "s", ORIGIN) as held, ThreadPoolExecutor(1) as pool:
        assert pool.submit(work, held).result() == held.lease.id
        assert rows(database, "SELECT outcome FROM api_locks") == [(None,)]
    assert rows(database, "SELECT outcome FROM api_locks") == [("released",)]


def test_without_a_hold_the_lock_is_taken_for_the_block(locks: Locks, database: Database) -> None:
    with holding(locks, ARCHIVE, "s", ORIGIN):
        assert rows(database, "SELECT scope, outcome FROM api_locks") == [("s", None)]
    assert rows(database, "SELECT scope, outcome FROM api_locks") == [("s", "released")]


@pytest.mark.parametrize(("kind", "scope"), [(IMAGES, "s"), (ARCHIVE, "another")])
def test_a_hold_of_another_lock_is_refused(locks: Locks, kind: LockKind, scope: str) -> None:
    with hold(locks, ARCHIVE, "s", ORIGIN) as held, pytest.raises(ValueError, match="is none of"):
        with holding(locks, kind, scope, ORIGIN, held):
            pass


def test_a_hold_whose_lease_is_lost_is_refused_before_any_work(locks: Locks) -> None:
    with pytest.raises(LockLost), hold(locks, ARCHIVE, "s", ORIGIN) as held:
        held.mark_lost()
        with holding(locks, ARCHIVE, "s", ORIGIN, held):
            pytest.fail("the work began")
