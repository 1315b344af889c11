"""Longer runs of what the short tests do: more grants, one client more in the model.

More grants by hand: ``python -m tests.prove.test_lock_long 1000000``, some 100 a second with the
pauses, each of which lets a lease run out.
"""

import sys
import tempfile
from contextlib import closing
from pathlib import Path

import pytest

from staging_api.db.embedded import running
from staging_api.db.engine import Database, open_database
from staging_api.db.migrate import migrate
from tests.contest import Contest, Ours
from tests.lock_model import Rules, search


@pytest.mark.prove
@pytest.mark.timeout(300)
def test_a_minute_of_contest_with_pauses_has_a_clean_history(database: Database) -> None:
    contest = Contest(database, Ours(), scopes=4, pause=5)
    assert contest.run(12, seconds=60, enough=lambda: False) == []
    assert len(contest.reigns) > 1000


@pytest.mark.prove
@pytest.mark.timeout(300)
@pytest.mark.parametrize("sync", [False, True])
def test_no_order_of_events_of_three_clients_breaks_the_lock(sync: bool) -> None:
    worlds, wrong = search(3, Rules(sync_replication=sync))
    assert wrong is None
    assert worlds > 10_000


def main(grants: int) -> None:
    """Fight until there were so many grants."""
    with tempfile.TemporaryDirectory() as home, running(Path(home), durable=False) as server:
        migrate(server.url)
        with closing(open_database(server.url, 40)) as database:
            contest = Contest(database, Ours(), scopes=8, pause=1)
            found = contest.run(16, seconds=1e9, enough=lambda: len(contest.reigns) >= grants)
            print(f"{len(contest.reigns)} grants, {len(found)} violations", *found, sep="\n")


if __name__ == "__main__":
    main(int(sys.argv[1]))
