"""kill -9 of the publisher in each phase: the next run, in another process, recovers by itself."""

import signal
import subprocess
import sys
from pathlib import Path

import pytest

from staging_api.db.engine import Database
from tests.publisher import DAY, find, shop
from tests.rows import select
from tests.service import eventually

CHILD = Path(__file__).with_name("publisher_child.py")
PHASES = [
    "begun",
    "accept",
    "publish",
    "dominate",
    "index",
    "release",
    "before",
    "go_live",
    "live",
    "after",
    "tidy",
]


def kill_at(step: str, database_url: str, folder: Path, *hooks: str) -> None:
    argv = [sys.executable, str(CHILD), database_url, str(folder), "publish-ftpmaster", step]
    argv += hooks
    died = subprocess.run(
        argv, cwd=Path(__file__).parents[3], env={"PYTHONPATH": "."}, check=False, timeout=60
    )
    assert died.returncode == -signal.SIGKILL


@pytest.mark.parametrize("step", PHASES)
def test_killed_in_a_phase_the_next_run_finishes_without_hand_work(
    database: Database, database_url: str, tmp_path: Path, step: str
) -> None:
    with shop(database, database_url, tmp_path) as here:
        here.set_up(retention_seconds=0 if step == "tidy" else DAY)
        here.add("hello")
        here.run()
        old = here.served("dists/stable/Release")
        here.add("hello", version="2.0")
        here.add("world")
        kill_at(step, database_url, tmp_path, str(tmp_path / "hooks"))
        # Clients see a complete old or new state: each file of Release exists, by path and by hash.
        seen = here.names()
        expected_old = step not in ("live", "after", "tidy")
        assert seen == (["hello 1.0-1"] if expected_old else ["hello 2.0", "world 1.0-1"])
        assert (here.served("dists/stable/Release") == old) == expected_old
        held = (
            "SELECT 1 FROM lock_scopes WHERE lock_id IS NOT NULL AND expires_at > clock_timestamp()"
        )
        eventually(lambda: not select(database, held), "the dead one's lock does not run out")
        run = here.run()
        assert run.state == "succeeded"
        assert here.names() == ["hello 2.0", "world 1.0-1"]
        assert find(database, "pool/main/w/world/world_1.0-1_amd64.deb")
        states = "SELECT state, count(*) FROM publisher_runs GROUP BY 1 ORDER BY 1"
        assert select(database, states) == [("abandoned", 1), ("succeeded", 2)]
        building = "SELECT count(*) FROM dists_generations WHERE state = 'building'"
        assert select(database, building) == [(0,)]
        assert here.run().counts == {}


@pytest.mark.parametrize("step", ["go_live", "live"])
def test_a_run_without_hooks_that_is_killed_as_it_goes_live_is_done_or_given_up(
    database: Database, database_url: str, tmp_path: Path, step: str
) -> None:
    """The transaction that makes the generation live also records the success of the run."""
    with shop(database, database_url, tmp_path) as here:
        here.set_up()
        here.add("hello")
        kill_at(step, database_url, tmp_path)
        states = "SELECT state FROM publisher_runs ORDER BY id"
        assert select(database, states) == [("succeeded" if step == "live" else "running",)]
        held = "SELECT 1 FROM lock_scopes WHERE expires_at > clock_timestamp()"
        eventually(lambda: not select(database, held), "the dead one's lock does not run out")
        run = here.run()
        assert here.names() == ["hello 1.0-1"]
        assert run.counts.get("generations", 0) == (step == "go_live")
        first = "succeeded" if step == "live" else "abandoned"
        assert select(database, states) == [(first,), ("succeeded",)]
