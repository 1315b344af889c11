"""Evict idle artifacts: choose them, compute how many bytes that really frees, and evict.

Contents are shared: a content of two builds is freed when both are evicted, and a content of a pool
is never freed. So a plan counts contents, not artifacts, and contains only artifacts without which
it would free too little.

What if the process dies? Planning writes nothing, and each eviction is one transaction, under the
lock of the artifact's archive. Contents that it marked for deletion are removed by the next
`upkeep.Upkeep.collect` of any process.
"""

import logging
from collections.abc import Collection
from dataclasses import dataclass
from datetime import datetime

from staging_api import metrics
from staging_api.db.engine import Database
from staging_api.errors import LockHeld, LockLost
from staging_api.locks.hold import RequestOrigin, guarded, hold
from staging_api.staging.model import LOCK_BY_NAME, StagedArtifact
from staging_api.staging.repository import artifact_rows, space_rows
from staging_api.staging.repository.space_rows import EvictableArtifact, EvictionShare
from staging_api.staging.upkeep import Upkeep
from staging_api.vocabulary.staging import EvictReason

log = logging.getLogger(__name__)

#: Number of artifacts that are read first; four times as many if these are not enough.
_FIRST_LOOK = 1000
#: How often a prune plans again, if artifacts were read or pinned since its plan.
_TRIES = 5
_UPKEEP = RequestOrigin(caller="upkeep")


@dataclass(frozen=True)
class PruneResult:
    """The result of a prune, or of a dry run.

    Attributes:
        artifacts: the evicted artifacts.
        freed_bytes: size of the contents that no row names any more, removed now or soon.
    """

    artifacts: tuple[EvictableArtifact, ...]
    freed_bytes: int


@dataclass(frozen=True)
class Eviction:
    """A plan of an eviction.

    Attributes:
        artifacts: the artifacts to evict, the idlest first.
        frees_bytes: size of the contents that no row names once all of these are evicted.
    """

    artifacts: tuple[EvictableArtifact, ...] = ()
    frees_bytes: int = 0


def prune(
    upkeep: Upkeep,
    *,
    keep_bytes: int = 0,
    idle_seconds: float | None = None,
    dry_run: bool = False,
) -> PruneResult:
    """Evict idle, unpinned artifacts, the idlest first, and remove their bytes.

    Artifacts that would free nothing stay: keeping them costs nothing.

    Args:
        upkeep: upkeep of the store.
        keep_bytes: stop once the store has no more than this.
        idle_seconds: evict artifacts not read for this time; None: by the terms of the store.
        dry_run: only return what would be evicted.

    Raises:
        StoreAbsent: the store is not mounted, or another one is.
        Unavailable: the database cannot be reached.
    """
    upkeep.identity.check()
    idle_seconds = upkeep.terms.evictable_seconds if idle_seconds is None else idle_seconds
    before = upkeep.space().staying
    evicted: list[EvictableArtifact] = []
    skipped: set[str] = set()
    for _ in range(_TRIES):
        need = upkeep.space().staying - keep_bytes
        planned = plan(upkeep.database, need, idle_seconds, skipped=skipped)
        if dry_run:
            return PruneResult(planned.artifacts, planned.frees_bytes)
        done = [each for each in planned.artifacts if evict(upkeep, each, "space", idle_seconds)]
        evicted += done
        if len(done) == len(planned.artifacts):
            break
        skipped |= {each.id for each in planned.artifacts} - {each.id for each in done}
    upkeep.collect()
    # More may have been staged meanwhile than was freed: then the difference is negative.
    return PruneResult(tuple(evicted), max(before - upkeep.space().staying, 0))


def evict(
    upkeep: Upkeep,
    artifact: EvictableArtifact | StagedArtifact,
    reason: EvictReason,
    idle_seconds: float = 0.0,
    origin: RequestOrigin = _UPKEEP,
    *,
    idle_before: datetime | None = None,
) -> bool:
    """Evict an artifact unless its archive is locked; return whether it was evicted.

    Args:
        upkeep: upkeep of the store.
        artifact: the artifact as it was listed.
        reason: with ``space``, an artifact stays if it is pinned, or was read within `idle_seconds`
            by the tables.
        origin: caller on whose behalf it is evicted.
        idle_before: with ``space``, an artifact that was read since then stays, too.
    """
    kind, done = LOCK_BY_NAME[artifact.lock_kind], False
    try:
        with hold(upkeep.locks, kind, artifact.archive_url, origin) as held:
            with guarded(upkeep.database, held) as conn:
                # Checked again under the lock: it may have been read or pinned since it was listed.
                if not artifact_rows.is_evictable(
                    conn, artifact.id, reason, idle_seconds, idle_before
                ):
                    return False
                artifact_rows.mark_evicted(conn, artifact.id, reason)
            done = True
    # An eviction never waits for work on an archive: the caller plans with another artifact.
    except (LockHeld, LockLost):
        # If the lock was lost only after the commit, the artifact is evicted.
        if not done:
            return False
    metrics.ARTIFACTS_EVICTED.labels(reason).inc()
    log.info("evicted %s of %s: %s", artifact.name, artifact.archive_url, reason)
    return True


def plan(
    database: Database,
    need_bytes: int,
    idle_seconds: float,
    sparing: str | None = None,
    *,
    skipped: Collection[str] = (),
    most: int | None = None,
) -> Eviction:
    """Return the idlest artifacts that free enough, or all that free any, if that is too little.

    Args:
        database: database of the store.
        need_bytes: how much should become free.
        idle_seconds: only artifacts not read for this time.
        sparing: archive whose artifacts are excluded.
        skipped: ids of artifacts that are excluded.
        most: consider at most this many of the idlest.
    """
    if need_bytes <= 0:
        return Eviction()
    limit = most or _FIRST_LOOK
    while True:
        with database.connect() as conn:
            found = space_rows.idle_artifacts(conn, idle_seconds, sparing, limit)
            idle = [each for each in found if each.id not in skipped]
            shares = space_rows.shares(conn, [each.id for each in idle])
        count = _enough(shares, need_bytes)
        if count is not None or len(found) < limit or limit == most:
            return _trimmed(database, idle[:count], need_bytes)
        limit *= 4  # each look begins anew, so few large steps cost less than many small ones


def _enough(shares: list[EvictionShare], need_bytes: int) -> int | None:
    """Return how many of the first free enough; None if all together do not."""
    freed = 0
    for count, share in enumerate(shares, 1):
        freed += share.frees
        if freed >= need_bytes:
            return count
    return None


def _trimmed(database: Database, idle: list[EvictableArtifact], need_bytes: int) -> Eviction:
    """Drop artifacts that are not needed, the most recently read first."""
    with database.connect() as conn:
        shares = space_rows.shares(conn, [each.id for each in idle])
        freed = sum(share.frees for share in shares)
        need = min(need_bytes, freed)
        kept: list[EvictableArtifact] = []
        for artifact, share in reversed(list(zip(idle, shares, strict=True))):
            # A content shared with another evicted artifact counts twice here: then one artifact
            # too many is evicted, never one too few.
            if freed - share.holds >= need:
                freed -= share.holds
            else:
                kept.append(artifact)
        kept.reverse()
        freed = sum(s.frees for s in space_rows.shares(conn, [each.id for each in kept]))
    return Eviction(tuple(kept), freed)
