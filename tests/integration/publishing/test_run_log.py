"""Progress of a run: its texts, and the number of its writes."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from itertools import pairwise
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from sqlalchemy import Connection, event

from staging_api.db import engine
from staging_api.db.engine import Database
from staging_api.db.read_connections import ReadConnections
from staging_api.debian.forms import Form
from staging_api.errors import HookFailed, LockLost, Unavailable
from staging_api.locks.hold import holding
from staging_api.locks.model import GLOBAL, PUBLISHER, Lease, new_id
from staging_api.publishing import phases, runlog
from staging_api.publishing import runs as found_runs
from staging_api.publishing.renewal import Renewal
from staging_api.publishing.rows import apt_archives, generations, runs, uploads
from staging_api.publishing.rows.steps import RunGuard
from staging_api.publishing.run_model import Options
from staging_api.publishing.runlog import RunLog
from staging_api.publishing.runs import PublisherRuns
from staging_api.vocabulary.publishing import Operation
from tests.factories import ORIGIN
from tests.packages import control_text, deb
from tests.publisher import Shop, shop, time_passes
from tests.rows import execute, select

#: Maximum number of statements, with acquiring and releasing the lock: of a run with nothing to
#: do, of a run that publishes one package, and of the upload of that package.
NOTHING_NEW, ONE_PACKAGE, ONE_UPLOAD = 11, 25, 6
ALL_PHASES = ["accept", "publish", "dominate", "index", "release", "go_live"]


@pytest.fixture
def bare(database: Database, database_url: str, tmp_path: Path) -> Iterator[Shop]:
    with shop(database, database_url, tmp_path) as made:
        made.set_up()
        yield made


@pytest.fixture
def here(bare: Shop) -> Shop:
    bare.run()
    return bare


@pytest.fixture
def _quick(monkeypatch: pytest.MonkeyPatch) -> None:
    """Raise the interval of writes, so that a phase on a busy machine does not cause one."""
    monkeypatch.setattr(runlog, "_WRITE_SECONDS", 3600.0)


@dataclass
class Sent:
    """Statements sent to the database.

    Attributes:
        statements: all but those that begin and end a transaction.
        transactions: number of committed transactions that had several statements.
    """

    statements: list[str] = field(default_factory=list)
    transactions: int = 0


@contextmanager
def sent_to(database: Database, monkeypatch: pytest.MonkeyPatch) -> Iterator[Sent]:
    """Count the statements sent, through SQLAlchemy and past it."""
    sent = Sent()

    def noted(send: Callable[[Any, str, Any], Any]) -> Callable[[Any, str, Any], Any]:
        def counting(conn: Any, statement: str, given: Any) -> Any:
            sent.statements.append(statement)
            return send(conn, statement, given)

        return counting

    def note(_conn: object, _cursor: object, statement: str, *_: object) -> None:
        sent.statements.append(statement)

    def committed(_conn: object) -> None:
        sent.transactions += 1

    with monkeypatch.context() as patch:
        patch.setattr(engine, "named_rows", noted(engine.named_rows))
        patch.setattr(ReadConnections, "named_rows", noted(ReadConnections.named_rows))
        for each in database.engines:
            event.listen(each, "before_cursor_execute", note)
        event.listen(database.transactions, "commit", committed)
        yield sent
        for each in database.engines:
            event.remove(each, "before_cursor_execute", note)
        event.remove(database.transactions, "commit", committed)


def test_each_phase_of_a_run_begins_where_the_one_before_ended(here: Shop) -> None:
    here.add("hello")
    steps: list[str] = []
    here.publisher = replace(here.publisher, reached=steps.append)
    run = here.run()
    assert [phase.phase for phase in run.phases] == ALL_PHASES
    assert steps == ["begun", *ALL_PHASES, "live"]
    for before, after in pairwise(run.phases):
        assert before.started_at <= after.started_at == before.finished_at
    last = run.phases[-1]
    assert last.finished_at is not None
    assert run.finished_at is not None
    assert run.started_at <= run.phases[0].started_at
    assert last.finished_at <= run.finished_at


@pytest.mark.parametrize("write_seconds", [0.0, 3600.0], ids=["one by one", "together"])
def test_the_phases_of_each_run_are_numbered_from_0(
    here: Shop, monkeypatch: pytest.MonkeyPatch, write_seconds: float
) -> None:
    monkeypatch.setattr(runlog, "_WRITE_SECONDS", write_seconds)
    for name in ("hello", "world"):
        here.add(name)
        run = here.run()
        places = "SELECT position, phase FROM run_phases WHERE run_id = :id ORDER BY position"
        assert select(here.database, places, id=run.id) == list(enumerate(ALL_PHASES))


def written(database: Database) -> list[tuple[str, list[str], int]]:
    """Return the running run's phase, all its phases so far, and the number of open ones."""
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
def test_a_run_with_nothing_new_writes_that_it_began_and_how_it_ended(
    here: Shop, monkeypatch: pytest.MonkeyPatch
) -> None:
    with sent_to(here.database, monkeypatch) as sent:
        here.run()
    assert sent.transactions == 1
    assert len(sent.statements) <= NOTHING_NEW, sent.statements


@pytest.mark.usefixtures("_quick")
def test_publishing_one_package_takes_few_statements_and_one_transaction_of_several(
    here: Shop, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Going live also ends the run; acceptance, publishing and superseding are a write each."""
    here.add("hello")
    here.run()
    for version in ("1.0", "2.0"):
        with sent_to(here.database, monkeypatch) as sent:
            here.add("world", version=version)
        assert len(sent.statements) <= ONE_UPLOAD, sent.statements
        # The presence of the contents in the store is checked again where the rows are written.
        naming = ["synchronous_commit" in each for each in sent.statements if "INTO blobs" in each]
        assert naming == [True, False]
        with sent_to(here.database, monkeypatch) as sent:
            here.run()
        assert sent.transactions == 1
        assert len(sent.statements) <= ONE_PACKAGE, sent.statements


@pytest.mark.usefixtures("_quick")
def test_a_renewal_ends_with_what_goes_live_unless_something_is_left_to_tidy(
    here: Shop, monkeypatch: pytest.MonkeyPatch
) -> None:
    here.change(valid_for_seconds=3600)
    here.run()
    for writes in (1, 2):
        execute(here.database, "UPDATE release_files SET valid_until = clock_timestamp()")
        with sent_to(here.database, monkeypatch) as sent:
            run = here.publisher.renew(here.name, ORIGIN)
        assert run
        assert (run.state, sent.transactions) == ("succeeded", writes)
        time_passes(here.database)


@pytest.mark.parametrize("operation", ["publish-ftpmaster", "publish-distro"])
def test_going_live_as_the_last_step_also_ends_the_run(here: Shop, operation: Operation) -> None:
    under_way: list[list[Any]] = []

    def reached(step: str) -> None:
        if step == "live":
            under_way.append(
                select(here.database, "SELECT id FROM publisher_runs WHERE finished_at IS NULL")
            )

    here.add("hello")
    here.run("process-accepted")
    here.publisher = replace(here.publisher, reached=reached)
    assert here.run(operation).counts["generations"] == 1
    assert under_way == [[]]


@pytest.mark.usefixtures("_quick")
def test_the_statements_of_a_run_do_not_count_its_packages_or_suites(
    here: Shop, monkeypatch: pytest.MonkeyPatch
) -> None:
    here.change(forms=["gz"])
    with here.database.begin() as conn:
        for name in ("testing", "unstable"):
            parts = {"components": ["main"], "architectures": ["amd64", "arm64"]}
            apt_archives.add_suite(conn, here.archive, {"name": name, "codename": name, **parts})
    here.run()
    for suite in ("stable", "testing", "unstable"):
        raws = (deb(control_text(f"p{n}", "1.0", "all"), Form.GZ) for n in range(20))
        here.upload(*raws, suite=suite)
    with sent_to(here.database, monkeypatch) as sent:
        run = here.run()
    assert run.counts["published"] == 60
    assert len(sent.statements) <= ONE_PACKAGE, sent.statements


def test_progress_is_noted_after_each_step_of_many_items(
    here: Shop, monkeypatch: pytest.MonkeyPatch
) -> None:
    noted: list[tuple[int, int]] = []
    monkeypatch.setattr(runlog, "_WRITE_SECONDS", 0.0)
    monkeypatch.setattr(runs, "note_progress", lambda _conn, _id, *given: noted.append(given))
    monkeypatch.setattr(phases, "_ACCEPTED_AT_ONCE", 2)
    monkeypatch.setattr(phases, "_PUBLISHED_AT_ONCE", 2)
    here.add("aa", "bb", "cc")
    here.run()
    assert noted == [(2, 3), (3, 3)] * 2


def test_the_search_for_the_run_of_a_lock_gives_up_after_two_seconds(
    database: Database, monkeypatch: pytest.MonkeyPatch
) -> None:
    now = [0.0]

    def wait(seconds: float) -> None:
        now[0] += seconds

    def look() -> float:
        # Also ends a loop that does not wait.
        now[0] += 0.001
        return now[0]

    asked: list[str] = []
    monkeypatch.setattr(found_runs, "time", SimpleNamespace(monotonic=look, sleep=wait))
    monkeypatch.setattr(runs, "run_of_lock", lambda _conn, lock_id: asked.append(lock_id))
    assert PublisherRuns(database).running_under("nobody") is None
    assert 90 < len(asked) <= 100
    assert set(asked) == {"nobody"}


def test_progress_is_written_to_its_run_alone(here: Shop) -> None:
    here.run()
    found = select(here.database, "SELECT id FROM publisher_runs ORDER BY id")
    one, *others = (row[0] for row in found)
    assert others
    with here.database.begin() as conn:
        runs.note_progress(conn, one, 3, 7)
    shown = select(here.database, "SELECT id, items_done, items_total FROM publisher_runs")
    assert sorted(shown) == [(one, 3, 7), *((each, 0, None) for each in others)]


@contextmanager
def begun(shop: Shop) -> Iterator[RunLog]:
    """Yield a run that does the test's work, under the publisher's lock."""
    locks = shop.publisher.locks
    with holding(locks, PUBLISHER, GLOBAL, ORIGIN) as held:
        yield RunLog.begin(
            locks,
            held,
            operation="publish-distro",
            apt_archive=shop.archive,
            options=Options(),
            origin=ORIGIN,
            reached=lambda _step: None,
        )


def test_a_worker_abandons_a_run_whose_lock_is_gone_and_no_other(
    here: Shop, caplog: pytest.LogCaptureFixture
) -> None:
    here.add("hello")
    done = here.run()
    renewal = Renewal(here.publisher)
    newest = "SELECT id, state FROM publisher_runs ORDER BY id DESC LIMIT 2"
    generation = "SELECT state FROM dists_generations ORDER BY number DESC LIMIT 2"
    with begun(here) as run:
        with run.writing() as conn:
            generations.begin_generation(conn, new_id(), here.archive.id, run.id)
        renewal.once()
        assert select(here.database, newest) == [(run.id, "running"), (done.id, "succeeded")]
        assert select(here.database, generation) == [("building",), ("live",)]
    caplog.clear()
    renewal.once()
    dead = here.publisher.runs.find(run.id)
    assert (dead.state, dead.finished_at is None) == ("abandoned", False)
    assert dead.error_message is not None
    assert [record.getMessage() for record in caplog.records] == [
        f"publication {run.id} was abandoned: its process ended, or lost the lock"
    ]
    assert select(here.database, generation) == [("abandoned",), ("live",)]
    assert here.publisher.runs.find(done.id) == done


def accept_nothing(run: RunLog) -> None:
    with run.single_step() as step:
        uploads.accept(step, ["none"])


LOST_STEP = "UPDATE publisher_runs SET steps = steps - 1 WHERE state = 'running'"
LOST_ROW = "DELETE FROM publisher_runs WHERE state = 'running'"


@pytest.mark.parametrize(
    ("writes", "lost"),
    [("", LOST_ROW), ("s", LOST_STEP), ("ss", LOST_STEP), ("sws", LOST_STEP)],
    ids=["begun", "a step", "steps", "a step after a write"],
)
def test_no_write_goes_on_after_one_that_a_crash_lost(bare: Shop, writes: str, lost: str) -> None:
    """As if PostgreSQL had restarted without the writes that were not yet on disk."""
    with begun(bare) as run:
        for write in writes:
            with run.step() if write == "s" else run.writing():
                pass
        execute(bare.database, lost)
        for again in (run.writing, run.step):
            with pytest.raises(Unavailable, match="lost writes of this run"), again():
                raise AssertionError("it goes on")
        with pytest.raises(Unavailable, match="lost writes of this run"):
            accept_nothing(run)


def test_what_is_on_disk_is_not_looked_for_again(
    bare: Shop, monkeypatch: pytest.MonkeyPatch
) -> None:
    looked_for: list[object] = []
    check = RunGuard.__call__

    def note(guard: RunGuard, conn: Connection, lease: Lease) -> None:
        looked_for.append(guard.steps)
        check(guard, conn, lease)

    monkeypatch.setattr(RunGuard, "__call__", note)
    with begun(bare) as run:
        for writing in (run.writing, run.writing, run.step, run.writing, run.writing):
            with writing():
                pass
    assert looked_for == [0, None, 0, 1, None]


def test_a_single_step_without_a_statement_is_refused(bare: Shop) -> None:
    with (
        begun(bare) as run,
        pytest.raises(AssertionError, match="one statement"),
        run.single_step(),
    ):
        pass


def row_of(run: RunLog) -> tuple[str | None, int, int | None]:
    with run.database.connect() as conn:
        found = runs.find_run(conn, run.id)
    return found.phase, found.items_done, found.items_total


def test_progress_is_written_with_the_phase_when_it_is_time(
    bare: Shop, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(runlog, "_WRITE_SECONDS", 3600.0)
    with begun(bare) as run:
        run.phase("accept", 7)
        run.progress(1, 7)
        assert row_of(run) == (None, 0, None)
        monkeypatch.setattr(runlog, "_WRITE_SECONDS", 0.0)
        run.progress(2, 7)
        assert row_of(run) == ("accept", 2, 7)
        run.progress(3, 7)
        assert row_of(run) == ("accept", 3, 7)
        monkeypatch.setattr(runlog, "_WRITE_SECONDS", 3600.0)
        run.progress(4, 7)
        assert row_of(run) == ("accept", 3, 7)
    with pytest.raises(LockLost):
        run.progress(5, 7)


def test_a_phase_and_its_progress_do_not_wait_for_the_disk(
    bare: Shop, monkeypatch: pytest.MonkeyPatch
) -> None:
    asynchronous = "SET LOCAL synchronous_commit = off"
    with begun(bare) as run, sent_to(bare.database, monkeypatch) as sent:
        run.phase("index", lasting=True)
        assert sent.statements.count(asynchronous) == 1
        monkeypatch.setattr(runlog, "_WRITE_SECONDS", 0.0)
        run.progress(1, 2)
        assert sent.statements.count(asynchronous) == 2
        run.finish()
    assert sent.statements.count(asynchronous) == 2


def test_a_run_keeps_each_note_once_and_says_of_the_one_before_that_it_died(
    here: Shop, caplog: pytest.LogCaptureFixture
) -> None:
    with begun(here):
        pass
    notes = [here.run().notes for _ in range(2)]
    assert [len(each) for each in notes] == [1, 0]
    assert "the previous run ended unexpectedly" in notes[0][0]
    with begun(here) as run:
        for text in ("one", "other", "one"):
            run.note(text)
        run.finish()
    with here.database.connect() as conn:
        assert runs.find_run(conn, run.id).notes == ("one", "other")
    said = [record.getMessage() for record in caplog.records if run.id in record.message]
    assert said == [f"publication {run.id}: one", f"publication {run.id}: other"]


ENDS = [
    (None, "succeeded", None, None),
    (HookFailed("no"), "published_hook_failed", "hook_failed", "no"),
    (Unavailable("away"), "failed", "unavailable", "away"),
    (ZeroDivisionError("secret"), "failed", "internal_error", "ZeroDivisionError"),
]


def test_a_run_ends_with_its_error_and_gives_up_what_did_not_go_live(here: Shop) -> None:
    for error, state, code, message in ENDS:
        generation = new_id()
        with begun(here) as run:
            with run.writing() as conn:
                generations.begin_generation(conn, generation, here.archive.id, run.id)
            if error is None or isinstance(error, HookFailed):
                run.finish(error)
            else:
                run.fail(error)
        with here.database.connect() as conn:
            found = runs.find_run(conn, run.id)
        assert (found.state, found.error_code, found.error_message) == (state, code, message)
        rows = select(here.database, "SELECT id, state FROM dists_generations ORDER BY number")
        assert rows[0][1] == "live"
        assert rows[-1] == (generation, "abandoned" if error else "building")
