"""Wait for an upload, with one poll of an archive for all waiters on all pods.

A poll is one look at the names of the archive (`archive_names`). An archive is worth waiting for if
the request says so, or if some of its objects exist and its manifest does not. If no object exists,
or if the manifest lacks an artifact, the answer is known at once.

A request that waits keeps its lock, but not its work slot; a worker keeps nothing: it postpones the
artifacts to the next look. The time waited so far is in the row of the staging, so a resumed wait
has the remaining time. One of all waiters claims the row in ``upload_polls``, whatever lock it
holds; the others read its result.

What if the process dies? While it waits: its lock expires, and a worker continues with the
remaining time. While it polls: another waiter makes the next poll when it is due.
"""

import random
import threading
import time
from collections.abc import Callable, Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass, field

from staging_api.catalogue.absence import absent_object
from staging_api.catalogue.model import ArtifactKind
from staging_api.clients import Client
from staging_api.db.engine import Database
from staging_api.errors import (
    Cancelled,
    Unavailable,
    UploadWaitOver,
)
from staging_api.locks.hold import guarded
from staging_api.locks.keeper import Hold
from staging_api.shutdown import Shutdown
from staging_api.sources.model import Names, Source, SourceOptions
from staging_api.staging.archive_names import ArchiveNames
from staging_api.staging.model import StagingRequest
from staging_api.staging.repository import reading, staging_rows, upload_rows
from staging_api.staging.watch import Watch
from staging_api.work_slots import no_slot

# Interval of checking that the lock is still held.
_STEP_SECONDS = 5.0


@dataclass(frozen=True)
class UploadTerms:
    """The limits of waits for uploads.

    Attributes:
        wait_seconds: the longest wait; 0 never waits.
        poll_seconds: time between two looks at an archive, varied at random by half.
        waiter_slots: slots of requests that may wait, for any reason.
        options: names and limits of a manifest.
    """

    wait_seconds: float = 600.0
    poll_seconds: float = 10.0
    waiter_slots: threading.Semaphore = field(
        default_factory=lambda: threading.BoundedSemaphore(16)
    )
    options: SourceOptions = field(default_factory=SourceOptions)


class UploadProgress:
    """The progress of one archive's upload, for one staging."""

    def __init__(
        self,
        database: Database,
        source: Source,
        request: StagingRequest,
        staging_id: str,
        terms: UploadTerms,
        *,
        shutdown: Shutdown,
        watch: Watch,
        aside: Callable[[], AbstractContextManager[Client]] = no_slot,
    ) -> None:
        """Send no request yet.

        Args:
            watch: wakes the wait when the staging is cancelled; has `terms.waiter_slots`.
            aside: entered during a wait, to give up the work slot.
        """
        self._database = database
        self._request = request
        self._staging_id = staging_id
        self._terms = terms
        self._shutdown = shutdown
        self._watch = watch
        self._aside = aside
        self._archive = ArchiveNames(
            database, source, request, terms.options, waits=terms.wait_seconds > 0
        )

    @property
    def names(self) -> Names:
        """The objects of the last look; raises the errors of `ArchiveNames.names`."""
        return self._archive.names

    @property
    def listed(self) -> Sequence[str] | None:
        """The names of the last look at a list; None if no list was needed, or there is none."""
        return self._archive.listed

    def names_for(self, kind: ArtifactKind) -> Sequence[str]:
        """Return the objects to choose from for one artifact; see `ArchiveNames.names_for`."""
        return self._archive.names_for(kind)

    def lacks(self, kind: ArtifactKind) -> bool:
        """Return whether a required artifact is not uploaded yet."""
        return not kind.optional and not self._archive.find(kind)

    def awaited(self, kind: ArtifactKind, held: Hold, *, patient: bool) -> bool:
        """Wait until an artifact is uploaded, or cannot come any more.

        Args:
            kind: the artifact.
            held: the lock under which it is staged.
            patient: whether to wait here; otherwise the artifact is postponed to the next look.

        Returns:
            False if the artifact was postponed.

        Raises:
            UploadWaitOver: it was not uploaded in time.
            Unavailable: too many requests wait here already; a worker waits instead.
            Cancelled: the staging was cancelled.
            ClientGone: the client closed its connection.
            LockLost: another process works on it now.
            ShuttingDown: this process ends; another waits instead.
        """
        if not self.lacks(kind) or not self._can_come(kind):
            return True
        with guarded(self._database, held) as conn:
            left = upload_rows.begin_upload_wait(
                conn, self._staging_id, kind.name, self._allowed_seconds
            )
        if not patient:
            return self._put_off(kind, held, left)
        with self._watch.waiter_slot() as has_slot:
            if not has_slot:
                raise Unavailable(
                    "too many requests wait for uploads here (STAGING_WAITERS); a worker waits for"
                    " this one",
                    retry_after_seconds=self._terms.poll_seconds,
                )
            with self._aside() as client:
                self._wait(kind, held, time.monotonic() + left, client)
        self._end(held)
        return True

    @property
    def _allowed_seconds(self) -> float:
        requested, most = self._request.upload_wait_seconds, self._terms.wait_seconds
        return most if requested is None else min(requested, most)

    def _can_come(self, kind: ArtifactKind) -> bool:
        """Return whether an absent artifact is worth waiting for."""
        # An archive without any list does not show that it is still being uploaded.
        if self._allowed_seconds <= 0 or self._archive.archive_is_absent:
            return False
        if not self._archive.has_manifest():
            return True
        # The artifact may have been uploaded since the names were listed.
        self._archive.look_again()
        return False

    def _put_off(self, kind: ArtifactKind, held: Hold, left: float) -> bool:
        self._shared_look()
        if not self.lacks(kind):
            self._end(held)
            return True
        if left <= 0:
            raise self._over(kind, held)
        with guarded(self._database, held) as conn:
            pause = min(left, self._pause())
            upload_rows.put_off(conn, self._request.archive_url, kind.name, pause)
        return False

    def _wait(self, kind: ArtifactKind, held: Hold, deadline: float, client: Client) -> None:
        while True:
            next_in = self._shared_look()
            if not self.lacks(kind) or not self._can_come(kind):
                return
            if time.monotonic() >= deadline:
                raise self._over(kind, held)
            self._pass(min(deadline, time.monotonic() + next_in), held, client)

    def _pass(self, until: float, held: Hold, client: Client) -> None:
        """Wait until a time; raise if the staging is cancelled, its lock lost, or at shutdown."""
        while (left := until - time.monotonic()) > 0:
            with self._database.connect() as conn:
                if staging_rows.cancel_is_requested(conn, self._staging_id):
                    raise Cancelled(f"staging {self._staging_id} was cancelled")
                version = reading.versions(conn, [self._staging_id])[self._staging_id]
            self._watch.changed(self._staging_id, version, min(left, _STEP_SECONDS), client)
            held.assert_held()
            self._shutdown.check_begun()

    def _shared_look(self) -> float:
        """Poll, or read the newest poll; return the seconds until the next poll is due."""
        with self._database.connect() as conn:
            mine = upload_rows.claim_poll(conn, self._request.archive_url, self._pause())
        # The archive is read between the statements, not in a transaction: it may be slow.
        if mine:
            self._archive.forget_absent()
            found = self._archive.look_again()
            with self._database.connect() as conn:
                upload_rows.note_poll(conn, self._request.archive_url, found)
        with self._database.connect() as conn:
            seen = upload_rows.newest_poll(conn, self._request.archive_url)
        if seen.names is not None:
            self._archive.take(seen.names)
        if not seen.names:
            # Perhaps there will be no list, and each waiter must look for the objects it names
            # itself.
            self._archive.forget_absent()
        return max(seen.next_in_seconds, 0.0)

    def _pause(self) -> float:
        # Random, so that the waiters of many archives on one source do not get in step.
        return self._terms.poll_seconds * random.uniform(0.5, 1.5)  # noqa: S311 - nothing secret

    def _end(self, held: Hold) -> None:
        with guarded(self._database, held) as conn:
            upload_rows.end_upload_wait(conn, self._staging_id)

    def _over(self, kind: ArtifactKind, held: Hold) -> UploadWaitOver:
        self._end(held)
        return UploadWaitOver(
            f"{kind.name} did not come within {self._allowed_seconds:.0f} s:"
            f" {absent_object(kind, self._archive.listed or [], self._request.archive_url)}"
        )
