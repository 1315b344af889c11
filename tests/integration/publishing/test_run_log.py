"""What a run says of itself, and how often it writes to say it."""

from collections.abc import Iterator
from contextlib import contextmanager
from itertools import pairwise
from pathlib import Path

import pytest
from sqlalchemy import event

from staging_api.db.engine import Database
from staging_api.publishing import runlog
from tests.publisher import Shop, shop
from tests.rows import select

ALL_PHASES = ["accept", "publish", "dominate", "index", "release", "go_live", "tidy"]


@pytest.fixture
def here(database: Database, database_url: str, tmp_path: Path) -> Iterator[Shop]:
    with shop(database, database_url, tmp_path) as made:
        made.set_up()
        made.run()
        yield made


@pytest.fixture
def _quick(monkeypatch: pytest.MonkeyPatch) -> None:
    """However busy the machine is, no phase lasts so long that it has to be written by itself."""
    monkeypatch.setattr(runlog, "_WRITE_SECONDS", 3600.0)


@contextmanager
def commits(database: Database) -> Iterator[list[object]]:
    """Fills with one object a transaction."""
    found: list[object] = []
    note = found.append
    event.listen(database.transactions, "commit", note)
    yield found
    event.remove(database.transactions, "commit", note)


def test_each_phase_of_a_run_begins_where_the_one_before_ended(here: Shop) -> None:
    here.add("hello")
    run = here.run()
    assert [phase.phase for phase in run.phases] == ALL_PHASES
    for before, after in pairwise(run.phases):
        assert before.started_at <= after.started_at == before.finished_at
    last = run.phases[-1]
    assert last.finished_at is not None
    assert run.finished_at is not None
    assert run.started_at <= run.phases[0].started_at
    assert last.finished_at <= run.finished_at


def written(database: Database) -> list[tuple[str, list[str], int]]:
    """The phase, all phases so far, and how many of them go on, of the run that runs."""
    query = """
        SELECT r.phase, array_agg(p.phase ORDER BY p.position), count(*) - count(p.finished_at)
        FROM publisher_runs r JOIN run_phases p ON p.run_id = r.id
        WHERE r.state = 'running' GROUP BY r.phase
    """
    return [(phase, phases, going_on) for phase, phases, going_on in select(database, query)]


def test_a_lasting_phase_is_written_when_it_begins(
    database: Database, database_url: str, tmp_path: Path
) -> None:
    seen: dict[str, list[tuple[str, list[str], int]]] = {}

    def look(step: str) -> None:
        seen[step] = written(database)

    hooks = tmp_path / "hooks"
    with shop(database, database_url, tmp_path, reached=look, hooks=hooks) as here:
        here.set_up()
        here.run()
    assert seen["index"] == [("index", ALL_PHASES[:4], 1)]
    assert seen["before"] == [("before", [*ALL_PHASES[:5], "before"], 1)]


def test_a_slow_run_writes_each_phase_when_it_begins(
    database: Database, database_url: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(runlog, "_WRITE_SECONDS", 0.0)
    now: dict[str, str] = {}

    def look(step: str) -> None:
        if step in ALL_PHASES:
            now[step] = written(database)[0][0]

    with shop(database, database_url, tmp_path, reached=look) as here:
        here.set_up()
        here.add("hello")
        run = here.run()
    assert now == {phase: phase for phase in ALL_PHASES}
    assert [phase.phase for phase in run.phases] == ALL_PHASES


@pytest.mark.usefixtures("_quick")
def test_a_run_with_nothing_new_writes_that_it_began_and_how_it_ended(here: Shop) -> None:
    with commits(here.database) as found:
        here.run()
    assert len(found) == 2


@pytest.mark.usefixtures("_quick")
def test_publishing_one_package_takes_five_writes(
    here: Shop,
) -> None:
    """Begun, accepted, published, gone live, ended; and an older version outdone."""
    here.add("hello")
    here.run()
    for name, version, writes in (("world", "1.0", 5), ("world", "2.0", 6)):
        here.add(name, version=version)
        with commits(here.database) as found:
            here.run()
        assert len(found) == writes
