"""Statements of the lock, one by one, on a real PostgreSQL."""

import threading
from concurrent.futures import ThreadPoolExecutor

import pytest
from sqlalchemy import text

from staging_api.db.engine import Database
from staging_api.errors import LockLost
from staging_api.locks import repository, store
from staging_api.locks.model import IMAGES, Lease, LockKind, Refusal, new_id
from tests.factories import lock_request
from tests.leases import acquired, expire, grant_of, refused, released


def test_a_free_scope_is_granted_and_a_held_one_refused(database: Database) -> None:
    lease = acquired(database)
    refusal = refused(database)
    assert (refusal.id, refusal.caller) == (lease.id, "tester")
    assert 0 < refusal.remaining_seconds <= 30


def test_kinds_are_independent(database: Database) -> None:
    acquired(database)
    assert acquired(database, kind=IMAGES).kind is IMAGES


def test_a_refusal_takes_no_transaction_id_and_writes_no_wal(database: Database) -> None:
    acquired(database)
    with database.begin() as conn:
        store.acquire(conn, lock_request())
        written = conn.execute(text("SELECT pg_current_xact_id_if_assigned()")).scalar_one()
    assert written is None


def test_a_refusal_does_not_wait_for_the_holders_transaction(database: Database) -> None:
    lease = acquired(database)
    with database.begin() as holder:
        store.guard(holder, lease)
        with database.begin() as other:
            other.execute(text("SET LOCAL lock_timeout = '100ms'"))
            assert isinstance(store.acquire(other, lock_request()), Refusal)


def test_the_fence_rises_from_grant_to_grant(database: Database) -> None:
    fences = []
    for _ in range(5):
        lease = acquired(database)
        fences.append(lease.fence)
        released(database, lease)
    assert fences == sorted(set(fences))


def test_the_same_id_sent_again_gets_the_same_lease(database: Database) -> None:
    again = new_id()
    first, second = acquired(database, id=again), acquired(database, id=again)
    assert (first.id, first.fence, first.acquired_at) == (
        second.id,
        second.fence,
        second.acquired_at,
    )
    assert first.expires_at <= second.expires_at


def test_an_id_whose_time_is_over_is_never_granted_again(database: Database) -> None:
    lease = acquired(database)
    released(database, lease)
    with pytest.raises(LockLost), database.connect() as conn:
        store.acquire(conn, lock_request(id=lease.id))


def test_an_expired_lease_is_superseded_by_the_next_grant(database: Database) -> None:
    dead = acquired(database)
    expire(database, dead)
    heir = acquired(database)
    assert heir.fence > dead.fence
    with database.connect() as conn:
        grant = repository.find(conn, dead.id)
    assert (grant.outcome, grant.ended_by) == ("superseded", heir.id)


def test_release_ends_the_grant_once(database: Database) -> None:
    lease = acquired(database)
    assert released(database, lease) == "released"
    other = acquired(database)
    assert released(database, lease) == "released", "it says how it ended, and changes nothing"
    assert grant_of(database, other).outcome is None


def test_only_id_and_fence_together_release(database: Database) -> None:
    lease = acquired(database)
    forged = Lease(**{**lease.__dict__, "fence": lease.fence + 1})
    assert released(database, forged) != "released"
    assert grant_of(database, lease).outcome is None


def test_a_release_after_expiry_returns_expired(database: Database) -> None:
    lease = acquired(database)
    expire(database, lease)
    assert released(database, lease) == "expired"


def test_renewal_extends_only_current_unexpired_leases(database: Database) -> None:
    alive, dead = acquired(database, scope="a"), acquired(database, scope="b")
    expire(database, dead)
    with database.connect() as conn:
        left = store.renew(conn, [(alive, 60.0), (dead, 60.0)])
        held = repository.held(conn, limit=10)
    assert list(left) == [alive.id]
    assert left[alive.id] == pytest.approx(60, abs=1)
    assert [grant.id for grant in held] == [alive.id]
    assert (held[0].expires_at - alive.expires_at).total_seconds() > 29


def test_a_guarded_write_of_a_former_holder_is_refused(database: Database) -> None:
    lease = acquired(database)
    expire(database, lease)
    with pytest.raises(LockLost), database.begin() as conn:
        store.guard(conn, lease)


def test_the_scope_cannot_change_hands_between_the_guard_and_the_commit(database: Database) -> None:
    lease = acquired(database, lease_seconds=0.2)
    granted = threading.Event()

    def take_over() -> None:
        while not granted.is_set():
            with database.connect() as conn:
                if isinstance(store.acquire(conn, lock_request()), Lease):
                    granted.set()

    with database.begin() as conn:
        store.guard(conn, lease)
        thread = threading.Thread(target=take_over)
        thread.start()
        assert not granted.wait(0.6), "the lease is over, but its holder has not committed"
    thread.join()
    assert granted.is_set()


def test_breaking_a_lock_fences_its_holder_off(database: Database) -> None:
    lease = acquired(database)
    with database.connect() as conn:
        assert store.break_lock(conn, lease.id, "operator", "stuck") == "broken"
        assert store.break_lock(conn, lease.id, "operator", "stuck") == "broken"
        grant = repository.find(conn, lease.id)
    assert (grant.outcome, grant.ended_by, grant.reason) == ("broken", "operator", "stuck")
    with pytest.raises(LockLost), database.begin() as conn:
        store.guard(conn, lease)
    assert acquired(database).fence > lease.fence + 1


def test_a_scope_cools_down_after_an_expiry_but_not_after_a_release(database: Database) -> None:
    resting = LockKind("resting", delay_seconds=30)
    lease = acquired(database, kind=resting)
    released(database, lease)
    lease = acquired(database, kind=resting)
    expire(database, lease)
    refusal = refused(database, kind=resting)
    assert refusal.id is None
    assert 29 < refusal.remaining_seconds <= 30


def test_unnoticed_expiries_get_their_outcome(database: Database) -> None:
    lease = acquired(database)
    expire(database, lease)
    with database.connect() as conn:
        assert store.record_expired(conn, "worker") == 1
        assert store.record_expired(conn, "worker") == 0
    assert grant_of(database, lease).outcome == "expired"


def test_a_release_hands_the_lock_to_the_longest_waiter(database: Database) -> None:
    lease = acquired(database)
    first, second = lock_request(), lock_request()
    with database.connect() as conn:
        store.wait(conn, first, 10)
        store.wait(conn, second, 10)
    released(database, lease)
    assert isinstance(store_acquire(database, second.id), Refusal)
    assert isinstance(store_acquire(database, first.id), Lease)


def test_a_waiter_that_left_is_passed_over(database: Database) -> None:
    lease = acquired(database)
    gone, here = lock_request(), lock_request()
    with database.connect() as conn:
        store.wait(conn, gone, 10)
        store.wait(conn, here, 10)
        store.leave(conn, gone.id)
    released(database, lease)
    assert isinstance(store_acquire(database, here.id), Lease)


def store_acquire(database: Database, request_id: str) -> Lease | Refusal:
    with database.connect() as conn:
        return store.acquire(conn, lock_request(id=request_id))


@pytest.mark.parametrize(
    ("rounds", "count"), [(1, 100), pytest.param(3, 300, marks=pytest.mark.prove)]
)
def test_leases_are_renewed_while_others_of_the_same_process_are_released(
    database: Database, rounds: int, count: int
) -> None:
    """When the renewal was one statement of an SQL function, this made PostgreSQL 18 crash."""
    long = {"lease_seconds": 300}
    kept = [acquired(database, scope=f"kept-{number}", **long) for number in range(3)]
    for _ in range(rounds):
        leases = [acquired(database, scope=f"s{number}", **long) for number in range(count)]
        over = threading.Event()

        def renew_all(leases: list[Lease] = leases, over: threading.Event = over) -> int:
            renewals = 0
            while not over.is_set():
                with database.connect() as conn:
                    left = store.renew(conn, [(lease, 300) for lease in (*kept, *leases)])
                assert all((left[lease.id] or 0) > 200 for lease in kept)
                renewals += 1
            return renewals

        with ThreadPoolExecutor(1) as pool:
            renewing = pool.submit(renew_all)
            try:
                assert {released(database, lease) for lease in leases} == {"released"}
            finally:
                over.set()
            assert renewing.result() > 0
    assert [grant_of(database, lease).outcome for lease in kept] == [None, None, None]
