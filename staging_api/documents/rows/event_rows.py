"""SQL statements on the record of document changes; only triggers write the record."""

from collections.abc import Iterator
from datetime import datetime
from typing import Any

from sqlalchemy import Connection, Row, text

_ROWS_AT_ONCE = 2000

# Each column in the form (text, number or null) that the digest covers.
_EVENTS = text("""
    SELECT number, id, to_char(at AT TIME ZONE 'UTC', 'YYYY-MM-DD"T"HH24:MI:SS.US"Z"') AS at,
        kind, revision, name, actor, holder, reference_id, lock_id, fence, reason,
        detail::text AS detail, previous_digest, digest,
        CAST(:until AS timestamptz) IS NULL OR at < :until AS before_end
    FROM document_events ORDER BY number
""")

_CONTRADICTIONS = text("""
    SELECT coalesce(r.number, e.revision) AS revision,
        CASE WHEN e.number IS NULL THEN 'it has no event, not even that it was made'
            WHEN r.number IS NULL THEN 'its row is gone, its events are here'
            ELSE 'it is not as its event says' END AS what
    FROM document_revisions r
    FULL JOIN (SELECT * FROM document_events WHERE kind = 'revision') e ON e.revision = r.number
    WHERE r.number IS NULL OR e.number IS NULL
        OR (r.kind, r.digest, r.caller, r.lock_id, r.fence) IS DISTINCT FROM
            (e.detail ->> 'kind', e.detail ->> 'digest', e.actor, e.lock_id, e.fence)
    UNION ALL
    SELECT coalesce(c.revision, e.revision),
        CASE WHEN e.number IS NULL THEN 'its commit has no event'
            WHEN c.revision IS NULL THEN 'its commit is gone, the event of it is here'
            ELSE 'its commit is not as its event says' END
    FROM document_commits c
    FULL JOIN (SELECT * FROM document_events WHERE kind = 'commit') e ON e.revision = c.revision
    WHERE c.revision IS NULL OR e.number IS NULL
        OR (c.caller, c.lock_id, c.fence) IS DISTINCT FROM (e.actor, e.lock_id, e.fence)
    ORDER BY 1, 2
""")


def events(conn: Connection, until: datetime | None) -> Iterator[Row[Any]]:
    """Yield all events in order, with whether each is older than `until`, in batches of rows."""
    # Use a server-side cursor, because the whole record may not fit into memory.
    reading = conn.execution_options(yield_per=_ROWS_AT_ONCE)
    yield from reading.execute(_EVENTS, {"until": until})


def contradictions(conn: Connection) -> list[tuple[int, str]]:
    """Return the revisions that differ from their events, with a description."""
    return [(row.revision, row.what) for row in conn.execute(_CONTRADICTIONS)]
