"""Open `Locks` in any program; ``docs/explanation/lock.md`` has a whole example."""

import os
import socket
import threading
from collections.abc import Iterator
from contextlib import closing, contextmanager

from staging_api.db.engine import open_database
from staging_api.locks.hold import Locks
from staging_api.locks.keeper import LeaseKeeper
from staging_api.locks.model import new_id
from staging_api.locks.queue import WaitQueue


@contextmanager
def open_locks(
    url: str, *, direct_url: str = "", lease_seconds: float = 15.0, connections: int = 10
) -> Iterator[Locks]:
    """Yield the `Locks` of a process; call this after any fork.

    Leaving the block releases the locks that are still held.

    Args:
        url: URL of a database that ``staging-api migrate`` has prepared; ``Locks.database`` may
            also serve the program's own tables.
        direct_url: URL of the same database without a transaction pooler; empty if `url` has no
            pooler.
        lease_seconds: life of a lease that is not renewed; each is renewed while its block runs.
        connections: number of connections for transactions, and as many for single statements. Half
            as many requests may wait for a lock at a time.
    """
    with closing(open_database(url, connections)) as database:
        locks = Locks(
            database=database,
            # A pool of its own: renewals never queue for a connection behind requests.
            keeper=LeaseKeeper(open_database(url, pool_size=1)),
            queue=WaitQueue(
                database, direct_url or url, threading.BoundedSemaphore(max(1, connections // 2))
            ),
            holder=process_name(),
            lease_seconds=lease_seconds,
        )
        try:
            yield locks
        finally:
            locks.release_all()
            locks.close()


def process_name() -> str:
    """Return a name for this process that is never reused, unlike its pid."""
    return f"{socket.gethostname()}:{os.getpid()}:{new_id()[-8:]}"
