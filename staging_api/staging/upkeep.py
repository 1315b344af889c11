"""The upkeep of the store: its terms, clocks and identity, and garbage collection.

An artifact is evicted by its row, under its archive's lock, and is not served any more from that
commit on. The same commit marks contents that no file names any more for deletion. `Upkeep.collect`
removes them later, in three steps: it claims their rows, removes the files while no transaction is
open, and deletes the rows. A staging that names a claimed content is refused, and retries; a
staging that names a marked or deleted content looks for the file first. So of a concurrent eviction
and staging of the same content, either the file stays or the staging notices and fetches it again.
A reader that has the file open reads it to the end.

What if the process dies?

- After an eviction: its contents are marked, and the next `collect` of any process removes them.
- After the claim, or with some files removed: the claimed contents cannot be named until the claim
expires (`BlobStore.removal_seconds`); then the next `collect` claims them.
- Frozen past its claim, and continued just before it removes a file: the file is lost to a staging
that named it meanwhile; the first read notices, and it is staged again (`staging.damage`).
"""

import logging
from dataclasses import dataclass, field
from functools import cached_property

from staging_api.db.engine import Database, database_time
from staging_api.errors import StagingApiError, StoreAbsent, StoreFailed
from staging_api.locks.hold import Locks
from staging_api.staging.repository import pack_rows, space_rows, store_rows
from staging_api.staging.repository.space_rows import StoreSpace
from staging_api.staging.store_identity import StoreIdentity
from staging_api.store.blob_store import BlobStore

log = logging.getLogger(__name__)

#: Contents claimed and removed together: as many as a slow bucket removes within the time of a
#: claim.
_AT_ONCE = 50
#: Rows that one transaction deletes: some tens of milliseconds.
_ROWS_AT_ONCE = 5000
#: How far the clock of the store may be ahead of the database's when old files are swept.
_MOST_AHEAD_SECONDS = 300.0


@dataclass(frozen=True)
class StoreTerms:
    """Limits and times of the store.

    Attributes:
        quota_bytes: limit of all contents, reservations included; 0: as much as the disk has.
        idle_seconds: artifacts handed out within this time are not evicted to free space.
        noted_seconds: by how much the time of a read in the tables may be late; added to
            `idle_seconds`.
        grace_seconds: contents that no row names stay for this time: a row may be about to name
            them.
        busy_seconds: a file that a staging has just found in the store is not removed for this
            time.
        check_seconds: interval between two checks of the same shard of the store.
        scrub_bytes_per_second: rate at which each worker reads contents again; 0: not at all.
        scrub_pause_seconds: least time between two readings of the same content.
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
        """The least age of an artifact's last recorded read at which it may be evicted."""
        return self.idle_seconds + self.noted_seconds


@dataclass(frozen=True)
class CollectionResult:
    """The result of one turn of the collector, as numbers of contents."""

    claimed: int = 0
    removed: int = 0
    failed: int = 0

    @property
    def may_be_more(self) -> bool:
        """Whether another turn may find more contents."""
        return self.claimed == _AT_ONCE


@dataclass(frozen=True)
class Upkeep:
    """One store with its rows, on which quota, eviction, checks and garbage collection work."""

    database: Database
    locks: Locks
    blobs: BlobStore
    terms: StoreTerms = field(default_factory=StoreTerms)

    @cached_property
    def identity(self) -> StoreIdentity:
        """The identity of the store, which is checked before its contents are trusted."""
        return StoreIdentity(self.database, self.blobs)

    def known_time(self) -> float:
        """Return the time (seconds since the epoch) for judging the age of files of the store.

        The earlier time of two clocks, the store's and the database's: so a clock that jumped ahead
        makes no file old, and a clock that jumped back only delays removals.
        """
        return min(self._database_time(), self.blobs.time())

    def check_clocks(self) -> None:
        """Check that the clock which dates files of the store did not jump ahead.

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

    def space(self) -> StoreSpace:
        """Return how full the store is."""
        with self.database.connect() as conn:
            return space_rows.space(conn)

    def collect(self, *, busy_too: bool = False) -> int:
        """Remove all contents that are marked for deletion; return their number.

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

    def forget_dropped(self, at_once: int = _ROWS_AT_ONCE) -> int:
        """Delete the rows of the files of dropped packs, which no query reads; return their number.

        Each batch is a transaction, so that a million rows block no other transaction.
        """
        with self.database.connect() as conn:
            dropped = pack_rows.dropped_packs(conn, _AT_ONCE)
        deleted = 0
        for artifact_id in dropped:
            start: str | None = ""
            while start is not None:
                with self.database.begin() as conn:
                    count, start = pack_rows.forget_packed(conn, artifact_id, at_once, start)
                deleted += count
        return deleted

    def collect_some(self, *, busy_too: bool = False) -> CollectionResult:
        """Remove some contents, each independently; failed removals are tried again later."""
        claim_seconds = self.blobs.removal_seconds
        try:
            self.identity.check()
        except StoreAbsent:
            raise  # to another store, all of them would seem lost
        except StoreFailed as error:
            log.info("whether this is the right store is not known: %s", error.detail)
        with self.database.begin() as conn:
            claimed = store_rows.claim_marked(conn, _AT_ONCE, claim_seconds, busy_too=busy_too)
        if not claimed:
            return CollectionResult()
        busy: set[str] = set()
        try:
            if not busy_too:
                since = self.blobs.time() - self.terms.busy_seconds
                busy = self.blobs.used_since(claimed, since)
            with self.database.begin() as conn:
                going = store_rows.renew_claim(conn, set(claimed) - busy, claim_seconds)
            failed = self.blobs.remove_all(going)
        except (OSError, StagingApiError) as error:
            # Postpone them all: otherwise the next turn would meet the same error first.
            going, failed = claimed, dict.fromkeys(claimed, StoreFailed(str(error)))
        gone = [digest for digest in going if digest not in failed]
        with self.database.begin() as conn:
            store_rows.forget_blobs(conn, gone)
            store_rows.put_back(conn, busy - failed.keys(), self.terms.busy_seconds)
            store_rows.put_off_removal(conn, failed)
        if failed:
            digest, reason = next(iter(failed.items()))
            log.warning("%d contents were not removed, as %s: %s", len(failed), digest, reason)
        return CollectionResult(len(claimed), len(gone), len(failed))

    def _database_time(self) -> float:
        with self.database.connect() as conn:
            return database_time(conn).timestamp()
