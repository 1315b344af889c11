"""The records of checks of the store: comparisons, scrubs, and lost contents."""

from collections.abc import Collection, Iterable, Sequence
from datetime import datetime
from typing import NamedTuple

from sqlalchemy import Connection, delete, func, select, text, update

from staging_api.db.store_tables import lost_contents
from staging_api.db.tables import blobs
from staging_api.staging.repository.store_rows import in_order
from staging_api.staging.repository.terms import now
from staging_api.vocabulary.staging import EvictReason


class DueContent(NamedTuple):
    """A content that should be read again.

    Attributes:
        since: time of its last check, or else of its storing.
        until: contents that were checked or stored later are left out.
    """

    sha256: str
    since: datetime
    until: datetime


def claim_shard(conn: Connection, shards: Sequence[str], every_seconds: float) -> str | None:
    """Claim a shard that was not checked for `every_seconds`; no other worker gets it now."""
    given = {"shards": list(shards), "every": every_seconds}
    conn.execute(_ADD_SHARDS, given)
    return conn.execute(_CLAIM_SHARD, given).scalar_one_or_none()


def note_check(
    conn: Connection, shard: str, *, files: int, size_bytes: int, lost: int, orphans: int
) -> None:
    """Record the findings of the check of a shard."""
    found = {"files": files, "bytes": size_bytes, "lost": lost, "strangers": orphans}
    conn.execute(_NOTE_CHECK, {"shard": shard, **found})


def check_again(conn: Connection, shard: str, after_seconds: float, every_seconds: float) -> None:
    """Schedule the check of a shard in `after_seconds`."""
    given = {"shard": shard, "after": after_seconds, "every": every_seconds}
    conn.execute(_CHECK_AGAIN, given)


def claim_scrub(conn: Connection, shards: Sequence[str]) -> str | None:
    """Claim the shard whose last scrub is the longest ago; no other worker gets it now."""
    conn.execute(_ADD_SHARDS, {"shards": list(shards)})
    return conn.execute(_CLAIM_SCRUB).scalar_one_or_none()


def longest_unchecked(
    conn: Connection,
    shard: str,
    pause_seconds: float,
    limit: int,
    behind: DueContent | None = None,
) -> list[DueContent]:
    """Return contents of a shard after `behind` (None: all), the longest unchecked first.

    Contents stored or checked within `pause_seconds` are left out. With `behind`, its `until` is
    used instead, so that a round of turns comes to an end. Contents marked for deletion are
    included: they may be named again before they are removed.
    """
    # "g" sorts behind every hex digit, so this is the range of digests that begin with `shard`.
    given = {"low": shard, "high": shard + "g", "pause": pause_seconds, "limit": limit}
    place = _FIRST if behind is None else behind._asdict()
    return [DueContent(*row) for row in conn.execute(_LONGEST_UNCHECKED, given | place)]


def note_lost(conn: Connection, sha256: str, reason: EvictReason) -> bool:
    """Record a pool's content that is lost or corrupt; return whether that was not known yet.

    Contents of builds alone are not recorded: their artifacts are evicted, and staged again.
    """
    given = {"sha256": sha256, "reason": reason}
    return conn.execute(_NOTE_LOST, given).rowcount > 0


def note_there(conn: Connection, digests: Iterable[str]) -> None:
    """Delete the records of loss of these contents, which the store has."""
    conn.execute(delete(lost_contents).where(lost_contents.c.sha256.in_(sorted(digests))))


def lost_of(conn: Connection, shard: str) -> set[str]:
    """Return the contents of a shard that are recorded as lost."""
    column = lost_contents.c.sha256
    found = select(column).where(column >= shard, column < shard + "g")
    return set(conn.execute(found).scalars())


def lost_count(conn: Connection) -> int:
    """Return how many contents of pools must be uploaded again."""
    return int(conn.execute(select(func.count()).select_from(lost_contents)).scalar_one())


def note_scrubbed(conn: Connection, digests: Collection[str]) -> None:
    """Record that these contents were read and have their digests."""
    conn.execute(update(blobs).where(in_order(digests)).values(checked_at=now()))


# A new shard began at the epoch, so its check is due at once.
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

_CHECK_AGAIN = text("""
    UPDATE store_checks
    SET began_at = clock_timestamp() - make_interval(secs => :every) + make_interval(secs => :after)
    WHERE shard = :shard
""")

_CLAIM_SCRUB = text("""
    UPDATE store_checks SET scrubbed_at = clock_timestamp()
    WHERE shard = (
        SELECT shard FROM store_checks
        ORDER BY scrubbed_at NULLS FIRST, shard LIMIT 1 FOR UPDATE SKIP LOCKED)
    RETURNING shard
""")

# Before all contents that were ever stored.
_FIRST = {"sha256": "", "since": "-infinity", "until": None}
_LONGEST_UNCHECKED = text("""
    SELECT sha256, since, until FROM (
        SELECT sha256, coalesce(checked_at, stored_at) AS since, coalesce(
            CAST(:until AS timestamptz),
            clock_timestamp() - make_interval(secs => :pause)) AS until
        FROM blobs WHERE sha256 >= :low AND sha256 < :high AND removing_until IS NULL) b
    WHERE since <= until AND (since, sha256) > (CAST(:since AS timestamptz), :sha256)
    ORDER BY since, sha256 LIMIT :limit
""")

# A content with more names than artifacts give it is named by a pool, too.
_NOTE_LOST = text("""
    INSERT INTO lost_contents (sha256, reason)
    SELECT sha256, :reason FROM blobs b
    WHERE sha256 = :sha256 AND doomed_at IS NULL
      AND (SELECT count(*) FROM blob_names n WHERE n.sha256 = b.sha256)
        > (SELECT count(*) FROM artifact_blobs f WHERE f.sha256 = b.sha256)
    ON CONFLICT DO NOTHING
""")
