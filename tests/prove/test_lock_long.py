"""Longer runs of the short lock tests: more grants, and one client more in the model.

For more grants, run ``python -m tests.prove.test_lock_long 1000000``. One grant in a hundred meets
a fault: a pause past its lease, a connection that is cut under a statement, a client that dies.
"""

import sys
import tempfile
import threading
import time
from collections import Counter
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing
from functools import partial
from pathlib import Path

import pytest
from sqlalchemy import text

from staging_api.db.embedded import running
from staging_api.db.engine import Database, open_database
from staging_api.db.migrate import migrate
from staging_api.locks.hold import Locks, guarded, hold
from staging_api.locks.keeper import Hold
from staging_api.locks.model import ARCHIVE
from tests.contest import INSERT_WRITE, TABLES, Contest, Ours
from tests.factories import ORIGIN, locks_of
from tests.history import Reign
from tests.leases import refused, rows
from tests.lock_model import Rules, search
from tests.service import eventually

# Number of grants that are checked together; a longer history would not fit in memory.
_HISTORY = 20_000
_LEASE_SECONDS = 3.0


@pytest.mark.prove
@pytest.mark.timeout(300)
def test_a_minute_of_contest_with_faults_has_a_clean_history(database: Database) -> None:
    contest = Contest(database, Ours(), scopes=4, pause=4, cut=2, die=2, busy=2)
    assert contest.run(12, seconds=60, enough=lambda: False) == []
    assert len(contest.reigns) > 1000
    assert all(contest.faults[fault] > 10 for fault in ("pause", "cut", "death", "busy"))
    assert contest.faults["kept"] > 0
    assert contest.faults["beside"] > 10 * contest.faults["kept"]


@pytest.mark.prove
@pytest.mark.timeout(300)
@pytest.mark.parametrize("seconds", [0.05, 0.5, 2.0, 4.0])
def test_holders_that_write_without_a_pause_keep_their_locks_for_ten_leases(
    seconds: float, database: Database, database_url: str
) -> None:
    """Four holders with two writing threads each, and four clients that wait for the same locks."""
    with database.begin() as conn:
        conn.execute(text(TABLES))
    stop = threading.Event()
    refusals: Counter[str] = Counter()

    def write(held: Hold) -> int:
        end, wrote = time.monotonic() + 10 * _LEASE_SECONDS, 0
        row = {"s": held.lease.scope, "i": held.lease.id, "f": held.lease.fence}
        while time.monotonic() < end:
            with guarded(database, held) as conn:
                conn.execute(text(INSERT_WRITE), row)
                conn.execute(text("SELECT pg_sleep(:s)"), {"s": seconds})
            wrote += 1
        return wrote

    def hold_on(locks: Locks, scope: str) -> int:
        with hold(locks, ARCHIVE, scope, ORIGIN) as held, ThreadPoolExecutor(2) as threads:
            return sum(threads.map(write, [held, held]))

    def ask(scope: str) -> None:
        while not stop.wait(0.05):
            refusals[refused(database, scope=scope).id or "nobody"] += 1

    scopes = [f"busy-{number}" for number in range(4)]
    with (
        locks_of(database, database_url, lease_seconds=_LEASE_SECONDS) as locks,
        ThreadPoolExecutor(8) as pool,
    ):
        holders = [pool.submit(hold_on, locks, scope) for scope in scopes]
        eventually(lambda: len(locks.keeper.holds()) == 4, "not all hold")
        tries = [pool.submit(ask, scope) for scope in scopes]
        eventually(lambda: all(each.running() or each.done() for each in tries), "none asks")
        time.sleep(9 * _LEASE_SECONDS)
        stop.set()
        for each in tries:
            each.result()
        wrote = sum(holder.result() for holder in holders)
    assert wrote >= 4 * 2 * 10 * _LEASE_SECONDS / seconds / 20
    assert len(refusals) == 4, "each was refused by one holder throughout"
    assert rows(database, "SELECT outcome, count(*) FROM api_locks GROUP BY 1") == [("released", 4)]


@pytest.mark.prove
@pytest.mark.timeout(300)
@pytest.mark.parametrize("sync", [False, True])
def test_no_order_of_events_of_three_clients_breaks_the_lock(sync: bool) -> None:
    worlds, wrong = search(3, Rules(sync_replication=sync))
    assert wrong is None
    assert worlds > 10_000


def main(grants: int) -> int:
    """Run clients until `grants` grants were made, and print the findings, history by history."""
    found: list[str] = []
    faults: Counter[str] = Counter()
    highest: dict[str, int] = {}
    done, began = 0, time.monotonic()
    with tempfile.TemporaryDirectory() as home, running(Path(home), durable=False) as server:
        migrate(server.url)
        with closing(open_database(server.url, 40)) as database:
            while done < grants and not found:
                contest = Contest(
                    database, Ours(), scopes=16, pause=0.4, cut=0.3, die=0.3, busy=0.1
                )
                wanted = min(_HISTORY, grants - done)
                found = contest.run(16, seconds=1e9, enough=partial(has, contest, wanted))
                found += fallen(contest.reigns, highest)
                done += len(contest.reigns)
                faults += contest.faults
                print(f"{done} grants, {time.monotonic() - began:.0f} s, {faults}", flush=True)
    print(f"{len(found)} violations", *found, sep="\n")
    return len(found)


def has(contest: Contest, grants: int) -> bool:
    return len(contest.reigns) >= grants


def fallen(reigns: list[Reign], highest: dict[str, int]) -> list[str]:
    """Return the fences that are not above those of earlier histories; record the new ones."""
    found = [
        f"fence: {reign.id} got {reign.fence} in a later history than {highest[reign.scope]}"
        for reign in reigns
        if (reign.fence or 0) <= highest.get(reign.scope, 0)
    ]
    for reign in reigns:
        highest[reign.scope] = max(highest.get(reign.scope, 0), reign.fence or 0)
    return found


if __name__ == "__main__":
    sys.exit(main(int(sys.argv[1])) > 0)
