"""The rows that say what the store has, what it is about to lose, and for whom it keeps space.

One rule decides between who names a blob and who removes it: **whoever holds the lock on the row
of a blob decides over its file.** `name_blobs` takes these locks, and tells which files must be
looked for, before a file of a build is written that names them; `take_doomed` takes them before
the bytes are removed, and looks again whether anything names them.
"""

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass

from sqlalchemy import Connection, Text, column, delete, func, select, table, text, update

from staging_api.db.tables import blobs, staged_files
from staging_api.locks.model import Lease
from staging_api.staging.repository.terms import now


@dataclass(frozen=True)
class Idle:
    """A staged artifact that may be evicted."""

    id: str
    archive_url: str
    lock_kind: str
    name: str
    size_bytes: int


@dataclass(frozen=True)
class Space:
    """How full the store is, in bytes."""

    used: int
    reserved: int


def name_blobs(conn: Connection, contents: Mapping[str, int]) -> set[str]:
    """Say that these contents (digest to length) are in the store, and keep them from removal.

    Nobody removes one of them until this transaction ends, nor later as long as a file names it.

    Returns:
        the digests that had no row, or that were about to be removed: whether their files are still
        there must be looked at now.
    """
    # In one order: two transactions that name the same contents never wait for each other.
    digests = sorted(contents)
    given = {"digests": digests, "sizes": [contents[digest] for digest in digests]}
    return set(conn.execute(_NAME_BLOBS, given).scalars())


def doom_unnamed(conn: Connection, digests: Collection[str]) -> None:
    """Let these contents be removed, those that no file names."""
    conn.execute(
        update(blobs)
        .where(blobs.c.sha256.in_(sorted(digests)), blobs.c.doomed_at.is_(None), _unnamed)
        .values(doomed_at=now())
    )


def take_doomed(conn: Connection, limit: int) -> list[str]:
    """Some contents that are to be removed; nobody can name them until this transaction ends."""
    taken = conn.execute(
        select(blobs.c.sha256)
        .where(blobs.c.doomed_at.is_not(None))
        .order_by(blobs.c.doomed_at)
        .limit(limit)
        .with_for_update(skip_locked=True)
    ).scalars()
    digests = list(taken)
    # A new statement, so that it sees what was committed before the locks were granted.
    named = set(conn.execute(select(_names.c.sha256).where(_names.c.sha256.in_(digests))).scalars())
    if named:
        conn.execute(update(blobs).where(blobs.c.sha256.in_(named)).values(doomed_at=None))
    return [digest for digest in digests if digest not in named]


def forget_blobs(conn: Connection, digests: Collection[str]) -> None:
    """These contents are not in the store any more."""
    conn.execute(delete(blobs).where(blobs.c.sha256.in_(sorted(digests))))


def put_back(conn: Connection, digests: Collection[str]) -> None:
    """Let these doomed contents be looked at last: somebody has just begun to use them."""
    conn.execute(update(blobs).where(blobs.c.sha256.in_(sorted(digests))).values(doomed_at=now()))


def adopt_strangers(conn: Connection, found: Mapping[str, int]) -> None:
    """Give files of the store that have no row (digest to length) one, to be removed by it."""
    digests = sorted(found)
    given = {"digests": digests, "sizes": [found[digest] for digest in digests]}
    conn.execute(_ADOPT, given)


def blobs_of(conn: Connection, shard: str) -> dict[str, int]:
    """The contents whose digests begin so, with their lengths, less those to be removed."""
    rows = conn.execute(
        select(blobs.c.sha256, blobs.c.size_bytes).where(
            blobs.c.sha256 >= shard, blobs.c.sha256 < shard + "g", blobs.c.doomed_at.is_(None)
        )
    )
    return {row.sha256: row.size_bytes for row in rows}


def unnamed_of(conn: Connection, shard: str, older_than_seconds: float) -> list[str]:
    """Contents of the shard that no file names, and that have been there for so long."""
    given = {"low": shard, "high": shard + "g", "age": older_than_seconds}
    return list(conn.execute(_UNNAMED_OF, given).scalars())


def artifacts_with(conn: Connection, sha256: str) -> list[str]:
    """The artifacts that have a file with this content."""
    rows = conn.execute(
        select(staged_files.c.artifact_id).where(staged_files.c.sha256 == sha256).distinct()
    )
    return list(rows.scalars())


def idle_artifacts(conn: Connection, idle_seconds: float, sparing: str | None = None) -> list[Idle]:
    """Staged artifacts that nobody read for so long and that are not pinned, the idlest first.

    Args:
        sparing: no artifacts of this archive.
    """
    given = {"idle": idle_seconds, "sparing": sparing}
    return [Idle(*row) for row in conn.execute(_IDLE, given)]


def is_evictable(conn: Connection, artifact_id: str, reason: str, idle_seconds: float) -> bool:
    """Whether an artifact is staged and, unless it is lost anyway, idle and not pinned."""
    given = {"id": artifact_id, "lost": reason == "lost", "idle": idle_seconds}
    return conn.execute(_EVICTABLE, given).one_or_none() is not None


def reserve(conn: Connection, artifact_id: str, lease: Lease, count: int, quota: int) -> int:
    """Promise an artifact so many bytes in all; gives how many are lacking, 0 if none are."""
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


def space(conn: Connection) -> Space:
    """How full the store is."""
    row = conn.execute(_SPACE).one()
    return Space(row.used, row.reserved)


def doomed_bytes(conn: Connection) -> int:
    """How much of the store is to be removed, and is not yet."""
    doomed = select(func.coalesce(func.sum(blobs.c.size_bytes), 0))
    return int(conn.execute(doomed.where(blobs.c.doomed_at.is_not(None))).scalar_one())


def forget_dead_reservations(conn: Connection) -> int:
    """Remove what was promised under leases that are over; returns how many."""
    return conn.execute(_FORGET_DEAD).rowcount


def compact_ledger(conn: Connection) -> None:
    """Sum up the lines of the ledger."""
    conn.execute(select(func.store_ledger_compact()))


def claim_shard(conn: Connection, shards: Sequence[str], every_seconds: float) -> str | None:
    """A shard that nobody has checked for so long, and that nobody else is given now."""
    given = {"shards": list(shards), "every": every_seconds}
    conn.execute(_ADD_SHARDS, given)
    return conn.execute(_CLAIM_SHARD, given).scalar_one_or_none()


def note_check(
    conn: Connection, shard: str, *, files: int, size_bytes: int, lost: int, strangers: int
) -> None:
    """Write down what a check of a shard found."""
    found = {"files": files, "bytes": size_bytes, "lost": lost, "strangers": strangers}
    conn.execute(_NOTE_CHECK, {"shard": shard, **found})


def note_accesses(conn: Connection, accesses: Mapping[tuple[str, str], tuple[int, int]]) -> None:
    """Write down who read what: hits and bytes by artifact and caller."""
    keys = sorted(accesses)
    given = {
        "ids": [artifact_id for artifact_id, _ in keys],
        "callers": [caller for _, caller in keys],
        "hits": [accesses[key][0] for key in keys],
        "bytes": [accesses[key][1] for key in keys],
    }
    conn.execute(_TOUCH_ACCESSED, given)
    conn.execute(_NOTE_ACCESSES, given)


# Files of builds, and of the pools of APT archives.
_names = table("blob_names", column("sha256", Text))
_unnamed = ~select(_names.c.sha256).where(_names.c.sha256 == blobs.c.sha256).exists()

# A row that is there and not doomed is locked all the same, though it is not changed.
_NAME_BLOBS = text("""
    INSERT INTO blobs AS b (sha256, size_bytes)
    SELECT * FROM unnest(CAST(:digests AS text[]), CAST(:sizes AS bigint[]))
    ON CONFLICT (sha256) DO UPDATE SET doomed_at = NULL WHERE b.doomed_at IS NOT NULL
    RETURNING sha256
""")

_ADOPT = text("""
    INSERT INTO blobs (sha256, size_bytes, doomed_at)
    SELECT *, clock_timestamp() FROM unnest(CAST(:digests AS text[]), CAST(:sizes AS bigint[]))
    ON CONFLICT DO NOTHING
""")

_UNNAMED_OF = text("""
    SELECT b.sha256 FROM blobs b
    WHERE b.sha256 >= :low AND b.sha256 < :high AND b.doomed_at IS NULL
      AND b.stored_at < clock_timestamp() - make_interval(secs => :age)
      AND NOT EXISTS (SELECT FROM blob_names n WHERE n.sha256 = b.sha256)
""")

_IDLE = text("""
    SELECT id, archive_url, lock_kind, name, size_bytes FROM staged_artifacts
    WHERE state = 'staged'
      AND coalesce(last_accessed_at, staged_at) <= clock_timestamp() - make_interval(secs => :idle)
      AND (pinned_until IS NULL OR pinned_until <= clock_timestamp())
      AND archive_url IS DISTINCT FROM CAST(:sparing AS text)
    ORDER BY coalesce(last_accessed_at, staged_at)
""")

_EVICTABLE = text("""
    SELECT true FROM staged_artifacts
    WHERE id = :id AND state = 'staged'
      AND (:lost OR coalesce(last_accessed_at, staged_at)
                <= clock_timestamp() - make_interval(secs => :idle)
            AND (pinned_until IS NULL OR pinned_until <= clock_timestamp()))
""")

_RESERVE = text("""
    SELECT store_reserve(:artifact_id, :kind, :scope, :lock_id, :fence, :bytes, :quota)
""")

_SPACE = text("""
    SELECT CAST(coalesce(sum(bytes), 0) AS bigint) AS used, store_reserved_bytes() AS reserved
    FROM store_ledger
""")

_FORGET_DEAD = text("""
    DELETE FROM store_reservations r
    WHERE NOT EXISTS (
        SELECT FROM lock_scopes s
        WHERE s.kind = r.kind AND s.scope = r.scope AND s.lock_id = r.lock_id
          AND s.fence = r.fence AND s.expires_at > clock_timestamp())
""")

_ADD_SHARDS = text("""
    INSERT INTO store_checks (shard, began_at)
    SELECT shard, 'epoch' FROM unnest(CAST(:shards AS text[])) AS shard ON CONFLICT DO NOTHING
""")

_CLAIM_SHARD = text("""
    UPDATE store_checks SET began_at = clock_timestamp()
    WHERE shard = (
        SELECT shard FROM store_checks
        WHERE began_at <= clock_timestamp() - make_interval(secs => :every)
        ORDER BY began_at, shard LIMIT 1 FOR UPDATE SKIP LOCKED)
    RETURNING shard
""")

_NOTE_CHECK = text("""
    UPDATE store_checks
    SET checked_at = clock_timestamp(), files = :files, bytes = :bytes, lost = :lost,
        strangers = :strangers
    WHERE shard = :shard
""")

# Artifacts that another transaction changes just now keep their old time: nothing waits for this.
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
