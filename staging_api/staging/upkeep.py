"""Keeping the store: its quota, what is evicted, and the removal of what nothing names.

An artifact is evicted by its row, under its archive's lock, and nothing of it is served from that
commit on. Contents that no file names any more are doomed by the same commit. `Upkeep.collect`
removes them later: it holds the lock on the row of each while it removes the file and then the
row, and who names a blob takes the same lock first and, if the row was doomed or gone, looks for
the file. So of an eviction and a staging of the same content, at the same moment, either the file
stays or the staging notices and fetches it again. A reader that has the file open reads it to the
end.

What if the process dies?

- After an eviction: its contents are doomed, and the next `collect`, anywhere, removes them.
- After a file was removed, before its row: the row is doomed and names nothing; `collect` again.
- With space reserved: the reservation counts as long as the lease under which it was made.
"""

import logging
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass, field

from staging_api.artifacts.store import BlobStore
from staging_api.db.engine import Database
from staging_api.errors import LockHeld, LockLost, NoSpace
from staging_api.locks.hold import Asker, Locks, guarded, hold
from staging_api.locks.keeper import Hold
from staging_api.staging import repository
from staging_api.staging.model import LOCK_BY_NAME
from staging_api.staging.repository import Idle, Space

log = logging.getLogger(__name__)

_AT_ONCE = 500
#: Of an artifact whose length nobody knows, so much is kept at a time.
_STEP_BYTES = 64 << 20


@dataclass(frozen=True)
class StoreTerms:
    """What the store may hold, and for how long.

    Attributes:
        quota_bytes: of all contents, promised ones included; 0: as much as the disk has.
        idle_seconds: what was read since then is not evicted to make room; longer than the minute
            by which the times of reads may be late.
        grace_seconds: what no row names stays for so long: somebody may be about to.
        busy_seconds: a file that a staging has just found in the store is not removed under it.
        check_seconds: between two checks of the same part of the store.
    """

    quota_bytes: int = 0
    idle_seconds: float = 300.0
    grace_seconds: float = 24 * 3600.0
    busy_seconds: float = 60.0
    check_seconds: float = 6 * 3600.0


@dataclass(frozen=True)
class Pruned:
    """What a prune did, or would do.

    Attributes:
        artifacts: evicted.
        freed_bytes: by the contents that were removed, or will be in a minute; of a dry run, what
            the artifacts have.
    """

    artifacts: tuple[Idle, ...]
    freed_bytes: int


@dataclass(frozen=True)
class Upkeep:
    """What keeping the store takes, and its steps."""

    database: Database
    locks: Locks
    blobs: BlobStore
    terms: StoreTerms = field(default_factory=StoreTerms)

    def space(self) -> Space:
        """How full the store is."""
        with self.database.connect() as conn:
            return repository.space(conn)

    def reserve(self, artifact_id: str, held: Hold, count: int) -> None:
        """Keep space for an artifact that is on its way, so many bytes in all.

        Evicts what is idlest to make room: nothing that was read lately, is pinned or belongs to
        the same archive.

        Raises:
            NoSpace: there is not so much room, and none can be made.
            LockLost: another works on the archive now.
        """
        if not self.terms.quota_bytes:
            return
        lacking = self._promise(artifact_id, held, count)
        if lacking:
            space = self.space()
            prune(self, keep_bytes=max(space.used - lacking, 0), sparing=held.lease.scope)
            lacking = self._promise(artifact_id, held, count)
        if lacking:
            raise NoSpace(
                f"{count} bytes are needed, {lacking} more than the quota of"
                f" {self.terms.quota_bytes} leaves"
            )

    def collect(self) -> int:
        """Remove contents that nothing names any more; returns how many."""
        removed = 0
        while True:
            with self.database.begin() as conn:
                doomed = repository.take_doomed(conn, _AT_ONCE)
                busy = {digest for digest in doomed if self._is_busy(digest)}
                gone = [digest for digest in doomed if digest not in busy]
                for digest in gone:
                    self.blobs.remove(digest)
                repository.forget_blobs(conn, gone)
                repository.put_back(conn, busy)
            removed += len(gone)
            if len(gone) < _AT_ONCE:
                return removed

    def evict(self, artifact: Idle, reason: str, idle_seconds: float = 0.0) -> bool:
        """Evict it, unless somebody works on its archive; says whether it did.

        Args:
            artifact: what.
            reason: ``space``: unless it was pinned, or read in `idle_seconds`; or ``lost``.
        """
        kind, asker = LOCK_BY_NAME[artifact.lock_kind], Asker(caller="upkeep")
        try:
            with (
                hold(self.locks, kind, artifact.archive_url, asker) as held,
                guarded(self.database, held) as conn,
            ):
                if not repository.is_evictable(conn, artifact.id, reason, idle_seconds):
                    return False
                repository.mark_evicted(conn, artifact.id, reason)
        except (LockHeld, LockLost):
            return False
        log.info("evicted %s of %s: %s", artifact.name, artifact.archive_url, reason)
        return True

    def tidy(self) -> None:
        """What somebody has to do now and then: never long, and safe to do many at once."""
        with self.database.connect() as conn:
            repository.forget_dead_reservations(conn)
            repository.compact_ledger(conn)
            repository.forget_polls(conn, self.terms.grace_seconds)
            repository.extend_events(conn)
        if 0 < self.terms.quota_bytes < self.space().used:
            prune(self, keep_bytes=self.terms.quota_bytes)
        self.collect()

    def _promise(self, artifact_id: str, held: Hold, count: int) -> int:
        with guarded(self.database, held) as conn:
            return repository.reserve(conn, artifact_id, held.lease, count, self.terms.quota_bytes)

    def _is_busy(self, digest: str) -> bool:
        used = self.blobs.last_use(digest)
        return used is not None and used > time.time() - self.terms.busy_seconds


def prune(
    upkeep: Upkeep,
    *,
    keep_bytes: int = 0,
    idle_seconds: float | None = None,
    sparing: str | None = None,
    dry_run: bool = False,
) -> Pruned:
    """Evict what is idle and not pinned, the idlest first, and remove its bytes.

    Args:
        upkeep: of the store.
        keep_bytes: stop once the store has no more than this.
        idle_seconds: what nobody read for so long; None: as the terms of the store say.
        sparing: nothing of this archive.
        dry_run: only say what would be evicted.

    Raises:
        Unavailable: the database cannot be reached.
    """
    idle_seconds = upkeep.terms.idle_seconds if idle_seconds is None else idle_seconds
    with upkeep.database.connect() as conn:
        idle = repository.idle_artifacts(conn, idle_seconds, sparing)
    used = before = _staying(upkeep)
    evicted = []
    for artifact in idle:
        if used <= keep_bytes:
            break
        if dry_run:
            used -= artifact.size_bytes
        elif upkeep.evict(artifact, "space", idle_seconds):
            upkeep.collect()
            used = _staying(upkeep)
        else:
            continue
        evicted.append(artifact)
    return Pruned(tuple(evicted), before - used)


def _staying(upkeep: Upkeep) -> int:
    """Bytes of the store, less those of contents that wait for their last reader to be gone."""
    with upkeep.database.connect() as conn:
        return repository.space(conn).used - repository.doomed_bytes(conn)


class Room:
    """Space for one artifact: asked for in steps, before its bytes are written."""

    def __init__(self, reserve: Callable[[int], None]) -> None:
        """`reserve` is told how many bytes are needed in all, and raises if there is no room."""
        self._reserve = reserve
        self._needed = 0
        self._kept = 0
        self._lock = threading.Lock()

    def __call__(self, count: int) -> None:
        """So many bytes more are needed now; safe from several threads.

        Raises:
            NoSpace: there is no room for them.
        """
        with self._lock:
            self._needed += count
            if self._needed > self._kept:
                self._keep(self._needed if not self._kept else self._needed + _STEP_BYTES)

    def _keep(self, count: int) -> None:
        try:
            self._reserve(count)
        except NoSpace:
            # The last step need not fit whole.
            if count == self._needed:
                raise
            count = self._needed
            self._reserve(count)
        self._kept = count
