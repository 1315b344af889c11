"""Crashes of PostgreSQL that lose a run's asynchronously committed steps while the run goes on."""

import os
import signal
import time
from collections.abc import Iterator
from contextlib import suppress
from dataclasses import replace
from pathlib import Path

import pytest
from sqlalchemy import text

from staging_api.db.embedded import running
from staging_api.db.engine import Database, open_database
from staging_api.db.migrate import migrate
from staging_api.errors import Unavailable
from tests.publisher import shop
from tests.rows import select

PATIENCE_SECONDS = 60


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("crashing")


@pytest.fixture(scope="module")
def crashing(folder: Path) -> Iterator[Database]:
    """Yield a database that writes to disk only on synchronous commits; a test may crash it."""
    with running(folder, durable=False) as server:
        migrate(server.url)
        database = open_database(server.url, pool_size=5)
        with database.connect() as conn:
            conn.execute(text("ALTER SYSTEM SET wal_writer_delay = '10s'"))
            conn.execute(text("SELECT pg_reload_conf()"))
        yield database
        database.close()


def kill_backend(database: Database) -> None:
    """Kill a backend: the server ends all sessions, and recovers from the data on disk."""
    with suppress(Unavailable), database.connect() as conn:
        pid = conn.execute(text("SELECT pg_backend_pid()")).scalar_one()
        os.kill(pid, signal.SIGKILL)
        conn.execute(text("SELECT 1"))


def crash(database: Database) -> None:
    """Crash the server, and wait until it accepts connections again."""
    kill_backend(database)
    # Otherwise the next use of an idle connection would end the run for that reason.
    for each in database.engines:
        each.dispose()
    deadline = time.monotonic() + PATIENCE_SECONDS
    while time.monotonic() < deadline:
        with suppress(Unavailable):
            select(database, "SELECT 1")
            return
        time.sleep(0.05)
    raise AssertionError("PostgreSQL did not come back")


@pytest.mark.parametrize("phase", ["publish", "go_live"])
def test_a_run_whose_step_a_crash_lost_shows_clients_nothing_of_it(
    crashing: Database, folder: Path, phase: str
) -> None:
    def reached(step: str) -> None:
        if step == phase:
            crash(crashing)

    url = crashing.transactions.url.render_as_string(hide_password=False)
    with shop(crashing, url, folder) as here:
        here.name = phase.replace("_", "-")
        here.set_up()
        here.add("other")
        here.run()
        before = here.served("dists/stable/Release")
        here.add("hello")
        publisher, here.publisher = here.publisher, replace(here.publisher, reached=reached)
        with pytest.raises(Unavailable, match="lost writes of this run"):
            here.run()
        assert here.served("dists/stable/Release") == before
        here.publisher = publisher
        run = here.run()
        assert run.counts["published"] == 1
        assert here.served("dists/stable/Release") != before


@pytest.mark.parametrize("step", ["live", "after"])
def test_a_server_that_restarts_behind_going_live_makes_no_failure_of_a_hook(
    crashing: Database, folder: Path, step: str
) -> None:
    def reached(name: str) -> None:
        if name == step:
            kill_backend(crashing)

    hook = folder / "hooks" / "after.d" / "10-tell"
    hook.parent.mkdir(parents=True, exist_ok=True)
    hook.write_text("#!/bin/sh\necho told\n")
    hook.chmod(0o755)
    url = crashing.transactions.url.render_as_string(hide_password=False)
    with shop(crashing, url, folder, hooks=hook.parent.parent, reached=reached) as here:
        here.name = f"told-{step}"
        here.set_up()
        here.add("hello")
        run = here.run()
    assert (run.state, run.error_message) == ("succeeded", None)
    assert [(each.name, each.output) for each in run.hooks] == [("10-tell", "told\n")]
