"""Count reads, and protect artifacts that are being read from eviction."""

from collections.abc import Mapping

from sqlalchemy import Connection, text


def note_accesses(conn: Connection, accesses: Mapping[tuple[str, str], tuple[int, int]]) -> None:
    """Record hits and bytes by artifact and caller."""
    # Sorted, so that two processes that count the same artifacts never deadlock.
    keys = sorted(accesses)
    given = {
        "ids": [artifact_id for artifact_id, _ in keys],
        "callers": [caller for _, caller in keys],
        "hits": [accesses[key][0] for key in keys],
        "bytes": [accesses[key][1] for key in keys],
    }
    conn.execute(_TOUCH_ACCESSED, given)
    conn.execute(_NOTE_ACCESSES, given)


def note_hand_out(conn: Connection, artifact_id: str) -> bool:
    """Record that an artifact is read now; return whether it is still staged.

    The statement waits for a concurrent eviction, and sees its result.
    """
    return conn.execute(_HAND_OUT, {"id": artifact_id}).rowcount == 1


# Artifacts that another transaction is changing keep their old time: this never waits.
_TOUCH_ACCESSED = text("""
    UPDATE staged_artifacts SET last_accessed_at = clock_timestamp()
    WHERE id IN (
        SELECT id FROM staged_artifacts WHERE id = ANY (CAST(:ids AS text[]))
        FOR NO KEY UPDATE SKIP LOCKED)
""")

_NOTE_ACCESSES = text("""
    INSERT INTO artifact_accesses AS a (artifact_id, day, caller, hits, bytes)
    SELECT n.artifact_id, CAST(clock_timestamp() AT TIME ZONE 'UTC' AS date), n.caller, n.hits,
        n.bytes
    FROM unnest(CAST(:ids AS text[]), CAST(:callers AS text[]), CAST(:hits AS bigint[]),
        CAST(:bytes AS bigint[])) AS n (artifact_id, caller, hits, bytes)
    ON CONFLICT (artifact_id, day, caller) DO UPDATE
    SET hits = a.hits + excluded.hits, bytes = a.bytes + excluded.bytes
""")

# After waiting for an eviction, PostgreSQL evaluates the WHERE again on the changed row, which is
# no longer ``staged``: then no row is updated.
_HAND_OUT = text("""
    UPDATE staged_artifacts SET last_accessed_at = clock_timestamp()
    WHERE id = :id AND state = 'staged'
""")
