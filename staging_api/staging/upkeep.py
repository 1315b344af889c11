"""Keeping the store: its quota, what is evicted, and the removal of what nothing names.

An artifact is evicted by its row, under its archive's lock, and nothing of it is served from that
commit on. Contents that no file names any more are doomed by the same commit. `Upkeep.collect`
removes them later, in three steps: it claims their rows, removes the files while no transaction is
open, and forgets the rows. Who names a content that is claimed is refused, and comes again; who
names one that was doomed or gone looks for the file first. So of an eviction and a staging of the
same content, at the same moment, either the file stays or the staging notices and fetches it again.
A reader that has the file open reads it to the end.

What if the process dies?

- After an eviction: its contents are doomed, and the next `collect`, anywhere, removes them.
- After the claim, or with some files removed: nobody may name the claimed ones until the claim is
  over (`BlobStore.removal_seconds`); then the next `collect` takes them up.
- With space reserved: the reservation counts as long as the lease under which it was made.
- Frozen past its claim, and continued just before it removes a file: the file is lost to whoever
  named it meanwhile; the first read notices, and it is staged again (`staging.damage`).
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
#: What is promised to an upload counts for so long, unless it is renewed.
UPLOAD_SECONDS = 900.0
#: By how much the clock of the store may be ahead of the database's while what is old is swept.
_MOST_AHEAD_SECONDS = 300.0
#: How often others may be faster to take the room that was just made.
_TRIES = 5


@dataclass(frozen=True)
class StoreTerms:
    """What the store may hold, and for how long.

    Attributes:
        quota_bytes: of all contents, promised ones included; 0: as much as the disk has.
        idle_seconds: what was handed out since then is not evicted to make room.
        noted_seconds: by how much the time of a read in the tables may be too old; comes on top.
        grace_seconds: what no row names stays for so long: somebody may be about to.
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
    """What keeping the store takes, and its steps."""

    database: Database
    locks: Locks
    blobs: BlobStore
    terms: StoreTerms = field(default_factory=StoreTerms)

    @cached_property
    def identity(self) -> StoreIdentity:
        """Which store this is: to be checked before anything is believed of it."""
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
            StoreFailed: it is ahead of the database's; by it, what is in use may look old.
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

        Makes room if that helps: first what is doomed is removed, then what is idlest is evicted.
        Nothing is evicted that was read lately, is pinned or belongs to the same archive, and
        nothing at all if it would not be enough.

        Args:
            artifact_id: for which.
            held: the lock of its archive.
            count: bytes in all.
            check: is asked between two evictions; what it raises ends them.

        Raises:
            NoSpace: there is not so much room, and none can be made; for good if the whole quota
                is less.
            LockLost: another works on the archive now.
        """
        self._find_room(
            count, lambda: self._reserve(artifact_id, held, count), held.lease.scope, check
        )

    def reserve_upload(self, upload_id: str, count: int) -> None:
        """Keep space for an upload, so many bytes in all, for `UPLOAD_SECONDS`; see `reserve`.

        Raises:
            NoSpace: as with `reserve`.
        """
        self._find_room(count, lambda: self._reserve_upload(upload_id, count))

    def reserve_more_for_upload(self, upload_id: str, count: int) -> bool:
        """Keep space as `reserve_upload`, if it is there; says whether, and makes no room."""
        return not self.terms.quota_bytes or not self._reserve_upload(upload_id, count)

    def release_upload(self, upload_id: str) -> None:
        """Give back what was kept for an upload: what it wrote counts by itself."""
        if self.terms.quota_bytes:
            with self.database.connect() as conn:
                repository.release_upload(conn, upload_id)

    def reserve_more(self, artifact_id: str, held: Hold, count: int) -> bool:
        """Keep space as `reserve`, if it is there; says whether, and makes no room for it.

        Raises:
            LockLost: another works on the archive now.
        """
        return not self.terms.quota_bytes or not self._reserve(artifact_id, held, count)

    def collect(self, *, busy_too: bool = False) -> int:
        """Remove contents that nothing names any more; returns how many.

        Args:
            busy_too: also what a staging has just found in the store: it fetches that again.
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
            raise  # in another store would be found that all of it is gone already
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
            # Whatever it is, it must not be met again and again at the head of the line.
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
        """Evict what is idle while the store holds more than its quota, as after a lower one."""
        if 0 < self.terms.quota_bytes < self.space().used:
            prune(self, keep_bytes=self.terms.quota_bytes)

    def _find_room(
        self,
        count: int,
        reserve: Callable[[], int],
        sparing: str | None = None,
        check: Callable[[], None] = lambda: None,
    ) -> None:
        """Have so many bytes promised, and make room for them if that helps.

        Args:
            count: bytes.
            reserve: asks for them; gives how many are lacking.
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
            if not lacking or not self._make_room(lacking, sparing, skipped, check):
                break
            lacking = reserve()
        if lacking and self.collect(busy_too=True):
            lacking = reserve()
        if lacking:
            raise NoSpace(
                f"{count} bytes are needed, {lacking} more than the quota of {quota} leaves,"
                " and what is not in use does not make up for it",
                retry_after_seconds=min(self.terms.evictable_seconds, 60.0),
            )

    def _make_room(
        self, lacking: int, sparing: str | None, skipped: set[str], check: Callable[[], None]
    ) -> bool:
        """Evict what frees so many bytes; False: nothing does, and nothing was evicted."""
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
    """Evict what is idle and not pinned, the idlest first, and remove its bytes.

    What frees nothing stays: to stage it again would cost, and to keep it costs nothing.

    Args:
        upkeep: of the store.
        keep_bytes: stop once the store has no more than this.
        idle_seconds: what nobody read for so long; None: as the terms of the store say.
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
