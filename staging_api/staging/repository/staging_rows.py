"""Write the rows of stagings, whose state follows from that of their artifacts.

`settle`, `begin_staging`, `mark_cancelled` and `touch` take a connection that has passed
`locks.store.guard` in the same transaction; a request to cancel needs no lock.
"""

from collections.abc import Sequence

from sqlalchemy import Connection, case, func, select, text, update
from sqlalchemy.dialects.postgresql import insert

from staging_api.db.tables import stagings
from staging_api.locks.model import Lease
from staging_api.staging.repository.terms import now, proof, ulid


def add_staging(
    conn: Connection,
    archive_url: str,
    requested: Sequence[str],
    *,
    caller: str,
    reference_id: str | None,
    upload_wait_seconds: float | None = None,
    turn_of: str | None = None,
) -> str:
    """Add a staging in state queued; return its id.

    Args:
        turn_of: the caller whose turn it uses in workers; None: its caller.
        upload_wait_seconds: how long its caller would wait for an upload; None: not specified.
    """
    added = (
        insert(stagings)
        .values(
            id=ulid(),
            archive_url=archive_url,
            state="queued",
            requested=list(requested),
            caller=caller,
            reference_id=reference_id,
            upload_wait_seconds=upload_wait_seconds,
            turn_of=turn_of,
        )
        .returning(stagings.c.id)
    )
    return str(conn.execute(added).scalar_one())


def lock_stagings(conn: Connection, archive_url: str) -> None:
    """Lock the unfinished stagings of this archive, and so the states of their artifacts.

    Every transaction locks these rows first, in this order, and rows of artifacts after them: so
    two transactions never deadlock. (Each change of an artifact writes to its staging's chain of
    events, and locks these rows for that at the latest.)
    """
    conn.execute(
        select(stagings.c.id)
        .where(stagings.c.archive_url == archive_url, stagings.c.finished_at.is_(None))
        .order_by(stagings.c.id)
        .with_for_update(key_share=True)
    ).all()


def settle(conn: Connection, archive_url: str, lease: Lease | None = None) -> None:
    """Set every unfinished staging of the archive to the state that follows from its artifacts.

    The rows are locked first: if two transactions finish one artifact each, under locks of two
    kinds, the later one sees what the earlier one wrote.
    """
    lock_stagings(conn, archive_url)
    under = dict(proof(lease)) if lease is not None else {"lock_id": None, "fence": None}
    conn.execute(_SETTLE, {"archive_url": archive_url, **under})


def begin_staging(conn: Connection, staging_id: str) -> None:
    """Record a new attempt at a staging."""
    conn.execute(
        update(stagings)
        .where(stagings.c.id == staging_id, stagings.c.finished_at.is_(None))
        .values(
            state=case((stagings.c.state == "queued", "running"), else_=stagings.c.state),
            attempt=stagings.c.attempt + 1,
            version=stagings.c.version + 1,
        )
    )


def request_cancel(conn: Connection, staging_id: str) -> None:
    """Request the cancellation of a staging; a finished one is not changed."""
    conn.execute(
        update(stagings)
        .where(stagings.c.id == staging_id, stagings.c.finished_at.is_(None))
        .values(
            cancel_requested_at=func.coalesce(stagings.c.cancel_requested_at, now()),
            version=stagings.c.version + 1,
        )
    )


def cancel_is_requested(conn: Connection, staging_id: str) -> bool:
    """Return whether a cancellation of this staging was requested."""
    query = select(stagings.c.cancel_requested_at.is_not(None))
    return bool(conn.execute(query.where(stagings.c.id == staging_id)).scalar_one())


def mark_cancelled(conn: Connection, archive_url: str, staging_id: str) -> None:
    """Mark a staging as cancelled, once no process works on it.

    Its unfinished artifacts go to another staging that requested them, to a new one for requests
    that joined it, or fail: see ``db/functions/staging_settle.sql``.
    """
    lock_stagings(conn, archive_url)
    conn.execute(
        update(stagings)
        .where(stagings.c.id == staging_id, stagings.c.finished_at.is_(None))
        .values(state="cancelled", finished_at=now(), version=stagings.c.version + 1)
    )


def note_joined(conn: Connection, staging_id: str, names: Sequence[str], caller: str) -> bool:
    """Record that a request relies on a staging for these artifacts; False: it has just ended."""
    given = {"id": staging_id, "names": list(names), "caller": caller}
    return conn.execute(_NOTE_JOINED, given).rowcount == 1


def touch(conn: Connection, archive_url: str) -> None:
    """Increment the versions of this archive's unfinished stagings, so that waiters look again."""
    conn.execute(
        update(stagings)
        .where(stagings.c.archive_url == archive_url, stagings.c.finished_at.is_(None))
        .values(version=stagings.c.version + 1)
    )


# An artifact that failed for a staging is no longer its work. The staging ends when none is left.
_SETTLE = text("""
    UPDATE stagings s SET
        version = s.version + 1,
        lock_id = coalesce(CAST(:lock_id AS text), s.lock_id),
        fence = coalesce(CAST(:fence AS bigint), s.fence),
        state = t.state,
        foreground_staged_at = coalesce(
            s.foreground_staged_at, CASE WHEN t.foreground_staged THEN clock_timestamp() END),
        finished_at = CASE WHEN t.state IN ('staged', 'failed') THEN clock_timestamp() END,
        error_code = t.failure ->> 'code',
        error_message = t.failure ->> 'message',
        error_retryable = CAST(t.failure ->> 'retryable' AS boolean)
    FROM (
        SELECT u.id, f.failure, NOT r.foreground AND NOT f.foreground AS foreground_staged,
            CASE WHEN NOT r.some AND f.failure IS NOT NULL THEN 'failed'
                WHEN NOT r.some THEN 'staged'
                WHEN NOT r.foreground AND NOT f.foreground THEN 'foreground_staged'
                WHEN r.begun OR f.failure IS NOT NULL THEN 'running'
                ELSE u.state END AS state
        FROM stagings u
        CROSS JOIN LATERAL (
            SELECT coalesce(bool_or(to_do), false) AS some,
                coalesce(bool_or(to_do AND a.phase = 'foreground'), false) AS foreground,
                bool_or(a.state <> 'pending' OR a.attempt > 0) AS begun
            FROM staged_artifacts a
            CROSS JOIN LATERAL (SELECT a.state IN ('pending', 'staging')
                AND NOT coalesce(u.failures ? a.id, false) AS to_do) mine
            WHERE a.archive_url = u.archive_url AND a.name = ANY (u.requested)
              AND a.state <> 'evicted'
        ) r
        CROSS JOIN LATERAL (
            SELECT (array_agg(value ORDER BY key COLLATE "C"))[1] AS failure,
                coalesce(bool_or(value ->> 'phase' = 'foreground'), false) AS foreground
            FROM jsonb_each(coalesce(u.failures, '{}'))
        ) f
        WHERE u.archive_url = :archive_url AND u.finished_at IS NULL
    ) t
    WHERE s.id = t.id
""")

_NOTE_JOINED = text("""
    UPDATE stagings SET
        joined = ARRAY(
            SELECT DISTINCT unnest(coalesce(joined, '{}') || CAST(:names AS text[])) ORDER BY 1),
        joined_by = coalesce(joined_by, :caller)
    WHERE id = :id AND finished_at IS NULL AND cancel_requested_at IS NULL
""")
