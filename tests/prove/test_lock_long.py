"""Longer runs of what the short tests do: more grants, one client more in the model.

More grants by hand: ``python -m tests.prove.test_lock_long 1000000``. One grant in a hundred meets
a fault: a pause past its lease, a connection that is cut under a statement, a client that dies.
"""

import sys
import tempfile
import time
from collections import Counter
from contextlib import closing
from functools import partial
from pathlib import Path

import pytest

from staging_api.db.embedded import running
from staging_api.db.engine import Database, open_database
from staging_api.db.migrate import migrate
from tests.contest import Contest, Ours
from tests.history import Reign
from tests.lock_model import Rules, search

# Grants that are checked together; a longer history would not fit in memory.
_HISTORY = 20_000


@pytest.mark.prove
@pytest.mark.timeout(300)
def test_a_minute_of_contest_with_faults_has_a_clean_history(database: Database) -> None:
    contest = Contest(database, Ours(), scopes=4, pause=4, cut=2, die=2)
    assert contest.run(12, seconds=60, enough=lambda: False) == []
    assert len(contest.reigns) > 1000
    assert all(contest.faults[fault] > 10 for fault in ("pause", "cut", "death"))


@pytest.mark.prove
@pytest.mark.timeout(300)
@pytest.mark.parametrize("sync", [False, True])
def test_no_order_of_events_of_three_clients_breaks_the_lock(sync: bool) -> None:
    worlds, wrong = search(3, Rules(sync_replication=sync))
    assert wrong is None
    assert worlds > 10_000


def main(grants: int) -> int:
    """Fight until there were so many grants, and say what was found; a history at a time."""
    found: list[str] = []
    faults: Counter[str] = Counter()
    highest: dict[str, int] = {}
    done, began = 0, time.monotonic()
    with tempfile.TemporaryDirectory() as home, running(Path(home), durable=False) as server:
        migrate(server.url)
        with closing(open_database(server.url, 40)) as database:
            while done < grants and not found:
                contest = Contest(database, Ours(), scopes=16, pause=0.4, cut=0.3, die=0.3)
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
    """Fences of this history that are not above those of the one before; notes the new ones."""
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
