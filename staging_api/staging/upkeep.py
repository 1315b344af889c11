"""The upkeep of the store: quota, eviction and garbage collection.

An artifact is evicted by its row, under its archive's lock, and nothing of it is served from that
commit on. The same commit marks contents that no file names any more for deletion. `Upkeep.collect`
removes them later, in three steps: it claims their rows, removes the files while no transaction is
open, and deletes the rows. A staging that names a claimed content is refused, and retries; one that
names a marked or deleted content looks for the file first. So of a concurrent eviction and staging
of the same content, either the file stays or the staging notices and fetches it again.
A reader that has the file open reads it to the end.

What if the process dies?

- After an eviction: its contents are marked, and the next `collect`, anywhere, removes them.
- After the claim, or with some files removed: the claimed ones cannot be named until the claim
  expires (`BlobStore.removal_seconds`); then the next `collect` takes them up.
- With space reserved: the reservation counts as long as the lease under which it was made.
- Frozen past its claim, and continued just before it removes a file: the file is lost to a
  staging that named it meanwhile; the first read notices, and it is staged again
  (`staging.damage`).
"""

import logging
from collections.abc import Callable
from dataclasses import dataclass, field
from functools import cached_property

from staging_api import metrics
from staging_api.db.engine import Database
from staging_api.errors import (
    LockHeld,
    LockLost,
    NoSpace,
    StagingApiError,
    StoreAbsent,
    StoreFailed,
)
from staging_api.locks.hold import Locks, RequestOrigin, guarded, hold
from staging_api.locks.keeper import Hold
from staging_api.staging import eviction, repository
from staging_api.staging.model import LOCK_BY_NAME
from staging_api.staging.repository import Idle, Space
from staging_api.staging.store_identity import StoreIdentity
from staging_api.store.blobs import BlobStore
from staging_api.vocabulary.staging import EvictReason

log = logging.getLogger(__name__)

#: Claimed and removed together: what a slow bucket removes within the time of a claim.
_AT_ONCE = 50
#: The reservation of an upload expires after so long, unless it is renewed.
UPLOAD_SECONDS = 900.0
#: How far the clock of the store may be ahead of the database's when old files are swept.
_MOST_AHEAD_SECONDS = 300.0
#: How often other requests may take the space that was just freed.
_TRIES = 5


@dataclass(frozen=True)
class StoreTerms:
    """What the store may hold, and for how long.

    Attributes:
        quota_bytes: of all contents, reservations included; 0: as much as the disk has.
        idle_seconds: what was handed out since then is not evicted to make room.
        noted_seconds: by how much the time of a read in the tables may be too old; comes on top.
        grace_seconds: contents that no row names stay for so long: a row may be about to.
        busy_seconds: a file that a staging has just found in the store is not removed under it.
        check_seconds: between two checks of the same part of the store.
        scrub_bytes_per_second: how fast contents are read again, by each worker; 0: not at all.
        scrub_pause_seconds: the least time between two readings of the same content.
    """

    quota_bytes: int = 0
    idle_seconds: float = 300.0
    noted_seconds: float = 60.0
    grace_seconds: float = 24 * 3600.0
    busy_seconds: float = 60.0
    check_seconds: float = 6 * 3600.0
    scrub_bytes_per_second: int = 4 << 20
    scrub_pause_seconds: float = 6 * 3600.0

    @property
    def evictable_seconds(self) -> float:
        """So old is the last read, as the tables have it, of what may be evicted for space."""
        return self.idle_seconds + self.noted_seconds


@dataclass(frozen=True)
class Pruned:
    """What a prune did, or would do.

    Attributes:
        artifacts: evicted.
        freed_bytes: by the contents that nothing names any more, removed now or soon.
    """

    artifacts: tuple[Idle, ...]
    freed_bytes: int


@dataclass(frozen=True)
class Collected:
    """What one turn of the collector did, in contents."""

    claimed: int = 0
    removed: int = 0
    failed: int = 0

    @property
    def may_be_more(self) -> bool:
        """Whether another turn may find some."""
        return self.claimed == _AT_ONCE


@dataclass(frozen=True)
class Upkeep:
    """Quota, eviction and garbage collection of one store."""

    database: Database
    locks: Locks
    blobs: BlobStore
    terms: StoreTerms = field(default_factory=StoreTerms)

    @cached_property
    def identity(self) -> StoreIdentity:
        """The identity of the store, which is checked before its contents are trusted."""
        return StoreIdentity(self.database, self.blobs)

    def known_time(self) -> float:
        """The time (seconds, epoch) by which files of the store are old enough to be removed.

        Two clocks have to say so, the store's and the database's: this is the earlier one. A clock
        that jumped ahead makes nothing old, and one that jumped back only puts removals off.
        """
        return min(self._database_time(), self.blobs.time())

    def check_clocks(self) -> None:
        """Make sure that the clock which dates files of the store did not jump ahead.

        Raises:
            StoreFailed: it is ahead of the database's: files in use may look old.
        """
        ahead = self.blobs.time() - self._database_time()
        if ahead > _MOST_AHEAD_SECONDS:
            raise StoreFailed(
                f"the clock of the store is {ahead:.0f} s ahead of the database's:"
                " nothing is removed by its age until they agree",
                retry_after_seconds=_MOST_AHEAD_SECONDS,
            )

    def space(self) -> Space:
        """How full the store is."""
        with self.database.connect() as conn:
            return repository.space(conn)

    def reserve(
        self,
        artifact_id: str,
        held: Hold,
        count: int,
        check: Callable[[], None] = lambda: None,
    ) -> None:
        """Keep space for an artifact that is on its way, so many bytes in all.

        Frees space if that helps: first garbage is collected, then the idlest artifacts are
        evicted. Artifacts that were read lately, are pinned or belong to the same archive stay, and
        all do if evicting would not be enough.

        Args:
            artifact_id: for which.
            held: the lock of its archive.
            count: bytes in all.
            check: called between two evictions; an exception ends them.

        Raises:
            NoSpace: there is not so much room, and none can be made; for good if the whole quota
                is less.
            LockLost: another works on the archive now.
        """
        self._reserve_or_free(
            count, lambda: self._reserve(artifact_id, held, count), held.lease.scope, check
        )

    def reserve_upload(self, upload_id: str, count: int) -> None:
        """Keep space for an upload, so many bytes in all, for `UPLOAD_SECONDS`; see `reserve`.

        Raises:
            NoSpace: as with `reserve`.
        """
        self._reserve_or_free(count, lambda: self._reserve_upload(upload_id, count))

    def reserve_more_for_upload(self, upload_id: str, count: int) -> bool:
        """Reserve like `reserve_upload`, without freeing space; return whether it did."""
        return not self.terms.quota_bytes or not self._reserve_upload(upload_id, count)

    def release_upload(self, upload_id: str) -> None:
        """Release the reservation of an upload: written bytes are counted as used."""
        if self.terms.quota_bytes:
            with self.database.connect() as conn:
                repository.release_upload(conn, upload_id)

    def reserve_more(self, artifact_id: str, held: Hold, count: int) -> bool:
        """Reserve like `reserve`, without freeing space; return whether it did.

        Raises:
            LockLost: another works on the archive now.
        """
        return not self.terms.quota_bytes or not self._reserve(artifact_id, held, count)

    def collect(self, *, busy_too: bool = False) -> int:
        """Remove all contents that are marked for deletion; return how many.

        Args:
            busy_too: also contents that a staging has just found in the store: it fetches them
            again.
        """
        removed = 0
        while True:
            turn = self.collect_some(busy_too=busy_too)
            removed += turn.removed
            if not turn.may_be_more:
                return removed

    def collect_some(self, *, busy_too: bool = False) -> Collected:
        """One turn of `collect`: some contents, each by itself; what fails is tried again later."""
        claim_seconds = self.blobs.removal_seconds
        try:
            self.identity.check()
        except StoreAbsent:
            raise  # another store would seem to have lost all of them
        except StoreFailed as error:
            log.info("whether this is the right store is not known: %s", error.detail)
        with self.database.begin() as conn:
            claimed = repository.claim_marked(conn, _AT_ONCE, claim_seconds, busy_too=busy_too)
        if not claimed:
            return Collected()
        busy: set[str] = set()
        try:
            if not busy_too:
                since = self.blobs.time() - self.terms.busy_seconds
                busy = self.blobs.used_since(claimed, since)
            with self.database.begin() as conn:
                going = repository.renew_claim(conn, set(claimed) - busy, claim_seconds)
            failed = self.blobs.remove_all(going)
        except (OSError, StagingApiError) as error:
            # Postpone them all: otherwise the next turn would meet the same error first.
            going, failed = claimed, dict.fromkeys(claimed, StoreFailed(str(error)))
        gone = [digest for digest in going if digest not in failed]
        with self.database.begin() as conn:
            repository.forget_blobs(conn, gone)
            repository.put_back(conn, busy - failed.keys(), self.terms.busy_seconds)
            repository.put_off_removal(conn, failed)
        if failed:
            digest, reason = next(iter(failed.items()))
            log.warning("%d contents were not removed, as %s: %s", len(failed), digest, reason)
        return Collected(len(claimed), len(gone), len(failed))

    def evict(self, artifact: Idle, reason: EvictReason, idle_seconds: float = 0.0) -> bool:
        """Evict an artifact unless its archive is locked; return whether it was evicted.

        Args:
            reason: with ``space`` an artifact that was pinned, or read within `idle_seconds` by
                the tables, stays.
        """
        kind, origin = LOCK_BY_NAME[artifact.lock_kind], RequestOrigin(caller="upkeep")
        try:
            with (
                hold(self.locks, kind, artifact.archive_url, origin) as held,
                guarded(self.database, held) as conn,
            ):
                if not repository.is_evictable(conn, artifact.id, reason, idle_seconds):
                    return False
                repository.mark_evicted(conn, artifact.id, reason)
        except (LockHeld, LockLost):
            return False
        metrics.ARTIFACTS_EVICTED.labels(reason).inc()
        log.info("evicted %s of %s: %s", artifact.name, artifact.archive_url, reason)
        return True

    def keep_quota(self) -> None:
        """Evict idle artifacts while the store exceeds its quota, as after it was lowered."""
        if 0 < self.terms.quota_bytes < self.space().used:
            prune(self, keep_bytes=self.terms.quota_bytes)

    def _reserve_or_free(
        self,
        count: int,
        reserve: Callable[[], int],
        sparing: str | None = None,
        check: Callable[[], None] = lambda: None,
    ) -> None:
        """Reserve `count` bytes, and free space for them if that helps.

        Args:
            reserve: reserves them; returns how many are lacking.
            sparing: evict nothing of this archive.
            check: see `reserve`.
        """
        quota = self.terms.quota_bytes
        if not quota:
            return
        if count > quota:
            raise NoSpace(
                f"{count} bytes are needed, and the quota of the whole store is {quota}:"
                " raise STAGING_QUOTA_BYTES, or ask for less",
                retryable=False,
            )
        lacking = reserve()
        if lacking and self.collect():
            lacking = reserve()
        skipped: set[str] = set()
        for _ in range(_TRIES):
            if not lacking or not self._free_space(lacking, sparing, skipped, check):
                break
            lacking = reserve()
        if lacking and self.collect(busy_too=True):
            lacking = reserve()
        if lacking:
            raise NoSpace(
                f"{count} bytes are needed, {lacking} more than the quota of {quota} leaves,"
                " and evicting all that is idle would not free them",
                retry_after_seconds=min(self.terms.evictable_seconds, 60.0),
            )

    def _free_space(
        self, lacking: int, sparing: str | None, skipped: set[str], check: Callable[[], None]
    ) -> bool:
        """Evict artifacts that free `lacking` bytes; False if none can, and none was evicted."""
        idle_seconds = self.terms.evictable_seconds
        planned = eviction.plan(self.database, lacking, idle_seconds, sparing, skipped)
        if planned.frees_bytes < lacking:
            return False
        for artifact in planned.artifacts:
            check()
            if not self.evict(artifact, "space", idle_seconds):
                # Read, pinned or worked on since: without it the plan may not be enough.
                skipped.add(artifact.id)
                break
        self.collect()
        return True

    def _database_time(self) -> float:
        with self.database.connect() as conn:
            return repository.database_time(conn).timestamp()

    def _reserve(self, artifact_id: str, held: Hold, count: int) -> int:
        with guarded(self.database, held) as conn:
            return repository.reserve(conn, artifact_id, held.lease, count, self.terms.quota_bytes)

    def _reserve_upload(self, upload_id: str, count: int) -> int:
        quota = self.terms.quota_bytes
        with self.database.begin() as conn:
            return repository.reserve_upload(conn, upload_id, count, quota, UPLOAD_SECONDS)


def prune(
    upkeep: Upkeep,
    *,
    keep_bytes: int = 0,
    idle_seconds: float | None = None,
    dry_run: bool = False,
) -> Pruned:
    """Evict idle, unpinned artifacts, the idlest first, and remove their bytes.

    Artifacts that would free nothing stay: keeping them costs nothing.

    Args:
        upkeep: of the store.
        keep_bytes: stop once the store has no more than this.
        idle_seconds: evict artifacts not read for so long; None: by the terms of the store.
        dry_run: only say what would be evicted.

    Raises:
        StoreAbsent: it is not mounted, or another one is.
        Unavailable: the database cannot be reached.
    """
    upkeep.identity.check()
    idle_seconds = upkeep.terms.evictable_seconds if idle_seconds is None else idle_seconds
    before = upkeep.space().staying
    evicted: list[Idle] = []
    skipped: set[str] = set()
    for _ in range(_TRIES):
        need = upkeep.space().staying - keep_bytes
        planned = eviction.plan(upkeep.database, need, idle_seconds, skipped=skipped)
        if dry_run:
            return Pruned(planned.artifacts, planned.frees_bytes)
        done = [each for each in planned.artifacts if upkeep.evict(each, "space", idle_seconds)]
        evicted += done
        if len(done) == len(planned.artifacts):
            break
        skipped |= {each.id for each in planned.artifacts} - {each.id for each in done}
    upkeep.collect()
    return Pruned(tuple(evicted), max(before - upkeep.space().staying, 0))
