"""Keeper of leases: when it checks them, and that it renews them whatever its threads do."""

import dataclasses
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager

import pytest

from staging_api import metrics
from staging_api.db.engine import Database, open_database
from staging_api.locks.hold import Locks, hold
from staging_api.locks.keeper import Hold, LeaseKeeper
from staging_api.locks.model import ARCHIVE
from tests.factories import ORIGIN, locks_of
from tests.leases import acquired
from tests.service import eventually


class Counting(LeaseKeeper):
    """A keeper that counts how often it wakes up."""

    looks = 0

    def _next_look(self) -> float:
        self.looks += 1
        return super()._next_look()


class LateToEnd(LeaseKeeper):
    """A keeper whose renewal thread pauses after each renewal, as in a busy process."""

    def _renew(self, holds: list[Hold]) -> None:
        super()._renew(holds)
        threading.Event().wait(0.1)


@contextmanager
def kept_by(
    make: type[LeaseKeeper], database: Database, url: str, lease_seconds: float
) -> Iterator[Locks]:
    with locks_of(database, url) as locks:
        keeper = make(open_database(url, pool_size=1))
        try:
            yield dataclasses.replace(locks, keeper=keeper, lease_seconds=lease_seconds)
        finally:
            keeper.close()


def test_short_locks_do_not_wake_the_keeper(database: Database, database_url: str) -> None:
    with kept_by(Counting, database, database_url, lease_seconds=600) as locks:
        for _ in range(20):
            with hold(locks, ARCHIVE, "s", ORIGIN):
                pass
        assert isinstance(locks.keeper, Counting)
        assert locks.keeper.looks == 1


def test_a_short_lease_is_renewed_beside_a_long_one(database: Database, database_url: str) -> None:
    lost = threading.Event()
    with kept_by(LeaseKeeper, database, database_url, lease_seconds=600) as locks:
        short = dataclasses.replace(locks, lease_seconds=2)
        with (
            hold(locks, ARCHIVE, "long", ORIGIN),
            hold(short, ARCHIVE, "short", ORIGIN) as held,
        ):
            held.on_lost(lost.set)
            assert not lost.wait(4)


def test_a_lease_is_renewed_though_the_thread_of_the_last_renewal_ends_late(
    database: Database, database_url: str
) -> None:
    lost = threading.Event()
    with (
        kept_by(LateToEnd, database, database_url, lease_seconds=2) as locks,
        hold(locks, ARCHIVE, "s", ORIGIN) as held,
    ):
        held.on_lost(lost.set)
        assert not lost.wait(4)


@pytest.mark.parametrize(("seconds_ago", "late"), [(11.0, 0), (20.0, 1)])
def test_a_renewal_that_comes_with_less_than_a_third_of_the_lease_left_is_counted(
    seconds_ago: float, late: int, database: Database, database_url: str
) -> None:
    before = metrics.LOCK_RENEWALS_LATE._value.get()
    with kept_by(LeaseKeeper, database, database_url, lease_seconds=30) as locks:
        sent_at = time.monotonic() - seconds_ago
        held = Hold(acquired(database), sent_at, 30.0)
        locks.keeper.add(held)
        eventually(lambda: held.renew_at > sent_at + 15, "it is not renewed")
    assert metrics.LOCK_RENEWALS_LATE._value.get() - before == late
