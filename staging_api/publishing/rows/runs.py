"""SQL statements on publisher runs: start, phases, progress, outcome, and results of hooks.

Every function that writes takes a connection on which `locks.store.guard` has been called in the
same transaction.
"""

import json
from collections.abc import Mapping
from dataclasses import asdict
from typing import Any

from sqlalchemy import Connection, Row, text

from staging_api.db.engine import plain_connection_of
from staging_api.db.plain_connection import Statements
from staging_api.errors import NotFound
from staging_api.locks.model import GLOBAL, PUBLISHER
from staging_api.publishing.hooks import HookResult
from staging_api.publishing.rows.mapping import made, moment
from staging_api.publishing.rows.steps import Writes
from staging_api.publishing.run_model import HookRun, NewPhases, NewRun, Phase, PublisherRun, RunEnd

_BEGIN = text("""
    SELECT * FROM publisher_begin(
        :operation, :purpose, :archive_id, cast(:options AS jsonb), :caller, :holder, :reference_id,
        :lock_id, :fence)
""")
_ABANDON_GENERATIONS = text(
    "UPDATE dists_generations SET state = 'abandoned' WHERE state = 'building'"
)
# A grant that its scope no longer names never returns, and no write under it is still open, because
# each change of the holder waits for these writes.
_ABANDON_DEAD = text("""
    WITH dead AS (
        UPDATE publisher_runs r
        SET state = 'abandoned', finished_at = clock_timestamp(),
            error_message = 'its process ended, or lost the lock, in the middle'
        WHERE r.state = 'running' AND NOT EXISTS (
            SELECT FROM lock_scopes l
            WHERE l.kind = :kind AND l.scope = :scope AND l.lock_id = r.lock_id)
        RETURNING r.id
    ), given_up AS (
        UPDATE dists_generations SET state = 'abandoned'
        WHERE state = 'building' AND run_id IN (SELECT id FROM dead)
    )
    SELECT id FROM dead
""")
_PHASES = ":id, :position, cast(:phases AS text[]), cast(:ages AS float8[])"
_ENTER = text(f"""
    UPDATE publisher_runs SET phase = :phase, items_done = 0, items_total = :total
    FROM publisher_phases({_PHASES}) WHERE id = :id
""")  # noqa: S608 - our own words
_PROGRESS = text(
    "UPDATE publisher_runs SET items_done = :done, items_total = :total WHERE id = :id"
)
_FINISH = text(
    f"SELECT publisher_finish({_PHASES}, :state, cast(:counts AS jsonb), cast(:notes AS text[]),"
    " :code, :message)"
)
_RUNS = """
    SELECT r.*, a.name AS archive, array(
        SELECT to_json(p) FROM run_phases p WHERE p.run_id = r.id ORDER BY p.position
    ) AS phase_rows, array(
        SELECT to_json(h) FROM hook_runs h WHERE h.run_id = r.id ORDER BY h.id
    ) AS hook_rows, (
        SELECT g.id FROM dists_generations g
        WHERE g.run_id = r.id AND g.live_at IS NOT NULL ORDER BY g.number DESC LIMIT 1
    ) AS generation_id
    FROM publisher_runs r JOIN apt_archives a ON a.id = r.archive_id
"""
_LIST = text(
    _RUNS
    + """
    WHERE r.id < :after AND (cast(:archive AS text) IS NULL OR a.name = :archive)
        AND (cast(:state AS text) IS NULL OR r.state = :state)
        AND (cast(:operation AS text) IS NULL OR r.operation = :operation)
    ORDER BY r.id DESC LIMIT :limit
"""
)
_FIND = text(_RUNS + " WHERE r.id = :id")
_OF_LOCK = text("""
    SELECT r.id, r.operation, r.purpose, a.name AS archive, r.phase, r.started_at
    FROM publisher_runs r JOIN apt_archives a ON a.id = r.archive_id
    WHERE r.lock_id = :lock_id ORDER BY r.id DESC LIMIT 1
""")
# The median of the newest ten runs of the same operation with the same `careful` option.
_TIMES = text("""
    SELECT extract(epoch FROM clock_timestamp() - r.started_at) AS elapsed, (
        SELECT percentile_cont(0.5) WITHIN GROUP (
            ORDER BY extract(epoch FROM d.finished_at - d.started_at))
        FROM (
            SELECT f.started_at, f.finished_at FROM publisher_runs f
            WHERE f.archive_id = r.archive_id AND f.operation = r.operation
              AND f.purpose IS NOT DISTINCT FROM r.purpose
              AND f.options -> 'careful' IS NOT DISTINCT FROM r.options -> 'careful'
              AND f.state IN ('succeeded', 'published_hook_failed')
            ORDER BY f.id DESC LIMIT 10) d) AS usual
    FROM publisher_runs r WHERE r.id = :id
""")
_ASYNCHRONOUS_COMMIT = text("SET LOCAL synchronous_commit = off")
_ADD_HOOK = text("""
    INSERT INTO hook_runs (run_id, stage, name, exit_code, timed_out, seconds, output)
    SELECT :run_id, :stage, :name, cast(:exit_code AS integer), :timed_out, :seconds, :output
    WHERE (SELECT count(*) FROM hook_runs h WHERE h.run_id = :run_id) = :before
""")
_AFTER_ALL = "~"  # sorts after every ULID


def begin_run(conn: Writes, new: NewRun) -> tuple[str, int]:
    """Add a run, and abandon those of dead processes; return its id and the number abandoned."""
    given = {**vars(new), "options": json.dumps(new.options)}
    run_id, dead = conn.execute(_BEGIN, given).one()
    return run_id, dead


def abandon_dead(conn: Connection) -> list[str]:
    """Abandon a run whose grant of the publisher's lock has ended, if there is one; return its id.

    This needs no lock: nothing can be written under that grant any more.
    """
    return list(conn.execute(_ABANDON_DEAD, {"kind": PUBLISHER.name, "scope": GLOBAL}).scalars())


def abandon_generations(conn: Connection) -> None:
    """Abandon generations that did not go live."""
    conn.execute(_ABANDON_GENERATIONS)


def enter_phases(conn: Connection, run_id: str, new: NewPhases) -> None:
    """Record phases that have begun since the last call; the last of them is still running."""
    last = new.phases[-1]
    conn.execute(
        _ENTER, {"id": run_id, **_new_phases(new), "phase": last.name, "total": last.total}
    )


def commit_asynchronously(conn: Connection) -> None:
    """Commit this transaction without waiting for the disk.

    Only for data that a later transaction checks again, and for the progress of a run: a crash of
    the server loses half a second of such commits.
    """
    conn.execute(_ASYNCHRONOUS_COMMIT)


def note_progress(conn: Connection, run_id: str, done: int, total: int) -> None:
    """Record the progress of the phase."""
    conn.execute(_PROGRESS, {"id": run_id, "done": done, "total": total})


def finish_run(conn: Connection, run_id: str, end: RunEnd, new: NewPhases) -> None:
    """Record the outcome of a run, with those of its phases that are not written yet."""
    given = {"id": run_id, **vars(end), "counts": json.dumps(end.counts), **_new_phases(new)}
    # The last phase ends now.
    given["ages"].append(0.0)
    plain_connection_of(conn).execute(_FINISH, given)


def add_hook_run(
    conn: Connection, run_id: str, stage: str, result: HookResult, *, before: int
) -> None:
    """Add the result of a hook; without NUL characters, which PostgreSQL cannot store.

    Args:
        conn: the connection.
        run_id: id of the run.
        stage: stage of the run in which the hook ran.
        result: result of the hook.
        before: number of results of this run added before; nothing is done if this one was added.
    """
    values = asdict(result) | {"output": result.output.replace("\0", "")}
    conn.execute(_ADD_HOOK, {"run_id": run_id, "stage": stage, "before": before, **values})


def find_run(conn: Statements, run_id: str) -> PublisherRun:
    """Return a run, with its phases and hooks.

    Raises:
        NotFound: there is no such run.
    """
    row = conn.execute(_FIND, {"id": run_id}).one_or_none()
    if row is None:
        raise NotFound(f"there is no publication {run_id}")
    return _run(row)


def list_runs(
    conn: Connection,
    *,
    limit: int,
    after: str | None = None,
    archive: str | None = None,
    state: str | None = None,
    operation: str | None = None,
) -> list[PublisherRun]:
    """List runs below `after`, newest first; of one APT archive, state or operation."""
    given = {"limit": limit, "after": after or _AFTER_ALL, "archive": archive, "state": state}
    rows = conn.execute(_LIST, {**given, "operation": operation}).all()
    return [_run(row) for row in rows]


def run_of_lock(conn: Connection, lock_id: str) -> Mapping[str, Any] | None:
    """Return the run under a grant of the lock, with the columns that a 409 response shows."""
    row = conn.execute(_OF_LOCK, {"lock_id": lock_id}).one_or_none()
    return None if row is None else dict(row._mapping)  # noqa: SLF001 - its public name


def seconds_left(conn: Connection, run_id: str) -> float | None:
    """Estimate the remaining seconds of a run by the median of the last ten like it on its archive.

    For a run that takes longer than the median: half of its time so far. None: there are no such
    runs.
    """
    row = conn.execute(_TIMES, {"id": run_id}).one_or_none()
    if row is None or row.usual is None:
        return None
    elapsed, left = float(row.elapsed), float(row.usual) - float(row.elapsed)
    return left if left > 0 else elapsed / 2


def _new_phases(new: NewPhases) -> dict[str, Any]:
    return {
        "position": new.position,
        "phases": [each.name for each in new.phases],
        "ages": [new.now - each.began_at for each in new.phases],
    }


def _run(row: Row[Any]) -> PublisherRun:
    times = ("started_at", "finished_at")
    phases = (
        made(Phase, each | {name: moment(each[name]) for name in times}) for each in row.phase_rows
    )
    hooks = (made(HookRun, each) for each in row.hook_rows)
    return made(PublisherRun, row, phases=tuple(phases), hooks=tuple(hooks))
