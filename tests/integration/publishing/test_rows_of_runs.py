"""Statements on a publisher run: only rows of that run are written and read."""

from collections.abc import Callable, Iterator, Mapping
from dataclasses import replace
from datetime import UTC, datetime
from typing import Any

import pytest
from sqlalchemy import Connection, text

from staging_api.db.engine import Database
from staging_api.errors import LockLost, NotFound, Unavailable
from staging_api.locks.model import GLOBAL, PUBLISHER, Lease
from staging_api.publishing.hooks import HookResult
from staging_api.publishing.rows import runs, uploads
from staging_api.publishing.rows.steps import RunGuard, SingleWrite
from staging_api.publishing.run_model import BegunPhase, NewPhases, NewRun, RunEnd
from tests.archive_rows import ARCHIVES, DISTS, RUNS
from tests.rows import keyed_rows, only_rows

KEYS = {
    "publisher_runs": "id",
    "run_phases": "run_id || '/' || position",
    "hook_runs": "run_id || '/' || name",
    "dists_generations": "id",
}
NEW = NewRun("publish-distro", None, 2, {}, "me", "here", None, "l9", 9)
# Begun three seconds and one second before now.
PHASES = NewPhases(2, [BegunPhase("dominate", 5, 7.0), BegunPhase("index", 8, 9.0)], 10.0)
NOW = datetime(2026, 1, 1, tzinfo=UTC)
LOCK = """
    INSERT INTO lock_scopes (kind, scope, lock_id, fence, caller, holder, acquired_at, expires_at)
    VALUES ('publisher', 'global', repeat('0', 26), 1, 'me', 'here', now(), now() + interval '1 h');
"""
LEASE = Lease("0" * 26, PUBLISHER, GLOBAL, 1, NOW, NOW, 3600.0)
STEP = RunGuard("r1", 2, is_step=True)
NO_PHASES = NewPhases(2, [], 10.0)
END = RunEnd("succeeded", {"published": 1}, ["slow"], None, None)
HOOK = HookResult("last", exit_code=1, timed_out=False, seconds=1.0, output="a\0b")


@pytest.fixture
def conn(database: Database) -> Iterator[Connection]:
    with only_rows(database, ARCHIVES + DISTS + RUNS + LOCK) as made:
        yield made


Call = Callable[[Connection], Any]
CHANGES: Mapping[str, tuple[Call, Any, set[tuple[str, str]]]] = {
    "gives up": (runs.abandon_generations, None, {("dists_generations", "one-3")}),
    "enters phases": (
        lambda c: runs.enter_phases(c, "r1", PHASES),
        None,
        {("publisher_runs", "r1"), *(("run_phases", f"r1/{n}") for n in (1, 2, 3))},
    ),
    "goes on": (lambda c: runs.note_progress(c, "r1", 1, 2), None, {("publisher_runs", "r1")}),
    "counts a step": (lambda c: STEP(c, LEASE), None, {("publisher_runs", "r1")}),
    "looks for its steps": (lambda c: RunGuard("r1", 2)(c, LEASE), None, set()),
    "writes in a step": (
        lambda c: uploads.accept(SingleWrite(c, LEASE, STEP), ["none"]),
        {},
        {("publisher_runs", "r1")},
    ),
    "ends": (
        lambda c: runs.finish_run(c, "r1", END, PHASES),
        None,
        {("publisher_runs", "r1"), *(("run_phases", f"r1/{n}") for n in (1, 2, 3))},
    ),
    "ends in its phase": (
        lambda c: runs.finish_run(c, "r1", END, NO_PHASES),
        None,
        {("publisher_runs", "r1"), ("run_phases", "r1/1")},
    ),
    "keeps a hook": (
        lambda c: runs.add_hook_run(c, "r1", "after", HOOK, before=2),
        None,
        {("hook_runs", "r1/last")},
    ),
    "keeps a hook again": (
        lambda c: runs.add_hook_run(c, "r1", "after", HOOK, before=1),
        None,
        set(),
    ),
}


@pytest.mark.parametrize("name", CHANGES)
def test_a_run_changes_only_its_own_rows(conn: Connection, name: str) -> None:
    call, expected, rows = CHANGES[name]
    before = keyed_rows(conn, KEYS)
    assert call(conn) == expected
    after = keyed_rows(conn, KEYS)
    assert {key for key in before | after if before.get(key) != after.get(key)} == rows


def test_a_run_that_begins_gets_its_id_and_abandons_those_of_dead_processes(
    conn: Connection,
) -> None:
    before = keyed_rows(conn, KEYS)
    made, dead = runs.begin_run(conn, NEW)
    after = keyed_rows(conn, KEYS)
    assert dead == 1
    assert {key for key in before | after if before.get(key) != after.get(key)} == {
        ("publisher_runs", "r1"),
        ("publisher_runs", made),
        ("dists_generations", "one-3"),
    }


def phases(conn: Connection) -> list[tuple[str, int, int | None]]:
    """Return the phases written now: begin and end, in seconds since the first one."""
    query = """
        SELECT phase, extract(epoch FROM started_at - min(started_at) OVER ())::int,
            extract(epoch FROM finished_at - min(started_at) OVER ())::int
        FROM run_phases WHERE run_id = 'r1' AND position > 1 ORDER BY position"""
    return [tuple(row) for row in conn.execute(text(query))]


def row_of(conn: Connection) -> tuple[Any, ...]:
    query = "SELECT state, phase, items_done, items_total FROM publisher_runs WHERE id = 'r1'"
    return tuple(conn.execute(text(query)).one())


def test_a_phase_ends_when_the_next_one_begins_and_the_last_one_goes_on(conn: Connection) -> None:
    runs.enter_phases(conn, "r1", PHASES)
    assert phases(conn) == [("dominate", 0, 2), ("index", 2, None)]
    assert row_of(conn) == ("running", "index", 0, 8)


def test_the_last_phase_of_a_run_ends_with_it(conn: Connection) -> None:
    runs.finish_run(conn, "r1", END, PHASES)
    assert phases(conn) == [("dominate", 0, 2), ("index", 2, 3)]
    assert row_of(conn) == ("succeeded", "index", 0, None)


WRITES: Mapping[str, Callable[[Connection, Lease, str], object]] = {
    "a transaction": lambda conn, lease, run: RunGuard(run, 2)(conn, lease),
    "a step": lambda conn, lease, run: RunGuard(run, 2, is_step=True)(conn, lease),
    "a statement": lambda conn, lease, run: uploads.accept(
        SingleWrite(conn, lease, RunGuard(run, 2, is_step=True)), ["none"]
    ),
}


@pytest.mark.parametrize("name", WRITES)
def test_a_step_that_was_lost_is_noticed_though_other_runs_have_as_many(
    conn: Connection, name: str
) -> None:
    with pytest.raises(Unavailable, match="lost writes of this run"):
        WRITES[name](conn, LEASE, "r4")


@pytest.mark.parametrize("name", WRITES)
def test_nothing_is_written_without_the_lock(conn: Connection, name: str) -> None:
    with pytest.raises(LockLost, match="the publisher lock on global is no longer held"):
        WRITES[name](conn, replace(LEASE, fence=2), "r1")


def test_a_single_write_sends_one_statement(conn: Connection) -> None:
    write = SingleWrite(conn, LEASE, STEP)
    uploads.accept(write, ["none"])
    with pytest.raises(AssertionError, match="one statement"):
        uploads.accept(write, ["none"])


def test_the_output_of_a_hook_is_kept_without_what_cannot_be_stored(conn: Connection) -> None:
    runs.add_hook_run(conn, "r1", "after", HOOK, before=2)
    assert [(each.name, each.output) for each in runs.find_run(conn, "r1").hooks] == [
        *(("one", ""), ("two", "")),
        ("last", "ab"),
    ]


def found(conn: Connection, name: str) -> tuple[Any, ...]:
    run = runs.find_run(conn, name)
    ran = [each.phase for each in run.phases], [each.name for each in run.hooks]
    return run.archive, *ran, run.generation_id


def listed(conn: Connection, limit: int = 9, **only: Any) -> list[str]:
    return [each.id for each in runs.list_runs(conn, limit=limit, **only)]


def under(conn: Connection, lock_id: str) -> tuple[str, str] | None:
    run = runs.run_of_lock(conn, lock_id)
    return (run["id"], run["archive"]) if run else None


READS: Mapping[str, tuple[Call, Any]] = {
    "a run": (lambda c: found(c, "r1"), ("one", ["accept", "publish"], ["one", "two"], None)),
    "its newest generation": (lambda c: found(c, "r2"), ("one", ["index"], ["three"], "one-2")),
    "a run of another": (lambda c: found(c, "r3"), ("two", ["release"], [], "two-2")),
    "all": (listed, ["r4", "r3", "r2", "r1"]),
    "a page": (lambda c: listed(c, 2, after="r4"), ["r3", "r2"]),
    "of an archive": (lambda c: listed(c, archive="one"), ["r2", "r1"]),
    "in a state": (lambda c: listed(c, state="running"), ["r1"]),
    "of an operation": (lambda c: listed(c, operation="publish-ftpmaster"), ["r3"]),
    "the newest of a lock": (lambda c: under(c, "l2"), ("r3", "two")),
    "of a lock": (lambda c: under(c, "l1"), ("r1", "one")),
    "of no lock": (lambda c: under(c, "l0"), None),
    "seconds left of no run": (lambda c: runs.seconds_left(c, "r0"), None),
}


def test_a_query_reads_only_rows_of_its_run(conn: Connection) -> None:
    answers = {name: call(conn) for name, (call, _) in READS.items()}
    assert answers == {name: expected for name, (_, expected) in READS.items()}
    with pytest.raises(NotFound, match="there is no publication r0"):
        runs.find_run(conn, "r0")


# Newer than all runs similar to the current one: ten of each other kind.
OTHER_TIMES = """
    INSERT INTO publisher_runs (id, operation, archive_id, options, state, caller, holder, lock_id,
        fence, started_at, finished_at, purpose, error_code)
    SELECT 's' || lpad(n::text, 2, '0'), 'publish-distro', 1, '{}', 'succeeded', 'me', 'here',
        'l1', 1, 'epoch'::timestamptz, 'epoch'::timestamptz
        + make_interval(secs => CASE WHEN n > 5 THEN 12000 ELSE 8000 END), NULL, NULL
    FROM generate_series(0, 10) n
    UNION ALL
    SELECT 'z' || place || n, operation, archive, options::jsonb, state, 'me', 'here', 'l1', 1,
        'epoch'::timestamptz, 'epoch'::timestamptz + interval '100000 s', purpose,
        CASE WHEN state = 'failed' THEN 'bad' END
    FROM generate_series(0, 9) n, (VALUES (1, 'publish-distro', 2, '{}', 'succeeded', NULL),
        (2, 'publish-ftpmaster', 1, '{}', 'succeeded', NULL),
        (3, 'publish-distro', 1, '{"careful": true}', 'succeeded', NULL),
        (4, 'publish-distro', 1, '{}', 'failed', NULL),
        (5, 'publish-distro', 1, '{}', 'succeeded', 'renewal'))
        AS made (place, operation, archive, options, state, purpose);
"""


def test_the_time_left_is_by_the_median_of_the_newest_ten_of_its_kind(conn: Connection) -> None:
    conn.exec_driver_sql(OTHER_TIMES)
    left = runs.seconds_left(conn, "r1")
    assert left is not None
    assert round(left, -2) == 9000


@pytest.mark.parametrize(
    ("condition", "found_by"),
    [("run_id = 'x'", "Index Cond: (run_id"), ("state = 'building'", "generations_building_idx")],
)
def test_a_run_reads_its_own_generations_not_all_that_ever_were(
    database: Database, condition: str, found_by: str
) -> None:
    with database.begin() as conn:
        conn.execute(text("SET LOCAL enable_seqscan = off"))
        asked = text(f"EXPLAIN SELECT id FROM dists_generations WHERE {condition}")
        assert found_by in "\n".join(conn.execute(asked).scalars())
