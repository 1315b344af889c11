"""Open writes under a lock: the lease is renewed during them, and no caller waits for them."""

import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing, contextmanager

import pytest
from sqlalchemy import Connection, text

from staging_api.db.engine import Database, open_database
from staging_api.errors import LockHeld, LockLost
from staging_api.locks import store
from staging_api.locks.hold import Locks, guarded, hold
from staging_api.locks.keeper import Hold
from staging_api.locks.model import ARCHIVE, Lease, Refusal
from tests.factories import ORIGIN, locks_of
from tests.leases import acquired, asked, broken, expire, grant_of, refused, released, renewed, rows
from tests.service import eventually

LEASE = 1.2
LEASES = 3
BLOCKED = (
    "SELECT query FROM pg_stat_activity"
    " WHERE wait_event_type = 'Lock' AND datname = current_database()"
)
RAISE_FENCE = """
    WITH raised AS (UPDATE lock_scopes SET fence = fence + 1 WHERE lock_id = :id RETURNING 1)
    TABLE raised
"""
DELETE = "WITH gone AS (DELETE FROM lock_scopes WHERE lock_id = :id RETURNING 1) TABLE gone"


def write(conn: Connection, seconds: float) -> None:
    conn.execute(text("SELECT pg_sleep(:s)"), {"s": seconds})


def write_without_a_pause(database: Database, held: Hold, seconds: float) -> None:
    end = time.monotonic() + LEASES * LEASE
    while time.monotonic() < end:
        with guarded(database, held) as conn:
            write(conn, seconds)


@pytest.mark.parametrize("threads", [1, pytest.param(2, marks=pytest.mark.prove), 3])
@pytest.mark.parametrize("seconds", [0.01, 0.3, LEASE * 1.5])
def test_promise_09_a_holder_that_writes_without_a_pause_keeps_its_lock(
    threads: int, seconds: float, database: Database, database_url: str
) -> None:
    with (
        locks_of(database, database_url, lease_seconds=LEASE) as locks,
        locks_of(database, database_url, "another", lease_seconds=LEASE) as others,
        hold(others, ARCHIVE, "idle", ORIGIN) as idle,
    ):
        with hold(locks, ARCHIVE, "s", ORIGIN) as held, ThreadPoolExecutor(threads) as pool:
            writers = [
                pool.submit(write_without_a_pause, database, held, seconds) for _ in range(threads)
            ]
            while not all(writer.done() for writer in writers):
                assert refused(database, scope="s").id == held.lease.id
                time.sleep(0.05)
            for writer in writers:
                writer.result()
        idle.assert_held()
    assert grant_of(database, held.lease).outcome == "released"


def test_promise_09_a_holder_whose_threads_share_one_connection_keeps_its_leases(
    database: Database, database_url: str
) -> None:
    with (
        closing(open_database(database_url, pool_size=1)) as single,
        locks_of(single, database_url, lease_seconds=LEASE) as locks,
    ):
        with hold(locks, ARCHIVE, "s", ORIGIN) as held, ThreadPoolExecutor(3) as pool:
            for writer in [pool.submit(write_without_a_pause, single, held, 0.2) for _ in range(3)]:
                writer.result()
    assert grant_of(database, held.lease).outcome == "released"


def test_promise_09_a_write_longer_than_the_lease_is_followed_by_another(
    database: Database, database_url: str
) -> None:
    with locks_of(database, database_url, lease_seconds=1) as locks:
        with hold(locks, ARCHIVE, "s", ORIGIN) as held:
            with guarded(database, held) as conn:
                write(conn, 2.5)
                conn.execute(text("INSERT INTO archives VALUES ('gs://b/long', 'long')"))
            assert refused(database, scope="s").id == held.lease.id
            with guarded(database, held) as conn:
                conn.execute(text("INSERT INTO archives VALUES ('gs://b/next', 'next')"))
    assert len(rows(database, "SELECT * FROM archives")) == 2


def test_promise_09_a_lease_that_was_not_extended_stays_due(
    database: Database, database_url: str
) -> None:
    """Its row is locked at the time of the first renewal, and free at the next one."""
    with locks_of(database, database_url, lease_seconds=3) as locks:
        with hold(locks, ARCHIVE, "s", ORIGIN) as held:
            with database.begin() as other, database.connect() as renewing:
                other.execute(text("SELECT 1 FROM lock_scopes FOR NO KEY UPDATE"))
                assert store.renew(renewing, [(held.lease, 300)]) == {held.lease.id: None}
                trusted_until = held.trusted_until
                eventually(lambda: held.retry_at > 0, "the keeper does not try")
                assert held.renewal_is_due
                assert held.trusted_until == trusted_until
            eventually(lambda: held.trusted_until > trusted_until, "it is not renewed")
    assert grant_of(database, held.lease).outcome == "released"


@contextmanager
def writing(database: Database, lease: Lease) -> Iterator[Connection]:
    with database.begin() as conn:
        store.guard(conn, lease)
        yield conn


@pytest.mark.parametrize(
    "take",
    [
        released,
        broken,
        lambda database, lease: rows(database, RAISE_FENCE, id=lease.id),
        lambda database, lease: rows(database, DELETE, id=lease.id),
    ],
    ids=["release", "break", "another statement", "deletion"],
)
def test_promise_06_no_change_of_holder_passes_an_open_write(
    take: Callable[[Database, Lease], object], database: Database
) -> None:
    lease, other = acquired(database), acquired(database, scope="other")
    with ThreadPoolExecutor(1) as pool:
        with writing(database, lease), writing(database, lease):
            taking = pool.submit(take, database, lease)
            eventually(lambda: bool(rows(database, BLOCKED)), "it does not wait")
            assert renewed(database, other)
            assert not taking.done()
        taking.result(10)
    assert refused(database, scope="other").id == other.id


def test_promise_06_a_write_waits_for_a_change_of_holder_and_is_refused(database: Database) -> None:
    lease = acquired(database)

    def guard() -> None:
        with writing(database, lease):
            pass

    with ThreadPoolExecutor(1) as pool:
        with database.begin() as conn:
            store.break_lock(conn, lease.id, "operator", "it hangs")
            guarding = pool.submit(guard)
            eventually(lambda: bool(rows(database, BLOCKED)), "it does not wait")
        with pytest.raises(LockLost):
            guarding.result(10)


def test_promise_06_an_expired_lease_is_not_taken_over_while_a_write_is_open(
    database: Database,
) -> None:
    lease, other = acquired(database), acquired(database, scope="other")
    with writing(database, lease):
        expire(database, lease)
        refusal = refused(database)
        assert refusal.id == lease.id
        assert 0.5 < refusal.remaining_seconds <= 1, "ask again in a second"
        with pytest.raises(LockLost):
            asked(database, id=lease.id)
        with database.connect() as conn:
            assert store.record_expired(conn, "worker") == 0
    assert acquired(database).fence > lease.fence
    assert refused(database, scope="other").id == other.id


@pytest.mark.parametrize("over", [False, True], ids=["live lease", "expired lease"])
def test_an_open_guarded_write_blocks_no_acquire_and_no_waiter(
    over: bool, database: Database, database_url: str
) -> None:
    """Eight requests wait for one lock, on a pool of two connections: the pool stays free."""
    lease, other = acquired(database, scope="s"), acquired(database, scope="other")
    with (
        closing(open_database(database_url, pool_size=2)) as small,
        locks_of(small, database_url) as locks,
        ThreadPoolExecutor(8) as pool,
    ):
        with writing(database, lease):
            if over:
                expire(database, lease)
            waiters = [pool.submit(wait_for, locks) for _ in range(8)]
            eventually(lambda: len(rows(database, "SELECT 1 FROM lock_waiters")) == 8, "no queue")
            end = time.monotonic() + 1.5
            while time.monotonic() < end:
                assert rows(database, BLOCKED) == []
                assert isinstance(asked(database, scope="s"), Refusal)
                time.sleep(0.02)
            assert not any(waiter.done() for waiter in waiters)
        if not over:
            released(database, lease)
        for waiter in waiters:
            waiter.result(30)
    assert refused(database, scope="other").id == other.id


def wait_for(locks: Locks) -> None:
    with hold(locks, ARCHIVE, "s", ORIGIN, wait_seconds=60):
        pass


def test_a_waiter_that_leaves_in_time_leaves_under_an_open_write_too(
    database: Database, database_url: str
) -> None:
    lease = acquired(database, scope="s")
    with locks_of(database, database_url) as locks, writing(database, lease):
        with pytest.raises(LockHeld), hold(locks, ARCHIVE, "s", ORIGIN, wait_seconds=0.3):
            pass
        assert rows(database, "SELECT * FROM lock_waiters") == []


def test_updates_beside_open_writes_stay_on_their_page(database: Database) -> None:
    """HOT updates: a renewal, a grant or a release adds no index entry."""
    rows(database, "SELECT pg_stat_reset_single_table_counters('lock_scopes'::regclass)")
    for _ in range(20):
        lease = acquired(database)
        with writing(database, lease):
            renewed(database, lease)
        released(database, lease)
    rows(database, "SELECT pg_stat_force_next_flush()")

    def counts() -> tuple[int, int]:
        ((updates, hot),) = rows(
            database,
            "SELECT n_tup_upd, n_tup_hot_upd FROM pg_stat_user_tables"
            " WHERE relname = 'lock_scopes'",
        )
        return updates, hot

    eventually(lambda: counts()[0] >= 55, "the statistics do not come")
    updates, hot = counts()
    assert hot == updates
