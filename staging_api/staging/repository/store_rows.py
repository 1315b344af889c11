"""The rows that record which blobs the store has and which are about to be removed.

One rule decides between a transaction that names a blob and a collector that removes it: **the row
of a blob decides over its file.** Before rows of a build's files are written, `name_blobs` returns
which blobs must be looked for in the store. `claim_marked` marks rows whose files are about to be
removed, in a transaction of its own: until that mark is deleted, or expires, `name_blobs` refuses
them. So no transaction is open during a request to a disk or a bucket.
"""

from collections.abc import Collection, Mapping
from datetime import timedelta

from sqlalchemy import (
    ColumnElement,
    Connection,
    Text,
    TextClause,
    column,
    delete,
    select,
    table,
    text,
    update,
)
from sqlalchemy.dialects.postgresql import insert
from sqlalchemy.exc import OperationalError

from staging_api.db.engine import plain_connection_of
from staging_api.db.plain_connection import Statements
from staging_api.db.store_tables import store_identity
from staging_api.db.tables import blobs
from staging_api.errors import Unavailable
from staging_api.staging.repository.terms import now

# Files that remain are garbage, which costs no more than its space; once the disk is repaired they
# are removed within a day, without an operator.
_LONGEST_PUT_OFF_SECONDS = 6 * 3600.0
# object_in_use: raised by a trigger when a statement names a content that is being removed.
_IN_USE = "55006"


def name_blobs(conn: Connection, contents: Mapping[str, int]) -> set[str]:
    """Record that these contents (digest to length) are in the store, and prevent their removal.

    No collector removes one of them until this transaction ends, nor while a file names it.

    Returns:
        the digests that had no row or another length, or were marked for deletion: the caller must
        look for their files, while no transaction is open.

    Raises:
        Unavailable: one of them is being removed just now.
    """
    return _named(conn, _NAME_BLOBS, contents)


def name_blobs_asynchronously(conn: Statements, contents: Mapping[str, int]) -> set[str]:
    """Call `name_blobs` in a separate transaction whose commit does not wait for the disk.

    For callers that name the contents again, durably, before any response contains them.

    Args:
        conn: connection on which each statement commits by itself.
        contents: length by digest, as in `name_blobs`.
    """
    return _named(conn, _NAME_ASYNCHRONOUSLY, contents)


def name_stored_blobs(conn: Connection, contents: Mapping[str, int]) -> set[str]:
    """Call `name_blobs` for stored contents, and delete the records of their loss."""
    return _named(conn, _NAME_STORED, contents)


def mark_unnamed_for_deletion(conn: Connection, digests: Collection[str]) -> None:
    """Mark those of these contents for deletion that no file names."""
    conn.execute(
        update(blobs)
        .where(in_order(digests), blobs.c.doomed_at.is_(None), _unnamed)
        .values(doomed_at=now())
    )


def in_order(digests: Collection[str]) -> ColumnElement[bool]:
    """Return the condition that a content is one of these, which locks their rows in digest order.

    `name_blobs` uses the same order: two transactions with the same contents never deadlock.
    """
    c = blobs.c.sha256
    locked = select(c).where(c.in_(sorted(digests))).order_by(c).with_for_update().subquery()
    return c.in_(select(locked.c.sha256))


def claim_marked(
    conn: Connection, limit: int, claim_seconds: float = 30.0, *, busy_too: bool = False
) -> list[str]:
    """Claim some contents that are marked for deletion, the longest marked first.

    From the end of this transaction they cannot be named until they are deleted or released, or the
    claim expires.

    Args:
        limit: limit of contents.
        claim_seconds: when the claim expires, as its collector is presumed dead.
        busy_too: also those that were released because a batch had just used them.
    """
    given = {"limit": limit, "busy_too": busy_too}
    digests = list(conn.execute(_CLAIM_MARKED, given).scalars())
    # A new statement, so that it sees all commits made before the locks were granted.
    named = set(conn.execute(select(_names.c.sha256).where(_names.c.sha256.in_(digests))).scalars())
    if named:
        conn.execute(update(blobs).where(blobs.c.sha256.in_(named)).values(doomed_at=None))
    claimed = [digest for digest in digests if digest not in named]
    rows = update(blobs).where(blobs.c.sha256.in_(claimed))
    conn.execute(rows.values(removing_until=now() + timedelta(seconds=claim_seconds)))
    return claimed


def renew_claim(conn: Connection, digests: Collection[str], claim_seconds: float) -> list[str]:
    """Extend the claim of these contents; return those whose claim had not expired."""
    rows = update(blobs).where(
        in_order(digests), blobs.c.doomed_at.is_not(None), blobs.c.removing_until > now()
    )
    claimed = rows.values(removing_until=now() + timedelta(seconds=claim_seconds)).returning(
        blobs.c.sha256
    )
    return list(conn.execute(claimed).scalars())


def forget_blobs(conn: Connection, digests: Collection[str]) -> None:
    """Delete the rows of these claimed contents, whose files were removed."""
    claimed = blobs.c.removing_until.is_not(None), blobs.c.doomed_at.is_not(None)
    conn.execute(delete(blobs).where(in_order(digests), *claimed))


def put_back(conn: Connection, digests: Collection[str], after_seconds: float) -> None:
    """Release these claimed contents, which are in use, for `after_seconds`."""
    rows = update(blobs).where(in_order(digests), blobs.c.doomed_at.is_not(None))
    conn.execute(
        rows.values(doomed_at=now() + timedelta(seconds=after_seconds), removing_until=None)
    )


def put_off_removal(conn: Connection, digests: Collection[str]) -> None:
    """Release these claimed contents, which could not be removed, with exponential back-off."""
    given = {"digests": sorted(digests), "longest": _LONGEST_PUT_OFF_SECONDS}
    conn.execute(_PUT_OFF, given)


def adopt_orphans(conn: Connection, found: Mapping[str, int]) -> None:
    """Add rows for orphans, files of the store without one, that mark them for deletion."""
    digests = sorted(found)
    given = {"digests": digests, "sizes": [found[digest] for digest in digests]}
    conn.execute(_ADOPT, given)


def blobs_of(conn: Connection, shard: str) -> dict[str, int]:
    """Return the contents of a shard with their lengths, except those marked for deletion."""
    rows = conn.execute(
        select(blobs.c.sha256, blobs.c.size_bytes).where(
            blobs.c.sha256 >= shard, blobs.c.sha256 < shard + "g", blobs.c.doomed_at.is_(None)
        )
    )
    return {row.sha256: row.size_bytes for row in rows}


def some_blobs(conn: Connection, beside: str, limit: int) -> dict[str, int]:
    """Return some contents that should be in the store, those next to a digest."""
    given = {"beside": beside, "limit": limit}
    return {row.sha256: row.size_bytes for row in conn.execute(_SOME_BLOBS, given)}


def store_id(conn: Statements) -> str | None:
    """Return the id of the store that belongs to this database, if it has one."""
    found: str | None = conn.execute(_STORE_ID).scalar_one_or_none()
    return found


def packs_are_written(conn: Connection) -> bool:
    """Return whether every version that may run on this database can read packs."""
    return bool(conn.execute(select(store_identity.c.packs)).scalar_one_or_none())


def keep_store_id(conn: Connection, identity: str) -> str:
    """Bind a store to this database unless one is bound; return the id of the bound store."""
    conn.execute(insert(store_identity).values(id=identity).on_conflict_do_nothing())
    return str(conn.execute(select(store_identity.c.id)).scalar_one())


def unnamed_of(conn: Connection, shard: str, older_than_seconds: float) -> list[str]:
    """Return contents of a shard that no file names, stored before `older_than_seconds`."""
    # "g" sorts behind every hex digit.
    given = {"low": shard, "high": shard + "g", "age": older_than_seconds}
    return list(conn.execute(_UNNAMED_OF, given).scalars())


def artifacts_with(conn: Connection, sha256: str) -> list[str]:
    """Return the artifacts that have a file with this blob, or in it."""
    rows = conn.execute(
        select(_artifact_blobs.c.artifact_id).where(_artifact_blobs.c.sha256 == sha256).distinct()
    )
    return list(rows.scalars())


# Names by files and packs of builds, and by files of the pools of APT archives.
_names = table("blob_names", column("sha256", Text))
_artifact_blobs = table("artifact_blobs", column("artifact_id", Text), column("sha256", Text))
_unnamed = ~select(_names.c.sha256).where(_names.c.sha256 == blobs.c.sha256).exists()

# ON CONFLICT DO UPDATE also locks a row that its WHERE leaves unchanged.
_NAMING = """
    INSERT INTO blobs AS b (sha256, size_bytes)
    SELECT * FROM unnest(CAST(:digests AS text[]), CAST(:sizes AS bigint[]))
    ON CONFLICT (sha256) DO UPDATE SET doomed_at = NULL, size_bytes = excluded.size_bytes
    WHERE b.doomed_at IS NOT NULL OR b.size_bytes <> excluded.size_bytes
    RETURNING sha256
"""
_STORE_ID = text("SELECT id FROM store_identity")
_NAME_BLOBS = text(_NAMING)
# The setting holds until the end of the transaction, which is this statement. It is set even if
# there is nothing to return: then the one row has no digest.
_NAME_ASYNCHRONOUSLY = text(f"""
    WITH named AS ({_NAMING})
    SELECT n.sha256, s.setting
    FROM (SELECT set_config('synchronous_commit', 'off', true) AS setting) s
    LEFT JOIN named n ON true
""")  # noqa: S608 - our own words
_NAME_STORED = text(f"""
    WITH there AS (
        DELETE FROM lost_contents WHERE sha256 IN (
            SELECT sha256 FROM lost_contents WHERE sha256 = ANY(CAST(:digests AS text[]))
            ORDER BY sha256 FOR UPDATE)
    )
    {_NAMING}
""")  # noqa: S608 - our own words

# A content that another collector has locked is skipped: each collector claims others.
_CLAIM_MARKED = text("""
    SELECT sha256 FROM blobs
    WHERE doomed_at IS NOT NULL
      AND (doomed_at <= clock_timestamp() OR (:busy_too AND removal_failures = 0))
      AND (removing_until IS NULL OR removing_until <= clock_timestamp())
    ORDER BY doomed_at LIMIT :limit FOR UPDATE SKIP LOCKED
""")

# The exponent is bounded: a larger power would exceed the range of double precision.
_PUT_OFF = text("""
    UPDATE blobs SET removing_until = NULL, removal_failures = removal_failures + 1,
        doomed_at = clock_timestamp() + make_interval(
            secs => least(30 * 2.0 ^ least(removal_failures, 20), :longest))
    WHERE doomed_at IS NOT NULL AND sha256 IN (
        SELECT sha256 FROM blobs WHERE sha256 = ANY (CAST(:digests AS text[]))
        ORDER BY sha256 FOR UPDATE)
""")

_ADOPT = text("""
    INSERT INTO blobs (sha256, size_bytes, doomed_at)
    SELECT *, clock_timestamp() FROM unnest(CAST(:digests AS text[]), CAST(:sizes AS bigint[]))
    ON CONFLICT DO NOTHING
""")

_SOME_BLOBS = text("""
    (SELECT sha256, size_bytes FROM blobs
     WHERE sha256 >= :beside AND doomed_at IS NULL ORDER BY sha256 LIMIT :limit)
    UNION
    (SELECT sha256, size_bytes FROM blobs
     WHERE sha256 < :beside AND doomed_at IS NULL ORDER BY sha256 DESC LIMIT :limit)
""")

_UNNAMED_OF = text("""
    SELECT b.sha256 FROM blobs b
    WHERE b.sha256 >= :low AND b.sha256 < :high AND b.doomed_at IS NULL
      AND b.stored_at < clock_timestamp() - make_interval(secs => :age)
      AND NOT EXISTS (SELECT FROM blob_names n WHERE n.sha256 = b.sha256)
""")


def _named(conn: Statements, statement: TextClause, contents: Mapping[str, int]) -> set[str]:
    # Sorted: two transactions that name the same contents never deadlock.
    digests = sorted(contents)
    given = {"digests": digests, "sizes": [contents[digest] for digest in digests]}
    try:
        return set(filter(None, plain_connection_of(conn).execute(statement, given).scalars()))
    except OperationalError as error:
        if getattr(error.orig, "pgcode", None) != _IN_USE:
            raise
        raise Unavailable(
            "a content is being removed from the store; it is fetched again",
            retry_after_seconds=1,
        ) from None
