"""Plan what to evict before anything is evicted: what would go, and what that really frees.

Contents are shared: of a content that two builds have, nothing is free until both are gone, and of
one that a pool has, nothing ever. So a plan counts contents and not artifacts, and has only
artifacts without which it would free less than is needed. Planning changes nothing: a process that
dies in it leaves nothing behind.
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
    """The idlest artifacts that free what is needed; all that free anything, if it is not enough.

    Args:
        database: of the store.
        need_bytes: how much is to become free.
        idle_seconds: only what nobody read for so long.
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
    """How many of the first free what is needed; None: all of them do not."""
    freed = 0
    for count, share in enumerate(shares, 1):
        freed += share.frees
        if freed >= need_bytes:
            return count
    return None


def _trimmed(database: Database, idle: list[Idle], need_bytes: int) -> Eviction:
    """Leave out what is not needed, the most recently read first."""
    with database.connect() as conn:
        shares = repository.shares(conn, [each.id for each in idle])
        freed = sum(share.frees for share in shares)
        need = min(need_bytes, freed)
        kept: list[Idle] = []
        for artifact, share in reversed(list(zip(idle, shares, strict=True))):
            # What it holds may be shared with another that goes: then this counts too much, and
            # one artifact more is evicted than is needed, never one less.
            if freed - share.holds >= need:
                freed -= share.holds
            else:
                kept.append(artifact)
        kept.reverse()
        freed = sum(s.frees for s in repository.shares(conn, [each.id for each in kept]))
    return Eviction(tuple(kept), freed)
