"""Factories of objects for tests, with defaults for all fields."""

import threading
from collections.abc import Iterator
from contextlib import contextmanager

from staging_api.db.engine import Database, open_database
from staging_api.locks.hold import Locks, RequestOrigin
from staging_api.locks.keeper import LeaseKeeper
from staging_api.locks.model import ARCHIVE, LockKind, LockRequest, new_id
from staging_api.locks.queue import WaitQueue

ORIGIN = RequestOrigin(caller="tester")


def lock_request(
    scope: str = "gs://bucket/board/R17-1",
    kind: LockKind = ARCHIVE,
    lease_seconds: float = 30.0,
    **given: str,
) -> LockRequest:
    """Return a lock request with a unique id."""
    return LockRequest(
        id=given.get("id", new_id()),
        kind=kind,
        scope=scope,
        caller=given.get("caller", "tester"),
        holder=given.get("holder", "this-process"),
        reference_id=None,
        lease_seconds=lease_seconds,
    )


@contextmanager
def locks_of(
    database: Database,
    url: str,
    holder: str = "this-process",
    lease_seconds: float = 30.0,
    waiter_slots: int = 8,
) -> Iterator[Locks]:
    """Yield the locks of one process; several of them in one test represent several processes."""
    locks = Locks(
        database=database,
        keeper=LeaseKeeper(open_database(url, pool_size=1)),
        queue=WaitQueue(database, url, threading.BoundedSemaphore(waiter_slots)),
        holder=holder,
        lease_seconds=lease_seconds,
    )
    try:
        yield locks
    finally:
        locks.close()
