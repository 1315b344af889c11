"""Plan an eviction: which artifacts to evict, and how many bytes that really frees.

Contents are shared: a content of two builds is freed when both are evicted, and one of a pool is
never freed. So a plan counts contents, not artifacts, and has only artifacts without which it would
free too little. Planning writes nothing: a process that dies in it leaves nothing behind.
"""

from collections.abc import Collection
from dataclasses import dataclass

from staging_api.db.engine import Database
from staging_api.staging import repository
from staging_api.staging.repository import Idle, Share

#: How many artifacts are looked at first; four times as many when that is not enough.
_FIRST_LOOK = 1000


@dataclass(frozen=True)
class Eviction:
    """What could be evicted.

    Attributes:
        artifacts: the idlest first.
        frees_bytes: the contents that nothing names once all of these are evicted.
    """

    artifacts: tuple[Idle, ...] = ()
    frees_bytes: int = 0


def plan(
    database: Database,
    need_bytes: int,
    idle_seconds: float,
    sparing: str | None = None,
    skipped: Collection[str] = (),
) -> Eviction:
    """Return the idlest artifacts that free enough, or all that free any, if that is too little.

    Args:
        database: of the store.
        need_bytes: how much is to become free.
        idle_seconds: only artifacts not read for so long.
        sparing: nothing of this archive.
        skipped: none of these artifacts.
    """
    if need_bytes <= 0:
        return Eviction()
    limit = _FIRST_LOOK
    while True:
        with database.connect() as conn:
            found = repository.idle_artifacts(conn, idle_seconds, sparing, limit)
            idle = [each for each in found if each.id not in skipped]
            shares = repository.shares(conn, [each.id for each in idle])
        count = _enough(shares, need_bytes)
        if count is not None or len(found) < limit:
            return _trimmed(database, idle[:count], need_bytes)
        limit *= 4


def _enough(shares: list[Share], need_bytes: int) -> int | None:
    """Return how many of the first free enough; None if all together do not."""
    freed = 0
    for count, share in enumerate(shares, 1):
        freed += share.frees
        if freed >= need_bytes:
            return count
    return None


def _trimmed(database: Database, idle: list[Idle], need_bytes: int) -> Eviction:
    """Drop artifacts that are not needed, the most recently read first."""
    with database.connect() as conn:
        shares = repository.shares(conn, [each.id for each in idle])
        freed = sum(share.frees for share in shares)
        need = min(need_bytes, freed)
        kept: list[Idle] = []
        for artifact, share in reversed(list(zip(idle, shares, strict=True))):
            # A content shared with another evicted artifact counts twice here: then one artifact
            # too many is evicted, never one too few.
            if freed - share.holds >= need:
                freed -= share.holds
            else:
                kept.append(artifact)
        kept.reverse()
        freed = sum(s.frees for s in repository.shares(conn, [each.id for each in kept]))
    return Eviction(tuple(kept), freed)
