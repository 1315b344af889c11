"""Read the record of events, and set the actor of changes that are made without a lock.

No function here writes an event: the triggers of ``db/functions/staging_events.sql`` do.
"""

from collections.abc import Iterator, Mapping
from datetime import datetime
from typing import Any

from sqlalchemy import Connection, Row, func, select, text

from staging_api.db.retries import retried_when_blocked
from staging_api.db.tables import staging_events
from staging_api.staging.model import StagingEvent

_COLUMNS = [staging_events.c[name] for name in StagingEvent.__dataclass_fields__]
_ROWS_AT_ONCE = 5000
#: Limit of events that a page with filters may read.
_LOOKED_AT = 50_000


def act_as(conn: Connection, caller: str, holder: str) -> None:
    """Set the actor of this transaction, for rows that are written without a lock."""
    named = {"caller": caller, "holder": holder}
    conn.execute(_ACT_AS, named)


def events_of(conn: Connection, staging_id: str, after: int, limit: int) -> list[StagingEvent]:
    """Return the events of a staging behind number `after`, in order."""
    rows = conn.execute(
        select(*_COLUMNS)
        .where(staging_events.c.staging_id == staging_id, staging_events.c.number > after)
        .order_by(staging_events.c.number)
        .limit(limit)
    )
    return [StagingEvent(**row._mapping) for row in rows]  # noqa: SLF001 - its public name


def events_after(
    conn: Connection,
    *,
    limit: int,
    after: str | None = None,
    since: datetime | None = None,
    equal: Mapping[str, str] | None = None,
) -> tuple[list[StagingEvent], str | None]:
    """Return events of all stagings behind the id `after`, in the order of their ids.

    A reader that continues after the last event of a page gets each event exactly once: an event is
    left for the next page if one that is still in flight may precede it. `conn` must be in
    autocommit mode, so that the rows are read after the time up to which they are complete.

    Args:
        limit: limit of events.
        since: only events at or after this time.
        equal: values of columns, by name. They have no index: at most `_LOOKED_AT` events are read.

    Returns:
        the events, and the id after which to continue; None: there are no more now.
    """
    whole_until = conn.execute(_WHOLE_UNTIL).scalar_one()
    query = select(*_COLUMNS).where(staging_events.c.id < func.ulid_floor(whole_until))
    if since is not None:
        query = query.where(staging_events.c.id >= func.ulid_floor(since))
    if after is not None:
        query = query.where(staging_events.c.id > after)
    query = query.order_by(staging_events.c.id)
    last = None
    if equal:
        ids = query.with_only_columns(staging_events.c.id).offset(_LOOKED_AT).limit(1)
        last = conn.execute(ids).scalar_one_or_none()
        if last is not None:
            query = query.where(staging_events.c.id <= last)
    for column, value in (equal or {}).items():
        query = query.where(staging_events.c[column] == value)
    rows = conn.execute(query.limit(limit + 1)).all()
    found = [StagingEvent(**row._mapping) for row in rows[:limit]]  # noqa: SLF001 - its public name
    return found, found[-1].id if len(rows) > limit else last


def extend_events(conn: Connection) -> None:
    """Create the partitions of the next months; `conn` must be in autocommit mode."""
    retried_when_blocked(conn, "SELECT staging_events_extend(3)", ())


def drop_events(conn: Connection, before: datetime, reason: str) -> int:
    """Drop the partitions that ended before a time, record the reason; return the number of events.

    `conn` must be in autocommit mode.
    """
    (dropped,) = retried_when_blocked(conn, "SELECT staging_events_drop(%s, %s)", (before, reason))
    return int(dropped)


def chains(conn: Connection, since: datetime | None, until: datetime | None) -> Iterator[Row[Any]]:
    """Yield stagings made between these times with their events, by staging and number, as stored.

    A staging without events has nulls for its event, an event without its staging has nulls for the
    staging. All are of one moment; `conn` must be in a transaction, and at most a few thousand rows
    are in memory at a time.
    """
    reading = conn.execution_options(yield_per=_ROWS_AT_ONCE)
    yield from reading.execute(_CHAINS, {"since": since, "until": until})


def contradictions(
    conn: Connection, since: datetime | None, until: datetime | None
) -> list[tuple[str, str]]:
    """Return artifacts of stagings made between these times that differ from their newest event.

    Returns:
        id of the staging, and of the artifact.
    """
    rows = conn.execute(_CONTRADICTIONS, {"since": since, "until": until})
    return [(row.staging_id, row.id) for row in rows]


_ACT_AS = text("""
    SELECT set_config('staging.actor', :caller, true), set_config('staging.holder', :holder, true)
""")

_WHOLE_UNTIL = text("SELECT staging_events_whole_until()")

# Every column of an event as the text, number or null that its digest covers.
_CHAINS = text("""
    WITH bounds AS (
        SELECT coalesce(ulid_floor(CAST(:since AS timestamptz)), '') AS lowest,
            coalesce(ulid_floor(CAST(:until AS timestamptz)), 'Z') AS beyond
    ), s AS (
        SELECT id, state, events_count, events_dropped, events_digest
        FROM stagings, bounds WHERE id >= lowest AND id < beyond
    ), e AS (
        SELECT staging_events.* FROM staging_events, bounds
        WHERE staging_id >= lowest AND staging_id < beyond
    )
    SELECT coalesce(s.id, e.staging_id) AS chain, s.id AS staging, s.state, s.events_count,
        s.events_dropped, s.events_digest,
        e.id, e.staging_id, e.number,
        to_char(e.at AT TIME ZONE 'UTC', 'YYYY-MM-DD"T"HH24:MI:SS.US"Z"') AS at,
        e.kind, e.artifact_id, e.name, e.from_state, e.to_state, e.actor, e.holder, e.lock_id,
        e.fence, e.code, e.message, CAST(e.detail AS text) AS detail, e.previous_digest, e.digest,
        coalesce(e.at < CAST(:until AS timestamptz), true) AS before_end
    FROM s FULL JOIN e ON e.staging_id = s.id
    ORDER BY 1, e.number
""")

_CONTRADICTIONS = text("""
    SELECT a.staging_id, a.id
    FROM staged_artifacts a
    JOIN stagings s ON s.id = a.staging_id
    LEFT JOIN LATERAL (
        SELECT to_state, detail ->> 'sha256' AS sha256 FROM staging_events e
        WHERE e.artifact_id = a.id AND e.kind = 'artifact'
        ORDER BY e.at DESC, e.number DESC LIMIT 1
    ) newest ON true
    WHERE a.staging_id >= coalesce(ulid_floor(CAST(:since AS timestamptz)), '')
      AND a.staging_id < coalesce(ulid_floor(CAST(:until AS timestamptz)), 'Z')
      AND (newest.to_state IS DISTINCT FROM a.state
        OR a.state = 'staged' AND newest.sha256 IS DISTINCT FROM a.sha256)
      AND NOT (newest.to_state IS NULL AND s.events_dropped > 0)
    ORDER BY a.staging_id, a.id
""")
