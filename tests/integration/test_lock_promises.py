"""Promises of the lock, each tested under its number in ``docs/explanation/lock.md``."""

import threading
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing, suppress
from contextvars import copy_context
from dataclasses import replace
from datetime import UTC, datetime, timedelta

import psycopg2
import pytest
from psycopg2.extensions import cursor
from sqlalchemy import event, make_url, text
from sqlalchemy.exc import DBAPIError
from ulid import ULID

from staging_api import clock, metrics
from staging_api.db.engine import Database, open_database
from staging_api.errors import LockHeld, LockLost, Unavailable
from staging_api.locks import store
from staging_api.locks.hold import Locks, guarded, hold
from staging_api.locks.keeper import Hold
from staging_api.locks.model import (
    ARCHIVE,
    CONFIGDOCS_UPDATE,
    GLOBAL,
    PUBLISHER,
    Lease,
    LockKind,
    Refusal,
    new_id,
)
from tests.factories import ORIGIN, lock_request, locks_of
from tests.leases import (
    RESTING,
    acquired,
    asked,
    broken,
    expire,
    grant_of,
    refused,
    released,
    renewed,
    rows,
)
from tests.proxy import Proxy, proxied
from tests.service import eventually


@pytest.fixture
def locks(database: Database, database_url: str) -> Iterator[Locks]:
    with locks_of(database, database_url) as made:
        yield made


@pytest.fixture
def proxy(database_url: str) -> Iterator[Proxy]:
    with proxied(database_url) as made:
        yield made


def test_promise_01_no_two_leases_of_a_scope_overlap(locks: Locks, database: Database) -> None:
    inside: list[str] = []
    seen: list[int] = []

    def take_often(name: str) -> None:
        for _ in range(25):
            try:
                with hold(locks, ARCHIVE, "contended", ORIGIN, wait_seconds=0.05):
                    inside.append(name)
                    seen.append(len(inside))
                    inside.remove(name)
            except LockHeld:
                continue

    with ThreadPoolExecutor(6) as pool:
        list(pool.map(take_often, "abcdef"))
    assert set(seen) == {1}
    overlaps = rows(
        database,
        "SELECT count(*) FROM (SELECT acquired_at, lag(ended_at) OVER (ORDER BY fence) AS before"
        " FROM api_locks) l WHERE before > acquired_at OR (before IS NULL AND acquired_at IS NULL)",
    )
    assert overlaps == [(0,)]


def test_promise_02_kinds_and_scopes_are_independent_both_ways(database: Database) -> None:
    one_archive = acquired(database, scope="gs://bucket/board/R1-1")
    whole_service = acquired(database, kind=PUBLISHER, scope=GLOBAL)
    assert acquired(database, kind=CONFIGDOCS_UPDATE, scope=GLOBAL)
    assert acquired(database, kind=ARCHIVE, scope=GLOBAL)
    assert acquired(database, scope="gs://bucket/board/R1-2")
    assert refused(database, scope=one_archive.scope).id == one_archive.id
    assert refused(database, kind=PUBLISHER, scope=GLOBAL).id == whole_service.id


def test_promise_03_acquire_and_release_are_one_round_trip_each_and_reentry_none(
    proxy: Proxy, database: Database
) -> None:
    through = open_database(proxy.url, pool_size=2)
    with locks_of(through, proxy.url) as locks:
        with hold(locks, ARCHIVE, "warm the connection up", ORIGIN):
            pass
        before = proxy.queries
        with hold(locks, ARCHIVE, "counted", ORIGIN):
            acquiring = proxy.queries - before
            with hold(locks, ARCHIVE, "counted", ORIGIN):
                nested = proxy.queries - before - acquiring
        assert (acquiring, nested, proxy.queries - before - acquiring) == (1, 0, 1)
    through.close()


def test_promise_04_a_refusal_writes_nothing_and_does_not_wait(database: Database) -> None:
    lease = acquired(database)
    row = "SELECT ctid::text, xmin::text, xmax::text FROM lock_scopes"
    before = rows(database, row)
    with database.begin() as asking:
        assert isinstance(store.acquire(asking, lock_request()), Refusal)
        assert asking.scalar(text("SELECT pg_current_xact_id_if_assigned()")) is None
    assert rows(database, row) == before, "no row lock either"
    with database.begin() as holder:
        store.guard(holder, lease)
        with database.begin() as asking:
            asking.execute(text("SET LOCAL lock_timeout = '100ms'"))
            assert isinstance(store.acquire(asking, lock_request()), Refusal)


def test_promise_05_fences_rise_in_the_order_of_grants(locks: Locks, database: Database) -> None:
    def take_often(_: int) -> None:
        for _ in range(10):
            with hold(locks, ARCHIVE, "contended", ORIGIN, wait_seconds=20):
                pass

    with ThreadPoolExecutor(4) as pool:
        list(pool.map(take_often, range(4)))
    fences = [f for (f,) in rows(database, "SELECT fence FROM api_locks ORDER BY acquired_at")]
    assert fences == sorted(set(fences))
    assert len(fences) == 40


def test_promise_05_a_fence_rises_even_when_its_scope_was_forgotten(database: Database) -> None:
    fences = []
    for _ in range(4):
        lease = acquired(database)
        fences.append(lease.fence)
        released(database, lease)
        with database.connect() as conn:
            assert store.delete_unused_scopes(conn, unused_seconds=-60) == 1
    assert fences == sorted(set(fences))


def test_promise_05_the_high_bits_of_the_fence_are_the_wal_timeline(database: Database) -> None:
    fence = acquired(database).fence
    ((timeline,),) = rows(database, "SELECT timeline_id FROM pg_control_checkpoint()")
    assert fence >> 44 == timeline


@pytest.mark.parametrize("lose", [expire, broken, released])
def test_promise_06_a_former_holder_writes_nothing(database: Database, lose) -> None:
    lease = acquired(database)
    with database.begin() as conn:
        store.guard(conn, lease)
    lose(database, lease)
    heir = None if lose is expire else acquired(database)
    with pytest.raises(LockLost), database.begin() as conn:
        store.guard(conn, lease)
    with pytest.raises(LockLost), database.begin() as conn:
        store.guard(conn, replace(heir or lease, id=lease.id, fence=lease.fence))


def test_promise_06_a_stale_write_leaves_no_row(locks: Locks, database: Database) -> None:
    with pytest.raises(LockLost), hold(locks, ARCHIVE, "s", ORIGIN) as held:
        broken(database, held.lease)
        with guarded(database, held) as conn:
            conn.execute(text("INSERT INTO archives VALUES ('gs://b/stale', 'stale')"))
    assert rows(database, "SELECT * FROM archives") == []


def test_promise_06_the_scope_cannot_change_hands_between_guard_and_commit(
    database: Database,
) -> None:
    lease = acquired(database, lease_seconds=0.2)
    with database.begin() as holder:
        store.guard(holder, lease)
        holder.execute(text("SELECT pg_sleep(0.25)"))
        with pytest.raises(Unavailable), database.begin() as heir:
            heir.execute(text("SELECT set_config('lock_timeout', '100ms', true)"))
            heir.execute(
                text("UPDATE lock_scopes SET fence = fence + 1 WHERE lock_id = :id"),
                {"id": lease.id},
            )
    assert acquired(database).fence > lease.fence


def test_promise_06_a_holder_frozen_before_its_commit_is_thrown_out(database: Database) -> None:
    lease = acquired(database, lease_seconds=0.2)
    with pytest.raises(Unavailable), database.begin() as frozen:
        store.guard(frozen, lease)
        frozen.execute(text("SET LOCAL idle_in_transaction_session_timeout = '600ms'"))
        frozen.execute(text("INSERT INTO archives VALUES ('gs://b/frozen', 'frozen')"))
        rows(database, "SELECT pg_sleep(0.2)")
        eventually(lambda: isinstance(asked(database), Lease), "the server does not end the frozen")
    assert rows(database, "SELECT * FROM archives") == []


def test_promise_07_only_the_very_grant_can_be_released(database: Database) -> None:
    first = acquired(database)
    assert released(database, first) == "released"
    second = acquired(database)
    forgeries = [
        first,
        replace(second, fence=first.fence),
        replace(second, fence=second.fence + 1),
        replace(second, id=first.id),
        replace(second, scope="another"),
        replace(second, kind=PUBLISHER),
    ]
    for forged in forgeries:
        released(database, forged)
        assert refused(database).id == second.id
    assert grant_of(database, second).outcome is None
    assert released(database, second) == "released"


def test_promise_07_a_release_returns_the_earlier_outcome(database: Database) -> None:
    lease = acquired(database)
    broken(database, lease)
    assert released(database, lease) == "broken"
    lease = acquired(database)
    expire(database, lease)
    assert released(database, lease) == "expired"
    lease = acquired(database)
    expire(database, lease)
    acquired(database)
    assert released(database, lease) == "superseded"
    assert released(database, replace(lease, id=new_id())) is None


def test_promise_08_an_acquire_whose_answer_was_lost_is_the_same_grant(
    proxy: Proxy, database: Database
) -> None:
    through = open_database(proxy.url, pool_size=2)
    with locks_of(through, proxy.url) as locks:
        lost = proxy.swallow_reply()
        with hold(locks, ARCHIVE, "s", ORIGIN) as held:
            assert lost.is_set()
            assert refused(database, scope="s").id == held.lease.id
    assert rows(database, "SELECT outcome, id FROM api_locks") == [("released", held.lease.id)]
    through.close()


def test_promise_08_a_repeated_acquire_gives_a_full_lease_and_the_history_shows_it(
    database: Database,
) -> None:
    first = acquired(database, lease_seconds=10)
    again = acquired(database, id=first.id, lease_seconds=60)
    assert again.remaining_seconds == pytest.approx(60, abs=1)
    assert grant_of(database, first).expires_at == again.expires_at
    shorter = acquired(database, id=first.id, lease_seconds=10)
    assert shorter.expires_at == again.expires_at, "never less than there was"


def test_promise_08_a_release_whose_answer_was_lost_is_a_release(
    proxy: Proxy, database: Database
) -> None:
    through = open_database(proxy.url, pool_size=2)
    with locks_of(through, proxy.url) as locks:
        with hold(locks, ARCHIVE, "s", ORIGIN):
            lost = proxy.swallow_reply()
        assert lost.is_set()
    assert rows(database, "SELECT outcome FROM api_locks") == [("released",)]
    through.close()


def test_promise_08_an_id_whose_grant_ended_is_never_granted_again(database: Database) -> None:
    for end in (released, broken):
        lease = acquired(database)
        end(database, lease)
        with pytest.raises(LockLost):
            asked(database, id=lease.id)
    lease = acquired(database)
    expire(database, lease)
    with pytest.raises(LockLost):
        asked(database, id=lease.id)
    assert acquired(database), "a repeated call leaves nothing behind"


def test_promise_09_renewal_never_brings_a_lease_back(database: Database) -> None:
    for end in (released, broken, expire):
        lease = acquired(database)
        end(database, lease)
        assert renewed(database, lease) is None
    lease = acquired(database)
    assert renewed(database, replace(lease, fence=lease.fence - 1)) is None
    assert renewed(database, replace(lease, id=new_id())) is None
    assert renewed(database, lease, 90) == pytest.approx(90, abs=1)
    assert grant_of(database, lease).expires_at > lease.expires_at + timedelta(seconds=50)


def test_promise_09_renewal_does_not_wait_for_a_guarded_write(database: Database) -> None:
    busy, other = acquired(database, scope="busy"), acquired(database, scope="other")
    with database.begin() as writing, database.connect() as renewing:
        store.guard(writing, busy)
        left = store.renew(renewing, [(busy, 300), (other, 300)])
    assert left[busy.id] == pytest.approx(300, abs=5)
    assert left[other.id] == pytest.approx(300, abs=5)
    assert grant_of(database, busy).expires_at > busy.expires_at + timedelta(seconds=250)


def test_promise_09_a_renewal_without_an_answer_extends_no_trust(
    proxy: Proxy, database: Database
) -> None:
    through = open_database(proxy.url, pool_size=2)
    with locks_of(through, proxy.url, lease_seconds=1.5) as locks:
        with pytest.raises(LockLost), hold(locks, ARCHIVE, "s", ORIGIN) as held:
            proxy.go_deaf()
            trusted_until = held.trusted_until
            lost = threading.Event()
            held.on_lost(lost.set)
            assert lost.wait(10)
            assert held.trusted_until == trusted_until
            proxy.hear_again()
            held.assert_held()
    through.close()


@pytest.mark.parametrize("years", [-40, 40])
def test_promise_10_the_clock_of_the_application_decides_nothing(
    database: Database, years: int
) -> None:
    skewed = str(ULID.from_datetime(datetime.now(UTC) + timedelta(days=365 * years)))
    lease = acquired(database, id=skewed, lease_seconds=300)
    assert lease.remaining_seconds == pytest.approx(300, abs=60)
    assert refused(database).id == skewed
    assert released(database, lease) == "released"
    assert acquired(database).fence == lease.fence + 1


def test_promise_11_trust_ends_before_the_lease_and_the_holder_is_notified(
    database: Database, database_url: str
) -> None:
    sent_at = clock.now()
    held = Hold(acquired(database, scope="s", lease_seconds=600), sent_at, 600)
    held.trust(sent_at, 500.0)
    assert held.trusted_until == sent_at + 450.0
    held.assert_held()
    with locks_of(database, database_url) as locks:
        lost = threading.Event()
        held.on_lost(lost.set)
        held.trust(sent_at - 500.0, 500.0)
        assert held.lost
        with pytest.raises(LockLost):
            held.assert_held()
        locks.keeper.add(held)
        assert lost.wait(60)
        assert locks.keeper.holds() == []
    assert refused(database, scope="s").remaining_seconds > 60, "the database still keeps it"


def test_promise_11_a_break_reaches_the_holder_with_the_next_renewal(
    database: Database, database_url: str
) -> None:
    shown: list[int] = []
    with locks_of(database, database_url, lease_seconds=1) as locks:
        with pytest.raises(LockLost), hold(locks, ARCHIVE, "s", ORIGIN) as held:
            lost = threading.Event()
            held.on_lost(lambda: shown.append(1))
            held.on_lost(lost.set)
            broken(database, held.lease)
            assert lost.wait(10)
        held.on_lost(lambda: shown.append(2))
    assert shown == [1, 2], "each is told once, the late one at once"


def test_promise_11_a_lease_is_kept_alive_for_as_long_as_it_is_held(
    database: Database, database_url: str
) -> None:
    with locks_of(database, database_url, lease_seconds=9) as locks:
        with hold(locks, ARCHIVE, "s", ORIGIN) as held:
            ends = held.lease.expires_at
            # Twice: the second renewal is scheduled by the first.
            while grant_of(database, held.lease).expires_at < ends + timedelta(seconds=5):
                held.assert_held()
                time.sleep(0.05)
    assert grant_of(database, held.lease).outcome == "released"


def test_promise_12_a_scope_is_free_at_once_after_release_and_after_its_time_otherwise(
    database: Database,
) -> None:
    lease = acquired(database, lease_seconds=0.3)
    assert refused(database).remaining_seconds <= 0.3
    rows(database, "SELECT pg_sleep(0.3)")
    heir = acquired(database)
    assert heir.acquired_at >= lease.expires_at
    released(database, heir)
    assert acquired(database)


@pytest.mark.parametrize("lose", [expire, broken])
def test_promise_12_a_lost_scope_cools_down_if_its_kind_has_a_delay(
    database: Database, lose
) -> None:
    lease = acquired(database, kind=RESTING)
    released(database, lease)
    lease = acquired(database, kind=RESTING)
    lose(database, lease)
    refusal = refused(database, kind=RESTING)
    assert refusal.id is None
    assert 29 < refusal.remaining_seconds <= 30
    if lose is expire:
        assert released(database, lease) == "expired"
        assert refused(database, kind=RESTING).remaining_seconds > 29, "a late release ends no rest"
    rows(
        database,
        "WITH past AS (UPDATE lock_scopes SET expires_at = expires_at - interval '30 s'"
        " RETURNING 1)"
        " SELECT * FROM past",
    )
    assert acquired(database, kind=RESTING)


def test_promise_12_a_rest_is_at_most_a_minute() -> None:
    with pytest.raises(ValueError, match="60"):
        LockKind("too_long", delay_seconds=61)


def test_promise_13_a_refusal_has_the_remaining_time_of_the_lease(
    locks: Locks, database: Database
) -> None:
    lease = acquired(database, lease_seconds=20)
    with pytest.raises(LockHeld) as caught, hold(locks, ARCHIVE, lease.scope, ORIGIN):
        pass
    assert caught.value.retry_after_seconds == pytest.approx(20, abs=1)
    assert caught.value.extra["lock"]["id"] == lease.id
    assert "fence" not in caught.value.extra["lock"]


def test_promise_14_waiters_are_served_in_order_of_arrival_across_processes(
    database: Database, database_url: str
) -> None:
    served: list[int] = []

    def wait(locks: Locks, number: int) -> None:
        with hold(locks, ARCHIVE, "s", ORIGIN, wait_seconds=30):
            served.append(number)

    with (
        locks_of(database, database_url, "one") as one,
        locks_of(database, database_url, "two") as two,
        ThreadPoolExecutor(6) as pool,
    ):
        with hold(one, ARCHIVE, "s", ORIGIN):
            for number in range(6):
                pool.submit(wait, (one, two)[number % 2], number)
                while rows(database, "SELECT count(*) FROM lock_waiters") != [(number + 1,)]:
                    time.sleep(0.005)
        pool.shutdown()
    assert served == [0, 1, 2, 3, 4, 5]
    assert rows(database, "SELECT * FROM lock_waiters") == []


def test_promise_14_a_wait_ends_in_time_and_leaves_no_row(locks: Locks, database: Database) -> None:
    acquired(database, scope="s")
    started = time.monotonic()
    with pytest.raises(LockHeld), hold(locks, ARCHIVE, "s", ORIGIN, wait_seconds=0.3):
        pass
    assert 0.3 <= time.monotonic() - started < 1.3
    assert rows(database, "SELECT * FROM lock_waiters") == []


def test_promise_14_a_request_that_does_not_wait_does_not_overtake(database: Database) -> None:
    lease = acquired(database)
    first = lock_request()
    with database.connect() as conn:
        store.wait(conn, first, 10)
    expire(database, lease)
    assert refused(database).id == first.id


def test_promise_14_no_more_threads_are_parked_than_there_are_waiter_slots(
    database: Database, database_url: str
) -> None:
    with locks_of(database, database_url, waiter_slots=1) as locks, ThreadPoolExecutor(1) as pool:
        with hold(locks, ARCHIVE, "s", ORIGIN):

            def wait() -> None:
                with hold(locks, ARCHIVE, "s", ORIGIN, wait_seconds=30):
                    pass

            parked = pool.submit(wait)
            while not rows(database, "SELECT 1 FROM lock_waiters"):
                time.sleep(0.005)
            with pytest.raises(LockHeld), pool_of_one(wait):
                pass
        parked.result(10)


class pool_of_one:  # noqa: N801 - reads as a word
    """Runs a call in a thread of its own, and raises the exception that the call raised."""

    def __init__(self, call) -> None:
        self._call = call

    def __enter__(self) -> None:
        with ThreadPoolExecutor(1) as pool:
            pool.submit(self._call).result(10)

    def __exit__(self, *_: object) -> None:
        pass


def test_promise_14_notify_is_sent_only_to_waiters(database: Database, database_url: str) -> None:
    url = make_url(database_url).set(drivername="postgresql")
    listener = psycopg2.connect(url.render_as_string(hide_password=False))
    listener.autocommit = True
    listener.cursor().execute("LISTEN staging_locks")
    released(database, acquired(database))
    lease = acquired(database)
    waiter = lock_request()
    with database.connect() as conn:
        store.wait(conn, waiter, 10)
    released(database, lease)
    listener.cursor().execute("SELECT 1")
    assert [shown.payload for shown in listener.notifies] == [waiter.id]
    listener.close()


def test_promise_14_a_queue_is_of_one_kind_and_scope(database: Database) -> None:
    with database.connect() as conn:
        store.wait(conn, lock_request(scope="another"), 10)
        store.wait(conn, lock_request(kind=PUBLISHER), 10)
    lease = acquired(database)
    assert released(database, lease) == "released"
    assert acquired(database)


def test_promise_14_a_request_that_queues_during_a_release_is_served(database: Database) -> None:
    lease, waiter = acquired(database), lock_request()

    def queue() -> None:
        with database.connect() as conn:
            store.wait(conn, waiter, 10)

    with ThreadPoolExecutor(1) as pool:
        with database.begin() as releasing:
            store.release(releasing, lease, "this-process")
            queueing = pool.submit(queue)
            blocked = (
                "SELECT 1 FROM pg_stat_activity"
                " WHERE wait_event_type = 'Lock' AND datname = current_database()"
            )
            while not rows(database, blocked):
                assert not queueing.done(), "it would have to ask again to be served"
        queueing.result(10)
    assert isinstance(asked(database, id=waiter.id), Lease)


def test_promise_14_a_waiter_that_died_is_passed_over_and_forgotten(database: Database) -> None:
    lease = acquired(database)
    dead, alive = lock_request(), lock_request()
    with database.connect() as conn:
        store.wait(conn, dead, 10)
        store.wait(conn, alive, 10)
        conn.execute(
            text("UPDATE lock_waiters SET seen_at = seen_at - interval '61 s' WHERE id = :id"),
            {"id": dead.id},
        )
    released(database, lease)
    assert refused(database).id == alive.id
    with database.connect() as conn:
        store.record_expired(conn, "worker")
    assert rows(database, "SELECT * FROM lock_waiters") == []


def test_promise_14_a_waiter_that_died_with_the_lock_does_not_stop_the_others(
    database: Database,
) -> None:
    lease = acquired(database)
    dead = lock_request(lease_seconds=0.2)
    with database.connect() as conn:
        store.wait(conn, dead, 10)
        released(database, lease)
        store.wait(conn, dead, 10)
        assert isinstance(store.acquire(conn, dead), Lease)
    rows(database, "SELECT pg_sleep(0.2)")
    assert acquired(database)


def test_promise_15_only_the_same_request_may_enter_again(locks: Locks) -> None:
    def enter() -> None:
        with hold(locks, ARCHIVE, "s", ORIGIN):
            pass

    with hold(locks, ARCHIVE, "s", ORIGIN) as outer, ThreadPoolExecutor(1) as pool:
        with hold(locks, ARCHIVE, "s", ORIGIN) as inner:
            assert inner is outer
        with hold(locks, ARCHIVE, "another scope", ORIGIN) as other:
            assert other is not outer
        with pytest.raises(LockHeld):
            pool.submit(enter).result(10)
        with pytest.raises(LockHeld):
            pool.submit(copy_context().run, enter).result(10)
    enter()


def test_promise_15_another_process_is_refused_even_in_the_same_thread(
    database: Database, database_url: str, locks: Locks
) -> None:
    with locks_of(database, database_url) as other, hold(locks, ARCHIVE, "s", ORIGIN):
        with pytest.raises(LockHeld), hold(other, ARCHIVE, "s", ORIGIN):
            pass


def test_promise_16_a_break_fences_the_holder_off_and_is_written_down(database: Database) -> None:
    lease = acquired(database)
    assert broken(database, lease) == "broken"
    grant = grant_of(database, lease)
    assert (grant.outcome, grant.ended_by, grant.reason) == ("broken", "operator", "it hangs")
    assert acquired(database).fence >= lease.fence + 2
    assert broken(database, lease) == "broken", "the second changes nothing"


def test_promise_16_no_lock_is_broken_without_a_reason(database: Database) -> None:
    lease = acquired(database)
    with pytest.raises(DBAPIError, match="reason"), database.connect() as conn:
        store.break_lock(conn, lease.id, "operator", "")
    assert refused(database).id == lease.id
    with database.connect() as conn:
        assert store.break_lock(conn, new_id(), "operator", "not there") is None


def test_promise_16_breaking_an_expired_lease_returns_expired(database: Database) -> None:
    lease = acquired(database)
    expire(database, lease)
    assert broken(database, lease) == "expired"
    assert grant_of(database, lease).reason is None


def test_promise_17_every_grant_ends_once_with_its_actor_time_and_outcome(
    database: Database,
) -> None:
    ends = {
        "released": released,
        "broken": broken,
        "superseded": lambda db, lease: (expire(db, lease), acquired(db)),
        "expired": lambda db, lease: (expire(db, lease), released(db, lease)),
    }
    for outcome, end in ends.items():
        lease = acquired(database)
        end(database, lease)
        for again in (released, broken):
            again(database, lease)
        grant = grant_of(database, lease)
        assert grant.outcome == outcome
        assert grant.ended_by
        assert grant.ended_at is not None
        assert grant.ended_at >= grant.acquired_at
        rows(
            database,
            "SELECT lock_release(kind, scope, lock_id, fence, 'tidy') FROM lock_scopes"
            " WHERE lock_id IS NOT NULL",
        )
    assert rows(database, "SELECT count(*) FROM api_locks WHERE outcome IS NULL") == [(0,)]


@pytest.mark.parametrize(
    "wrong",
    ["outcome = 'lost'", "outcome = 'released'", "ended_at = clock_timestamp()", "id = 'short'"],
)
def test_promise_17_an_impossible_row_cannot_be_stored(database: Database, wrong: str) -> None:
    acquired(database)
    with pytest.raises(DBAPIError), database.begin() as conn:
        conn.execute(text(f"UPDATE api_locks SET {wrong}"))


def test_promise_17_history_is_dropped_by_the_month_but_never_a_lock_that_is_held(
    database: Database,
) -> None:
    this_month = f"api_locks_{datetime.now(UTC):%Y_%m}"
    lease = acquired(database)
    later = datetime.now(UTC) + timedelta(days=62)
    with database.connect() as conn:
        assert this_month not in store.drop_history(conn, later)
        store.release(conn, lease, "this-process")
        assert store.drop_history(conn, datetime.now(UTC)) == []
        assert this_month in store.drop_history(conn, later)
        store.extend_history(conn)
    assert rows(database, "SELECT to_regclass(:name) IS NOT NULL", name=this_month) == [(True,)]
    assert rows(database, "SELECT * FROM api_locks") == []


@pytest.mark.parametrize("days", [-20000, -400, -40, 40, 4000])
def test_promise_17_a_grant_is_as_old_as_the_clock_of_the_database_says(
    database: Database, days: int
) -> None:
    wrong = datetime.now(UTC) + timedelta(days=days)
    with database.begin() as conn:
        conn.execute(text("SELECT lock_history_extend(3)"))
    released(database, acquired(database, id=str(ULID.from_datetime(wrong))))
    with database.connect() as conn:
        assert store.delete_unused_scopes(conn, unused_seconds=60) == 0
        store.drop_history(conn, datetime.now(UTC) - timedelta(days=1))
        assert len(rows(database, "SELECT id FROM api_locks")) == 1
        store.drop_history(conn, max(wrong, datetime.now(UTC)) + timedelta(days=62))
        store.extend_history(conn)
    assert rows(database, "SELECT id FROM api_locks") == []


def test_promise_17_a_grant_of_an_unforeseen_month_is_kept_and_moved_when_it_comes(
    database: Database,
) -> None:
    lease = acquired(database)
    this_month = f"api_locks_{datetime.now(UTC):%Y_%m}"
    with database.begin() as conn:
        conn.execute(text(f"ALTER TABLE api_locks DETACH PARTITION {this_month}"))
        conn.execute(text(f"INSERT INTO api_locks SELECT * FROM {this_month}"))
        conn.execute(text(f"DROP TABLE {this_month}"))
    with database.connect() as conn:
        store.extend_history(conn)
    where = "SELECT tableoid::regclass::text FROM api_locks WHERE id = :id"
    assert rows(database, where, id=lease.id) == [(this_month,)]


def test_promise_18_without_the_database_no_work_is_begun(proxy: Proxy, database: Database) -> None:
    through = open_database(proxy.url, pool_size=1)
    with locks_of(through, proxy.url) as locks:
        proxy.close()
        with pytest.raises(Unavailable), hold(locks, ARCHIVE, "s", ORIGIN):
            pytest.fail("ran without the lock")
    through.close()


def test_promise_18_a_release_that_fails_is_counted_and_healed_by_time(
    proxy: Proxy, database: Database, caplog: pytest.LogCaptureFixture
) -> None:
    failed = metrics.LOCK_RELEASES_FAILED._value.get()
    through = open_database(proxy.url, pool_size=1)
    # On a busy machine the lease may be over before the block is: that is no failure here.
    with locks_of(through, proxy.url, lease_seconds=1) as locks, suppress(LockLost):
        with hold(locks, ARCHIVE, "s", ORIGIN) as held:
            proxy.close()
    assert metrics.LOCK_RELEASES_FAILED._value.get() == failed + 1
    assert held.lease.id in caplog.text
    rows(database, "SELECT pg_sleep(1)")
    assert acquired(database, scope="s")
    through.close()


def test_promise_19_work_that_outlived_its_lease_is_never_a_success(
    locks: Locks, database: Database
) -> None:
    for lose in (expire, broken):
        done = []
        with pytest.raises(LockLost), hold(locks, ARCHIVE, "s", ORIGIN) as held:
            lose(database, held.lease)
            done.append(True)
        assert done


def test_promise_19_a_grant_that_a_failover_forgot_is_lost(
    locks: Locks, database: Database
) -> None:
    with pytest.raises(LockLost), hold(locks, ARCHIVE, "s", ORIGIN):
        rows(database, "WITH gone AS (DELETE FROM api_locks RETURNING 1) SELECT * FROM gone")
        rows(database, "WITH gone AS (DELETE FROM lock_scopes RETURNING 1) SELECT * FROM gone")


def test_promise_20_grants_and_renewals_wait_for_the_disk_and_releases_do_not(
    database: Database,
) -> None:
    def durability_after(call) -> str:
        with database.begin() as conn:
            call(conn)
            return str(conn.scalar(text("SHOW synchronous_commit")))

    request = lock_request()
    assert durability_after(lambda conn: store.acquire(conn, request)) == "on"
    lease = asked(database, id=request.id)
    assert isinstance(lease, Lease)
    assert durability_after(lambda conn: store.renew(conn, [(lease, 30)])) == "on"
    assert durability_after(lambda conn: store.release(conn, lease, "me")) == "off"
    lease, waiter = acquired(database), lock_request()
    assert durability_after(lambda conn: store.wait(conn, waiter, 10)) == "off"
    assert durability_after(lambda conn: store.leave(conn, new_id())) == "off"
    assert durability_after(lambda conn: store.release(conn, lease, "me")) == "on", "handed over"


def test_promise_20_a_repeated_acquire_commits_again_so_that_a_standby_has_it_too(
    database: Database,
) -> None:
    lease = acquired(database)
    with database.begin() as conn:
        store.acquire(conn, lock_request(id=lease.id))
        assert conn.scalar(text("SELECT pg_current_xact_id_if_assigned()")) is not None


def test_promise_20_a_commit_that_came_with_a_warning_is_not_taken_for_a_grant(
    database: Database, database_url: str
) -> None:
    class Warned(cursor):
        def execute(self, query, vars=None):  # noqa: A002 - the name that the driver gives it
            super().execute(query, vars)
            if "lock_acquire" in query:
                with self.connection.cursor(cursor_factory=cursor) as other:
                    other.execute("DO $$BEGIN RAISE WARNING 'canceling wait'; END$$")

    def warn(connection, *_):
        connection.cursor_factory = Warned

    with closing(open_database(database_url, pool_size=1)) as warned:
        event.listen(warned.statements, "checkout", warn)
        with pytest.raises(Unavailable, match="canceling wait"):
            asked(warned)
