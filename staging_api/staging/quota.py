"""The quota of the store: space is reserved before bytes are written, and freed if that helps.

What if the process dies? The reservation of an artifact counts as long as the lease under which it
was made, that of an upload for `UPLOAD_SECONDS`.
"""

from collections.abc import Callable
from dataclasses import dataclass

from staging_api.errors import NoSpace
from staging_api.locks.hold import guarded
from staging_api.locks.keeper import Hold
from staging_api.staging import eviction
from staging_api.staging.repository import space_rows
from staging_api.staging.upkeep import Upkeep

#: The reservation of an upload expires after this time, unless it is renewed.
UPLOAD_SECONDS = 900.0
#: How often to try again if other requests take the space that was just freed.
_TRIES = 5


@dataclass(frozen=True)
class Quota:
    """Reservations in one store; without a quota every one is granted."""

    upkeep: Upkeep

    def reserve(
        self,
        artifact_id: str,
        held: Hold,
        count: int,
        check: Callable[[], None] = lambda: None,
    ) -> None:
        """Reserve `count` bytes in all for an artifact that is being staged.

        Frees space if that helps: first garbage is collected, then the idlest artifacts are
        evicted. Artifacts that were read recently, are pinned or belong to the same archive stay,
        and all stay if evicting would not free enough.

        Args:
            artifact_id: the artifact.
            held: the lock of its archive.
            count: bytes in all.
            check: called between two evictions; an exception ends them.

        Raises:
            NoSpace: there is not enough space, and none can be freed; not retryable if the whole
                quota is less.
            LockLost: another process works on the archive now.
        """
        self._reserve_or_free(
            count, lambda: self._reserve(artifact_id, held, count), held.lease.scope, check
        )

    def reserve_upload(self, upload_id: str, count: int) -> None:
        """Reserve `count` bytes in all for an upload, for `UPLOAD_SECONDS`; see `reserve`.

        Raises:
            NoSpace: as for `reserve`.
        """
        self._reserve_or_free(count, lambda: self._reserve_upload(upload_id, count))

    def reserve_more_for_upload(self, upload_id: str, count: int) -> bool:
        """Reserve like `reserve_upload`, without freeing space; return whether it succeeded."""
        return not self.upkeep.terms.quota_bytes or not self._reserve_upload(upload_id, count)

    def release_upload(self, upload_id: str) -> None:
        """Release the reservation of an upload: written bytes are counted as used."""
        if self.upkeep.terms.quota_bytes:
            with self.upkeep.database.connect() as conn:
                space_rows.release_upload(conn, upload_id)

    def reserve_more(self, artifact_id: str, held: Hold, count: int) -> bool:
        """Reserve like `reserve`, without freeing space; return whether it succeeded.

        Raises:
            LockLost: another process works on the archive now.
        """
        return not self.upkeep.terms.quota_bytes or not self._reserve(artifact_id, held, count)

    def keep(self) -> None:
        """Evict idle artifacts if the store exceeds its quota, as after the quota was lowered."""
        if 0 < self.upkeep.terms.quota_bytes < self.upkeep.space().used:
            eviction.prune(self.upkeep, keep_bytes=self.upkeep.terms.quota_bytes)

    def _reserve_or_free(
        self,
        count: int,
        reserve: Callable[[], int],
        sparing: str | None = None,
        check: Callable[[], None] = lambda: None,
    ) -> None:
        """Reserve `count` bytes, and free space for them if that helps.

        Args:
            reserve: reserves the bytes; returns how many are lacking.
            sparing: archive whose artifacts are not evicted.
            check: see `reserve`.
        """
        quota = self.upkeep.terms.quota_bytes
        if not quota:
            return
        if count > quota:
            raise NoSpace(
                f"{count} bytes are needed, and STAGING_QUOTA_BYTES limits the whole store to"
                f" {quota}: raise it, or request less",
                retryable=False,
            )
        lacking = reserve()
        if lacking and self.upkeep.collect():
            lacking = reserve()
        skipped: set[str] = set()
        for _ in range(_TRIES):
            if not lacking or not self._free_space(lacking, sparing, skipped, check):
                break
            lacking = reserve()
        # Last, as it costs most: a staging that relies on these contents has to fetch them again.
        if lacking and self.upkeep.collect(busy_too=True):
            lacking = reserve()
        if lacking:
            space = self.upkeep.space()
            raise NoSpace(
                f"{count} bytes are needed, {lacking} more than STAGING_QUOTA_BYTES ({quota})"
                f" leaves: {space.used} are used, and {space.reserved} reserved for work in"
                " progress; evicting all that is idle and not pinned would not free them",
                retry_after_seconds=min(self.upkeep.terms.evictable_seconds, 60.0),
            )

    def _free_space(
        self, lacking: int, sparing: str | None, skipped: set[str], check: Callable[[], None]
    ) -> bool:
        """Evict artifacts to free `lacking` bytes; return False if idle ones cannot."""
        idle_seconds = self.upkeep.terms.evictable_seconds
        planned = eviction.plan(
            self.upkeep.database, lacking, idle_seconds, sparing, skipped=skipped
        )
        if planned.frees_bytes < lacking:
            return False
        for artifact in planned.artifacts:
            check()
            if not eviction.evict(self.upkeep, artifact, "space", idle_seconds):
                # The artifact was read, pinned or worked on meanwhile: the rest of the plan may not
                # free enough.
                skipped.add(artifact.id)
                break
        self.upkeep.collect()
        return True

    def _reserve(self, artifact_id: str, held: Hold, count: int) -> int:
        with guarded(self.upkeep.database, held) as conn:
            return space_rows.reserve(
                conn, artifact_id, held.lease, count, self.upkeep.terms.quota_bytes
            )

    def _reserve_upload(self, upload_id: str, count: int) -> int:
        quota = self.upkeep.terms.quota_bytes
        with self.upkeep.database.begin() as conn:
            return space_rows.reserve_upload(conn, upload_id, count, quota, UPLOAD_SECONDS)
