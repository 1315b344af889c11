"""Connections that break between going live and the end of a run: the run does not fail."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import Connection, text

from staging_api.db.engine import Database
from staging_api.errors import ConnectionLost, Unavailable
from staging_api.publishing.rows import generations, runs
from staging_api.publishing.run_model import PublisherRun
from tests.pauses import patch_sleep
from tests.publisher import Shop, shop, time_passes
from tests.rows import select

RUNS = "SELECT state, error_code FROM publisher_runs ORDER BY id"


def break_connections(database: Database) -> None:
    """Terminate the sessions of all other connections, as a failover does."""
    with database.connect() as conn:
        conn.execute(
            text(
                "SELECT pg_terminate_backend(pid) FROM pg_stat_activity"
                " WHERE datname = current_database() AND pid <> pg_backend_pid()"
            )
        )


class Breaking:
    """Breaks connections of this process at their next commits, so that no response arrives.

    With `before`, the connection breaks before the commit.
    """

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self.left, self.before = 0, False
        begin = Database.begin

        @contextmanager
        def begun(database: Database, *given: Any, **how: Any) -> Iterator[Connection]:
            with begin(database, *given, **how) as conn:
                yield conn
                if self.before:
                    self.lose()
            self.lose()

        monkeypatch.setattr(Database, "begin", begun)

    def lose(self) -> None:
        if self.left:
            self.left -= 1
            raise ConnectionLost("the connection to the database broke")


@pytest.fixture(autouse=True)
def no_broken_connection_is_left(database: Database) -> Iterator[None]:
    """Discard broken idle connections, which the next test would receive from the pool."""
    yield
    database.reads.close()
    for engine in (database.transactions, database.statements):
        engine.dispose()


@pytest.fixture
def breaking(monkeypatch: pytest.MonkeyPatch) -> Breaking:
    return Breaking(monkeypatch)


@pytest.fixture
def hooks(tmp_path: Path) -> Path:
    """Return the folder of two hooks that run afterwards; each of them writes a line."""
    folder = tmp_path / "hooks" / "after.d"
    folder.mkdir(parents=True)
    for name in ("10-one", "20-other"):
        (folder / name).write_text(f"#!/bin/sh\necho {name} >> {tmp_path}/ran\n")
        (folder / name).chmod(0o755)
    return folder.parent


@contextmanager
def filled(
    database: Database,
    url: str,
    folder: Path,
    hooks: Path | None,
    steps: dict[str, Callable[[], None]],
) -> Iterator[Shop]:
    """Yield a publisher with a package to publish, and an action at a step of its next run."""

    def reached(step: str) -> None:
        if step in steps:
            steps.pop(step)()

    with shop(database, url, folder, hooks=hooks, reached=reached) as here:
        here.set_up()
        here.add("hello")
        yield here
        assert steps == {}, "a step was not reached"


def check_hooks(run: PublisherRun, folder: Path) -> None:
    """Assert that both hooks ran once, and that both are recorded once."""
    assert [(h.stage, h.name, h.exit_code) for h in run.hooks] == [
        ("after", "10-one", 0),
        ("after", "20-other", 0),
    ]
    assert (folder / "ran").read_text() == "10-one\n20-other\n"


@pytest.mark.parametrize("step", ["live", "after"])
def test_connections_that_break_behind_going_live_keep_no_hook_from_running(
    database: Database, database_url: str, tmp_path: Path, hooks: Path, step: str
) -> None:
    steps = {step: lambda: break_connections(database)}
    with filled(database, database_url, tmp_path, hooks, steps) as here:
        run = here.run()
        assert (run.state, run.error_message) == ("succeeded", None)
        check_hooks(run, tmp_path)
        assert [phase.phase for phase in run.phases][-3:] == ["before", "go_live", "after"]
        assert here.names() == ["hello 1.0-1"]


@pytest.mark.parametrize("has_hooks", [True, False])
def test_a_generation_whose_commit_had_no_answer_is_looked_up(
    database: Database,
    database_url: str,
    hooks: Path,
    breaking: Breaking,
    has_hooks: bool,
) -> None:
    steps = {"go_live": lambda: setattr(breaking, "left", 1)}
    with filled(database, database_url, hooks.parent, hooks if has_hooks else None, steps) as here:
        run = here.run()
        assert (run.state, run.counts["generations"]) == ("succeeded", 1)
        assert run.generation_id is not None
        if has_hooks:
            check_hooks(run, hooks.parent)
        assert here.names() == ["hello 1.0-1"]


def test_a_generation_that_was_not_committed_is_no_success(
    database: Database, database_url: str, tmp_path: Path, breaking: Breaking
) -> None:
    steps: dict[str, Callable[[], None]] = {}
    with filled(database, database_url, tmp_path, None, steps) as here:
        here.run()
        here.add("other")
        breaking.before = True
        steps["go_live"] = lambda: setattr(breaking, "left", 1)
        with pytest.raises(ConnectionLost):
            here.run()
        assert [state for state, _ in select(database, RUNS)] == ["succeeded", "failed"]
        assert here.names() == ["hello 1.0-1"]
        assert here.run().counts["generations"] == 1
        assert here.names() == ["hello 1.0-1", "other 1.0-1"]


def test_going_back_whose_commit_had_no_answer_is_looked_up(
    database: Database, database_url: str, tmp_path: Path, breaking: Breaking
) -> None:
    steps: dict[str, Callable[[], None]] = {}
    with filled(database, database_url, tmp_path, None, steps) as here:
        first = here.run().generation_id
        here.add("other")
        here.run()
        steps["go_live"] = lambda: setattr(breaking, "left", 1)
        assert here.hold(first).state == "live"
        assert breaking.left == 0
        assert here.names() == ["hello 1.0-1"]
        assert select(database, RUNS) == [("succeeded", None)] * 3
        # A suite that is held stays unchanged, although another run follows.
        assert here.run().state == "succeeded"
        assert here.names() == ["hello 1.0-1"]


def test_hooks_and_the_end_of_a_run_are_written_again_and_once_if_answers_are_lost(
    database: Database, database_url: str, tmp_path: Path, hooks: Path, breaking: Breaking
) -> None:
    steps = {"after": lambda: setattr(breaking, "left", 1)}
    with filled(database, database_url, tmp_path, hooks, steps) as here:
        check_hooks(here.run(), tmp_path)
        steps["begun"] = lambda: setattr(breaking, "left", 1)
        # Nothing is new: the next step is the end of the run.
        assert here.run("publish-distro").state == "succeeded"
        assert breaking.left == 0
        assert select(database, RUNS) == [("succeeded", None), ("succeeded", None)]


def test_hooks_whose_results_are_lost_leave_a_run_that_published(
    database: Database,
    database_url: str,
    tmp_path: Path,
    hooks: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    def fail(*_: Any, **__: Any) -> None:
        raise Unavailable("the database is away")

    pauses: list[float] = []
    patch_sleep(monkeypatch, pauses.append)
    monkeypatch.setattr(runs, "add_hook_run", fail)
    with filled(database, database_url, tmp_path, hooks, {}) as here:
        run = here.run()
        assert (run.state, run.error_code) == ("published_hook_failed", "hook_failed")
        assert "the database is away" in str(run.error_message)
        assert here.names() == ["hello 1.0-1"]
    # The wait for a hook also sleeps.
    assert [each for each in pauses if not 0 < each < 0.5] == [0, 0.5, 1, 2, 4]


def test_an_end_that_cannot_be_written_makes_no_failure_of_a_success(
    database: Database, database_url: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    finish, tries = runs.finish_run, iter([True] * 6)

    def away(*given: Any) -> None:
        if next(tries, False):
            raise Unavailable("the database is away")
        finish(*given)

    pauses: list[float] = []
    with filled(database, database_url, tmp_path, None, {}) as here:
        monkeypatch.setattr(runs, "finish_run", away)
        patch_sleep(monkeypatch, pauses.append)
        with pytest.raises(Unavailable):
            here.run("process-accepted")
        assert select(database, RUNS) == [("succeeded", None)]
        # After five tries, the end is tried once more alone, as that of a failed run.
        assert pauses == [0, 0.5, 1, 2, 4]
        assert here.run().state == "succeeded"
        assert here.names() == ["hello 1.0-1"]


def test_what_cannot_be_tidied_now_is_left_to_the_next_run(
    database: Database, database_url: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fail(*_: Any) -> int:
        raise Unavailable("the database is away")

    with filled(database, database_url, tmp_path, None, {}) as here:
        for name in ("one", "other"):
            here.run()
            here.add(name)
        here.run()
        time_passes(database)
        here.add("last")
        with monkeypatch.context() as patch:
            patch.setattr(generations, "reap_generations", fail)
            run = here.run()
        assert (run.state, run.error_code) == ("succeeded", None)
        assert "the next run will tidy up: the database is away" in " ".join(run.notes)
        assert here.names() == ["hello 1.0-1", "last 1.0-1", "one 1.0-1", "other 1.0-1"]
        assert here.run().counts["reaped"] == 2
