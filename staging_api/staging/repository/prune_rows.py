"""The rows of prunes: previewed, then executed once by an operator who gives a reason."""

from collections.abc import Sequence

from sqlalchemy import Connection, text

from staging_api.errors import NotFound
from staging_api.staging.reports import PruneRecord


def add_prune(
    conn: Connection,
    *,
    caller: str,
    idle_seconds: float,
    keep_bytes: int,
    artifact_ids: Sequence[str],
    frees_bytes: int,
) -> str:
    """Record a preview; return its id. Unused previews older than a day are deleted."""
    given = {
        "caller": caller,
        "idle": idle_seconds,
        "keep_bytes": keep_bytes,
        "ids": list(artifact_ids),
        "frees": frees_bytes,
    }
    conn.execute(_FORGET)
    return str(conn.execute(_ADD, given).scalar_one())


def find_prune(conn: Connection, prune_id: str) -> PruneRecord:
    """Return one prune.

    Raises:
        NotFound: there is no such prune, or its preview was deleted.
    """
    row = conn.execute(_FIND, {"id": prune_id}).one_or_none()
    if row is None:
        raise NotFound(f"there is no preview of a prune {prune_id}")
    return PruneRecord(*row)


def begin_prune(conn: Connection, prune_id: str, caller: str, reason: str) -> bool:
    """Record that a prune is begun; False: its preview expired, or it was begun before."""
    given = {"id": prune_id, "caller": caller, "reason": reason}
    return conn.execute(_BEGIN, given).rowcount == 1


def end_prune(conn: Connection, prune_id: str, evicted: int, freed_bytes: int) -> None:
    """Record the result of a prune."""
    conn.execute(_END, {"id": prune_id, "evicted": evicted, "freed": freed_bytes})


def list_prunes(conn: Connection, *, limit: int, after: str | None = None) -> list[PruneRecord]:
    """Return the prunes with ids below `after` that were begun, the newest first."""
    # "Z" sorts behind every ULID, whose first character is 7 at most.
    rows = conn.execute(_LIST, {"limit": limit, "after": after or "Z"})
    return [PruneRecord(*row) for row in rows]


_COLUMNS = """
    id, caller, made_at, idle_before,
    CAST(extract(epoch FROM clock_timestamp() - idle_before) AS double precision), keep_bytes,
    artifact_ids, frees_bytes, made_at + interval '1 hour',
    made_at <= clock_timestamp() - interval '1 hour', reason, begun_by, begun_at, ended_at,
    evicted, freed_bytes
"""
_FORGET = text("""
    DELETE FROM store_prunes
    WHERE begun_at IS NULL AND made_at < clock_timestamp() - interval '1 day'
""")
_ADD = text("""
    INSERT INTO store_prunes (id, caller, idle_before, keep_bytes, artifact_ids, frees_bytes)
    VALUES (ulid_of(clock_timestamp()), :caller,
        clock_timestamp() - make_interval(secs => :idle), :keep_bytes, CAST(:ids AS text[]), :frees)
    RETURNING id
""")
_FIND = text(f"SELECT {_COLUMNS} FROM store_prunes WHERE id = :id")  # noqa: S608 - a constant
_BEGIN = text("""
    UPDATE store_prunes SET reason = :reason, begun_by = :caller, begun_at = clock_timestamp()
    WHERE id = :id AND begun_at IS NULL AND made_at > clock_timestamp() - interval '1 hour'
""")
_END = text("""
    UPDATE store_prunes SET ended_at = clock_timestamp(), evicted = :evicted, freed_bytes = :freed
    WHERE id = :id
""")
_LIST = text(f"""
    SELECT {_COLUMNS} FROM store_prunes
    WHERE begun_at IS NOT NULL AND id < :after ORDER BY id DESC LIMIT :limit
""")  # noqa: S608 - a constant
