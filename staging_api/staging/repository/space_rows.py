"""The space of the store: used, reserved, and freed by an eviction. Counted only here.

The **used** space is the sum of all rows of ``blobs`` in the ledger, including those marked for
deletion: the bytes that the disk or bucket really holds. The quota limits used and reserved space
together; metrics show the same sums.
"""

from collections.abc import Sequence
from dataclasses import dataclass

from sqlalchemy import Connection, delete, func, select, text

from staging_api.db.store_tables import upload_reservations
from staging_api.locks.model import Lease


@dataclass(frozen=True)
class EvictableArtifact:
    """A staged artifact that may be evicted."""

    id: str
    archive_url: str
    lock_kind: str
    name: str
    size_bytes: int


@dataclass(frozen=True)
class StoreSpace:
    """The used and reserved space of the store, in bytes.

    Attributes:
        used: bytes of all blobs, each counted once.
        garbage: bytes of the blobs marked for deletion, included in `used`.
        reserved: bytes for artifacts and uploads in progress, in addition to the used bytes.
    """

    used: int
    garbage: int
    reserved: int

    @property
    def staying(self) -> int:
        """The space used after garbage collection."""
        return self.used - self.garbage


@dataclass(frozen=True)
class EvictionShare:
    """The contribution of one artifact to the free space if several are evicted.

    Attributes:
        frees: bytes freed with this artifact, once all before it in the order are evicted.
        holds: bytes kept if only this artifact stays, and all others are evicted.
    """

    frees: int
    holds: int


def idle_artifacts(
    conn: Connection, idle_seconds: float, sparing: str | None, limit: int
) -> list[EvictableArtifact]:
    """Return unpinned staged artifacts not read for `idle_seconds`, the idlest first.

    Artifacts without bytes are left out: evicting them frees nothing.

    Args:
        sparing: archive whose artifacts are left out.
    """
    given = {"idle": idle_seconds, "sparing": sparing, "limit": limit}
    return [EvictableArtifact(*row) for row in conn.execute(_IDLE, given)]


def shares(conn: Connection, artifact_ids: Sequence[str]) -> list[EvictionShare]:
    """Return the share of each of these artifacts if they are evicted in this order.

    A content that other builds or pools name as well is never freed.
    """
    given = {"ids": list(artifact_ids)}
    return [EvictionShare(int(row.frees), int(row.holds)) for row in conn.execute(_SHARES, given)]


def reserve(conn: Connection, artifact_id: str, lease: Lease, count: int, quota: int) -> int:
    """Reserve `count` bytes in all for an artifact; return how many are lacking, or 0."""
    given = {
        "artifact_id": artifact_id,
        "kind": lease.kind.name,
        "scope": lease.scope,
        "lock_id": lease.id,
        "fence": lease.fence,
        "bytes": count,
        "quota": quota,
    }
    return int(conn.execute(_RESERVE, given).scalar_one())


def reserve_upload(
    conn: Connection, upload_id: str, count: int, quota: int, for_seconds: float
) -> int:
    """Reserve `count` bytes in all for an upload, for a time; return how many are lacking."""
    given = {"id": upload_id, "bytes": count, "quota": quota, "seconds": for_seconds}
    return int(conn.execute(_RESERVE_UPLOAD, given).scalar_one())


def release_upload(conn: Connection, upload_id: str) -> None:
    """Release the space that was reserved for an upload."""
    conn.execute(delete(upload_reservations).where(upload_reservations.c.id == upload_id))


def space(conn: Connection) -> StoreSpace:
    """Return how full the store is."""
    row = conn.execute(_SPACE).one()
    return StoreSpace(row.used, row.doomed, row.reserved)


def forget_dead_reservations(conn: Connection) -> int:
    """Delete the reservations whose leases have ended; return their number."""
    return conn.execute(_FORGET_DEAD).rowcount


def compact_ledger(conn: Connection) -> None:
    """Sum up the lines of the ledger."""
    conn.execute(select(func.store_ledger_compact()))


_IDLE = text("""
    SELECT id, archive_url, lock_kind, name, size_bytes FROM staged_artifacts a
    WHERE state = 'staged' AND size_bytes > 0
      -- An unfinished staging that requested it would stage it again.
      AND NOT EXISTS (
          SELECT FROM stagings s
          WHERE s.archive_url = a.archive_url AND s.finished_at IS NULL
            AND a.name = ANY (s.requested))
      AND coalesce(last_accessed_at, staged_at) <= clock_timestamp() - make_interval(secs => :idle)
      AND (pinned_until IS NULL OR pinned_until <= clock_timestamp())
      AND archive_url IS DISTINCT FROM CAST(:sparing AS text)
    ORDER BY coalesce(last_accessed_at, staged_at), id
    LIMIT :limit
""")

# A content is freed if the chosen artifacts have all of its names. It is counted for the last of
# them in the order: only then is the last name deleted.
_SHARES = text("""
    WITH chosen AS (
        SELECT id, place FROM unnest(CAST(:ids AS text[])) WITH ORDINALITY AS c (id, place)),
    named AS (
        SELECT f.artifact_id, f.sha256, c.place, count(*) AS names
        FROM artifact_blobs f JOIN chosen c ON c.id = f.artifact_id
        GROUP BY f.artifact_id, f.sha256, c.place),
    contents AS (
        SELECT sha256, max(place) AS last, sum(names) AS names FROM named GROUP BY sha256),
    freed AS (
        SELECT k.sha256, k.last, b.size_bytes
        FROM contents k JOIN blobs b ON b.sha256 = k.sha256
        WHERE (SELECT count(*) FROM blob_names n WHERE n.sha256 = k.sha256) = k.names)
    SELECT coalesce(sum(x.size_bytes) FILTER (WHERE x.last = c.place), 0) AS frees,
        coalesce(sum(x.size_bytes), 0) AS holds
    FROM chosen c
    LEFT JOIN named n ON n.artifact_id = c.id
    LEFT JOIN freed x ON x.sha256 = n.sha256
    GROUP BY c.place ORDER BY c.place
""")

_RESERVE = text("""
    SELECT store_reserve(:artifact_id, :kind, :scope, :lock_id, :fence, :bytes, :quota)
""")

_RESERVE_UPLOAD = text("SELECT store_reserve_upload(:id, :bytes, :quota, :seconds)")

_SPACE = text("""
    SELECT CAST(coalesce(sum(bytes), 0) AS bigint) AS used, store_reserved_bytes() AS reserved,
        (SELECT CAST(coalesce(sum(size_bytes), 0) AS bigint) FROM blobs
         WHERE doomed_at IS NOT NULL) AS doomed
    FROM store_ledger
""")

_FORGET_DEAD = text("""
    DELETE FROM store_reservations r
    WHERE NOT EXISTS (
        SELECT FROM lock_scopes s
        WHERE s.kind = r.kind AND s.scope = r.scope AND s.lock_id = r.lock_id
          AND s.fence = r.fence AND s.expires_at > clock_timestamp())
""")
