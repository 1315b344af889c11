"""Changing the rows of stagings, whose state follows from that of their artifacts.

`settle`, `begin_staging`, `mark_cancelled` and `touch` take a connection that has passed
`locks.store.guard` in the same transaction; a request to cancel may come from anybody.
"""

from collections.abc import Mapping, Sequence
from typing import Any

from sqlalchemy import Connection, and_, case, exists, func, literal, or_, select, update
from sqlalchemy.dialects.postgresql import insert

from staging_api.db.tables import STAGING_FINAL_STATES, staged_artifacts, stagings
from staging_api.locks.model import Lease, new_id
from staging_api.staging.repository.terms import is_live, is_to_do, now, proof


def add_staging(
    conn: Connection,
    archive_url: str,
    requested: Sequence[str],
    *,
    caller: str,
    reference_id: str | None,
    upload_wait_seconds: float | None = None,
) -> str:
    """A new staging, not begun; returns its id.

    Args:
        upload_wait_seconds: how long its caller would wait for an upload, if it said so.
    """
    staging_id = new_id()
    conn.execute(
        insert(stagings).values(
            id=staging_id,
            archive_url=archive_url,
            state="queued",
            requested=list(requested),
            caller=caller,
            reference_id=reference_id,
            upload_wait_seconds=upload_wait_seconds,
        )
    )
    return staging_id


def lock_stagings(conn: Connection, archive_url: str) -> None:
    """Let nobody else change unfinished stagings of this archive, nor their artifacts' states.

    Every transaction takes these rows first, in this order, and rows of artifacts after them: so
    two never wait for each other. (Each change of an artifact writes to its staging's chain of
    events, and locks these rows for that at the latest.)
    """
    conn.execute(
        select(stagings.c.id)
        .where(stagings.c.archive_url == archive_url, stagings.c.finished_at.is_(None))
        .order_by(stagings.c.id)
        .with_for_update(key_share=True)
    ).all()


def settle(conn: Connection, archive_url: str, lease: Lease | None = None) -> None:
    """Bring every unfinished staging of the archive to the state that its artifacts are in.

    The rows are locked first: of two transactions that finish one artifact each, under locks of two
    kinds, the later one sees what the earlier one wrote.
    """
    lock_stagings(conn, archive_url)
    unfinished = and_(stagings.c.archive_url == archive_url, stagings.c.finished_at.is_(None))
    written_under = proof(lease) if lease is not None else {}
    conn.execute(
        update(stagings)
        .where(unfinished)
        .values(version=stagings.c.version + 1, **written_under, **_state_by_artifacts())
    )


def _state_by_artifacts() -> Mapping[str, Any]:
    """The columns of a staging that follow from the live rows of what it asked for."""
    mine = and_(
        staged_artifacts.c.archive_url == stagings.c.archive_url,
        staged_artifacts.c.name == func.any(stagings.c.requested),
        is_live,
    )

    def some(*which: Any) -> Any:
        return exists().where(mine, *which)

    foreground = staged_artifacts.c.phase == "foreground"
    failed = staged_artifacts.c.state == "failed"
    worked_on = some(or_(staged_artifacts.c.state != "pending", staged_artifacts.c.attempt > 0))
    state = case(
        (some(failed, foreground), literal("failed")),
        (and_(some(failed), ~some(is_to_do)), literal("failed")),
        (~some(is_to_do), literal("staged")),
        (~some(is_to_do, foreground), literal("foreground_staged")),
        (worked_on, literal("running")),
        else_=stagings.c.state,
    )

    def of_first_failure(column: Any) -> Any:
        first = select(column).where(mine, failed).order_by(staged_artifacts.c.id).limit(1)
        return func.coalesce(first.scalar_subquery(), None)

    return {
        "state": state,
        "foreground_staged_at": case(
            (some(or_(is_to_do, failed), foreground), stagings.c.foreground_staged_at),
            else_=func.coalesce(stagings.c.foreground_staged_at, now()),
        ),
        "finished_at": case((state.in_(STAGING_FINAL_STATES), now()), else_=None),
        "error_code": of_first_failure(staged_artifacts.c.error_code),
        "error_message": of_first_failure(staged_artifacts.c.error_message),
        "error_retryable": of_first_failure(staged_artifacts.c.error_retryable),
    }


def begin_staging(conn: Connection, staging_id: str) -> None:
    """Somebody works on it now."""
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
    """Ask whoever works on it to stop; does nothing to a finished one."""
    conn.execute(
        update(stagings)
        .where(stagings.c.id == staging_id, stagings.c.finished_at.is_(None))
        .values(
            cancel_requested_at=func.coalesce(stagings.c.cancel_requested_at, now()),
            version=stagings.c.version + 1,
        )
    )


def cancel_is_requested(conn: Connection, staging_id: str) -> bool:
    """Whether somebody asked to stop this staging."""
    asked = select(stagings.c.cancel_requested_at.is_not(None))
    return bool(conn.execute(asked.where(stagings.c.id == staging_id)).scalar_one())


def mark_cancelled(conn: Connection, staging_id: str) -> None:
    """Cancelled for good: nobody works on it any more."""
    conn.execute(
        update(stagings)
        .where(stagings.c.id == staging_id, stagings.c.finished_at.is_(None))
        .values(state="cancelled", finished_at=now(), version=stagings.c.version + 1)
    )


def touch(conn: Connection, archive_url: str) -> None:
    """Let those who wait for a change of this archive's stagings see one."""
    conn.execute(
        update(stagings)
        .where(stagings.c.archive_url == archive_url, stagings.c.finished_at.is_(None))
        .values(version=stagings.c.version + 1)
    )
