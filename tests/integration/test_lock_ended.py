"""Ended holds: no reference trusts their lease, and no context re-enters them."""

import threading
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextvars import copy_context

import pytest

from staging_api.db.engine import Database
from staging_api.errors import LockHeld, LockLost
from staging_api.locks.hold import Locks, guarded, hold
from staging_api.locks.keeper import Hold
from staging_api.locks.model import ARCHIVE
from tests.factories import ORIGIN, locks_of
from tests.leases import acquired, refused, rows


@pytest.fixture
def locks(database: Database, database_url: str) -> Iterator[Locks]:
    with locks_of(database, database_url) as made:
        yield made


def refuses(database: Database, held: Hold) -> bool:
    with pytest.raises(LockLost, match="has ended"):
        held.assert_held()
    with pytest.raises(LockLost), guarded(database, held):
        pytest.fail("wrote under a lock that is over")
    return True


def test_an_ended_hold_refuses_further_use(locks: Locks, database: Database) -> None:
    with hold(locks, ARCHIVE, "other", ORIGIN) as other:
        with hold(locks, ARCHIVE, "s", ORIGIN) as held:
            held.assert_held()
        assert refuses(database, held)
        with hold(locks, ARCHIVE, "s", ORIGIN) as again:
            assert again.lease.id != held.lease.id
            assert refuses(database, held)
            again.assert_held()
        other.assert_held()


def test_a_thread_that_outlives_the_block_is_refused(locks: Locks, database: Database) -> None:
    over = threading.Event()
    with ThreadPoolExecutor(1) as pool:
        with hold(locks, ARCHIVE, "s", ORIGIN) as held:
            late = pool.submit(lambda: over.wait(10) and refuses(database, held))
        over.set()
        assert late.result(10)


def test_a_hold_ends_with_an_error_too(locks: Locks, database: Database) -> None:
    with pytest.raises(KeyError), hold(locks, ARCHIVE, "s", ORIGIN) as held:
        raise KeyError
    assert refuses(database, held)


def test_a_context_copied_inside_the_block_does_not_enter_it_later(
    locks: Locks, database: Database
) -> None:
    """In the same thread, in which a context may re-enter the lock inside the block."""

    def enter() -> str:
        with hold(locks, ARCHIVE, "s", ORIGIN) as entered:
            with guarded(database, entered):
                return entered.lease.id

    with hold(locks, ARCHIVE, "s", ORIGIN) as held:
        context = copy_context()
        assert context.run(enter) == held.lease.id
    assert context.run(enter) != held.lease.id
    acquired(database, scope="s")
    with pytest.raises(LockHeld):
        context.run(enter)


def test_a_listener_that_comes_after_the_end_is_called_at_once_and_an_earlier_one_never(
    locks: Locks,
) -> None:
    shown: list[str] = []
    with hold(locks, ARCHIVE, "s", ORIGIN) as held:
        held.on_lost(lambda: shown.append("earlier"))
    held.on_lost(lambda: shown.append("later"))
    assert shown == ["later"]


def test_inner_blocks_of_the_same_lock_do_not_end_it(locks: Locks, database: Database) -> None:
    with hold(locks, ARCHIVE, "s", ORIGIN) as held:
        with hold(locks, ARCHIVE, "s", ORIGIN):
            pass
        held.assert_held()
        assert refused(database, scope="s").id == held.lease.id
    assert rows(database, "SELECT outcome FROM api_locks") == [("released",)]


def test_a_lease_that_ran_out_while_the_machine_was_suspended_is_not_trusted(
    locks: Locks, database: Database, monkeypatch: pytest.MonkeyPatch
) -> None:
    """CLOCK_MONOTONIC stops during suspension; CLOCK_BOOTTIME does not."""
    real, suspended = time.clock_gettime, 0.0

    def gettime(which: int) -> float:
        return real(which) + (suspended if which == time.CLOCK_BOOTTIME else 0.0)

    monkeypatch.setattr(time, "clock_gettime", gettime)
    with pytest.raises(LockLost), hold(locks, ARCHIVE, "s", ORIGIN) as held:
        held.assert_held()
        suspended = 3600.0
        with guarded(database, held):
            pytest.fail("trusted a lease of before")
