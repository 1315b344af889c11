"""Process that holds one lock and writes under it, until it has to stop or loses the lock.

Arguments: the database's URL, the scope, and the lease in seconds. It prints ``held <id> <fence>``,
then ``wrote`` for each guarded write, and in the end ``released`` or ``lost``.
"""

import sys
import threading

from sqlalchemy import text

from staging_api.db.engine import open_database
from staging_api.errors import LockLost
from staging_api.locks.hold import guarded, hold
from staging_api.locks.model import ARCHIVE
from tests.contest import INSERT_WRITE
from tests.factories import ORIGIN, locks_of


def main(url: str, scope: str, lease_seconds: float) -> None:
    """Hold the lock, write under it, and print each step."""
    database = open_database(url, pool_size=2)
    pause = threading.Event()
    with locks_of(database, url, holder="child", lease_seconds=lease_seconds) as locks:
        try:
            with hold(locks, ARCHIVE, scope, ORIGIN) as held:
                say(f"held {held.lease.id} {held.lease.fence}")
                while True:
                    with guarded(database, held) as conn:
                        row = {"s": scope, "i": held.lease.id, "f": held.lease.fence}
                        conn.execute(text(INSERT_WRITE), row)
                    say("wrote")
                    pause.wait(0.02)
        except LockLost:
            say("lost")


def say(line: str) -> None:
    """Print a line without buffering, so that the parent reads it at once."""
    sys.stdout.write(line + "\n")
    sys.stdout.flush()


if __name__ == "__main__":
    main(sys.argv[1], sys.argv[2], float(sys.argv[3]))
