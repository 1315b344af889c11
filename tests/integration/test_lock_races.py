"""Races for a lock: a request that read the scope's row before a change decides by the new row."""

from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing
from datetime import datetime

import psycopg2
import pytest
from sqlalchemy import Connection, make_url, text

from staging_api.db.engine import Database
from staging_api.errors import LockLost
from staging_api.locks import store
from staging_api.locks.model import IMAGES, Lease, Refusal
from tests.factories import lock_request
from tests.leases import acquired, asked, broken, expire, grant_of, refused, released, renewed, rows

Step = Callable[[Connection], object]
BLOCKED = (
    "SELECT 1 FROM pg_stat_activity WHERE wait_event_type = 'Lock' AND datname = current_database()"
)


def raced(database: Database, before: Step, after: Step, **given: object) -> Lease | Refusal:
    """Acquire the lock while another transaction holds the row of the scope.

    Args:
        before: the other transaction's statement before the request, which reads the older state.
        after: its statement before it commits, while the request waits to write.
    """
    with ThreadPoolExecutor(1) as pool:
        with database.begin() as other:
            before(other)
            asking = pool.submit(asked, database, **given)
            while not rows(database, BLOCKED):
                assert not asking.done(), "it did not wait"
            after(other)
        return asking.result(10)


def take_row(conn: Connection) -> None:
    conn.execute(text("SELECT 1 FROM lock_scopes FOR NO KEY UPDATE"))


def take_row_whole(conn: Connection) -> None:
    conn.execute(text("SELECT 1 FROM lock_scopes FOR UPDATE"))


def let_pass(seconds: float) -> Step:
    return lambda conn: conn.execute(text("SELECT pg_sleep(:s)"), {"s": seconds})


def test_a_call_that_was_sent_again_revives_no_lease_that_ran_out_meanwhile(
    database: Database,
) -> None:
    lease = acquired(database, lease_seconds=1)
    with pytest.raises(LockLost):
        raced(database, take_row, let_pass(1.1), id=lease.id, lease_seconds=60)


def test_a_repeated_call_does_not_extend_the_next_holders_lease(
    database: Database,
) -> None:
    lease = acquired(database)
    heir = lock_request(lease_seconds=5)

    def hand_on(conn: Connection) -> None:
        store.release(conn, lease, "this-process")
        store.acquire(conn, heir)

    refusal = raced(database, take_row, hand_on, id=lease.id, lease_seconds=300)
    assert isinstance(refusal, Refusal)
    assert refusal.id == heir.id
    assert refusal.remaining_seconds <= 5


def test_a_lease_that_was_renewed_just_in_time_is_not_taken_over(database: Database) -> None:
    lease = acquired(database, lease_seconds=1)

    def renew_and_let_the_old_time_pass(conn: Connection) -> None:
        assert lease.id in store.renew(conn, [(lease, 60)])
        let_pass(1.1)(conn)

    refusal = raced(database, renew_and_let_the_old_time_pass, let_pass(0))
    assert isinstance(refusal, Refusal)
    assert refusal.id == lease.id
    assert refusal.remaining_seconds > 50


def test_a_takeover_starts_after_the_transaction_that_it_waited_for(database: Database) -> None:
    lease = acquired(database, lease_seconds=0.2)
    ended: list[datetime] = []

    def outlast_the_lease(conn: Connection) -> None:
        take_row(conn)
        let_pass(0.25)(conn)

    def go_on(conn: Connection) -> None:
        ended.extend(conn.execute(text("SELECT clock_timestamp() FROM pg_sleep(0.1)")).scalars())

    heir = raced(database, outlast_the_lease, go_on, lease_seconds=30)
    assert isinstance(heir, Lease)
    assert heir.fence > lease.fence
    assert heir.acquired_at > ended[0]
    assert heir.remaining_seconds == pytest.approx(30, abs=1)


def test_a_guard_that_waited_past_the_lease_refuses(database: Database) -> None:
    lease = acquired(database, lease_seconds=1)

    def write() -> None:
        with database.begin() as conn:
            store.guard(conn, lease)

    with ThreadPoolExecutor(1) as pool, database.begin() as other:
        take_row_whole(other)
        writing = pool.submit(write)
        while not rows(database, BLOCKED):
            assert not writing.done(), "it did not wait"
        let_pass(1.1)(other)
        other.rollback()
        with pytest.raises(LockLost):
            writing.result(10)


def test_of_two_similar_scopes_only_the_requested_one_is_taken(database: Database) -> None:
    with database.begin() as conn:
        conn.execute(
            text(
                "INSERT INTO lock_scopes (kind, scope, fence) VALUES ('archive', 'a', 7),"
                " ('archive', 'b', 7), ('images', 'a', 7), ('images', 'b', 7)"
            )
        )
    lease = acquired(database, scope="a")
    assert rows(database, "SELECT kind, scope FROM lock_scopes WHERE lock_id IS NOT NULL") == [
        ("archive", "a")
    ]
    other = acquired(
        database,
        scope="b",
    )
    assert renewed(database, lease, 90)
    assert refused(database, scope="b").remaining_seconds < 31
    released(database, lease)
    assert refused(database, scope="b").id == other.id


@pytest.mark.parametrize(
    "act",
    [
        released,
        lambda database, lease: (expire(database, lease), released(database, lease)),
        lambda database, lease: (expire(database, lease), acquired(database)),
        lambda database, lease: acquired(database, id=lease.id, lease_seconds=300),
        lambda database, lease: renewed(database, lease, 300),
        broken,
    ],
    ids=["release", "late release", "takeover", "repeat", "renewal", "break"],
)
def test_an_outcome_once_written_is_never_rewritten(
    database: Database, act: Callable[[Database, Lease], object]
) -> None:
    lease = acquired(database)
    with database.begin() as conn:
        conn.execute(
            text(
                "UPDATE api_locks SET outcome = 'broken', ended_at = clock_timestamp(),"
                " ended_by = 'an auditor', reason = 'written by hand'"
            )
        )
    written = grant_of(database, lease)
    act(database, lease)
    assert grant_of(database, lease) == written


def test_the_second_waiter_gets_the_lock_once_the_first_has_left(
    database: Database,
) -> None:
    lease, first, second = acquired(database), lock_request(), lock_request()
    with database.connect() as conn:
        store.wait(conn, second, 30)
        store.wait(conn, first, 0.01)
        let_pass(0.05)(conn)
    released(database, lease)
    assert refused(database).id == second.id


def test_a_place_in_the_queue_of_one_scope_is_no_place_in_another(database: Database) -> None:
    elsewhere, gone = lock_request(scope="elsewhere"), lock_request()
    acquired(database, scope="elsewhere")
    acquired(database, kind=IMAGES)
    lease = acquired(database)
    with database.connect() as conn:
        store.wait(conn, elsewhere, 30)
        assert rows(
            database, "SELECT kind, scope FROM lock_scopes WHERE waited_until IS NOT NULL"
        ) == [("archive", "elsewhere")]
        store.wait(conn, gone, 30)
        store.leave(conn, gone.id)
    released(database, lease)
    assert rows(database, "SELECT lock_id FROM lock_scopes WHERE scope = :s", s=lease.scope)
    mine = acquired(database)
    assert mine.id != elsewhere.id
    assert rows(database, "SELECT id FROM lock_waiters") == [(elsewhere.id,)]


def test_a_break_notifies_the_first_waiter_of_that_scope(
    database: Database, database_url: str
) -> None:
    lease = acquired(database)
    acquired(database, scope="elsewhere")
    first, second = lock_request(), lock_request()
    with database.connect() as conn:
        store.wait(conn, lock_request(scope="elsewhere"), 30)
        store.wait(conn, first, 30)
        store.wait(conn, second, 30)
    url = make_url(database_url).set(drivername="postgresql")
    with closing(psycopg2.connect(url.render_as_string(hide_password=False))) as listener:
        listener.autocommit = True
        with listener.cursor() as cursor:
            cursor.execute("LISTEN staging_locks")
            broken(database, lease)
            cursor.execute("SELECT 1")
        assert [shown.payload for shown in listener.notifies] == [first.id]


def test_a_scope_with_a_waiter_is_not_deleted(database: Database) -> None:
    released(database, acquired(database))
    released(database, acquired(database, scope="elsewhere"))
    with database.connect() as conn:
        store.wait(conn, lock_request(), 30)
        assert store.delete_unused_scopes(conn, unused_seconds=-60) == 1
    assert rows(database, "SELECT scope FROM lock_scopes") != [("elsewhere",)]


def test_a_scope_that_was_lost_of_late_is_not_forgotten(database: Database) -> None:
    expire(database, acquired(database))
    with database.connect() as conn:
        assert store.record_expired(conn, "worker") == 1
        assert store.delete_unused_scopes(conn, unused_seconds=-60) == 0
        conn.execute(text("UPDATE lock_scopes SET expires_at = expires_at - interval '25 h'"))
        assert store.delete_unused_scopes(conn, unused_seconds=-60) == 1


def test_a_grant_of_one_kind_keeps_no_scope_of_another(database: Database) -> None:
    for scope in ("s", "t"):
        released(database, acquired(database, scope=scope))
    rows(database, "UPDATE api_locks SET acquired_at = acquired_at - interval '2 min' RETURNING id")
    released(database, acquired(database, kind=IMAGES, scope="s"))
    with database.connect() as conn:
        assert store.delete_unused_scopes(conn, unused_seconds=60) == 2
    assert rows(database, "SELECT kind, scope FROM lock_scopes") == [("images", "s")]
