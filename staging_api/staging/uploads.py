"""Wait for an upload, with one poll of an archive for all waiters on all pods.

A poll reads the manifest, which the uploader writes last, or else a listing. Each version of a
manifest is read once and kept in ``manifests``, so later attempts only compare versions. What a
catalogue or a request names without a glob is asked for by that name first, and needs neither. An
archive is worth waiting for if the request says so, or if something of it is there and its manifest
is not; of an archive of which nothing is there, and of one whose manifest lacks an artifact, the
answer is known at once.

A request that waits keeps its lock, and no slot of those that work; a worker keeps nothing:
it puts the artifacts off to the next look. How long has been waited is in the row of the staging,
so a resumed wait has the remaining time. One of all waiters claims the row in ``upload_polls``,
whatever lock it holds; the others read its result.

What if the process dies? While it waits: its lock runs out, and a worker goes on with the rest of
the time. While it polls: another waiter makes the next poll when it is due.
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
    ArchiveNotFound,
    Cancelled,
    NotFound,
    Unavailable,
    UploadWaitOver,
)
from staging_api.locks.hold import guarded
from staging_api.locks.keeper import Hold
from staging_api.shutdown import Shutdown
from staging_api.sources.manifest import Manifest, find_manifest, read_manifest
from staging_api.sources.model import Names, Source, SourceOptions
from staging_api.staging import repository
from staging_api.staging.model import StagingRequest
from staging_api.staging.presence import Presence
from staging_api.staging.watch import Watch
from staging_api.work_slots import no_slot

# Between two looks at whether the lock is still held.
_STEP_SECONDS = 5.0


@dataclass(frozen=True)
class UploadTerms:
    """How uploads are waited for.

    Attributes:
        wait_seconds: the longest wait; 0 never waits.
        poll_seconds: between two looks at an archive, half of it more or less.
        waiter_slots: of the requests that may wait, for whatever.
        options: what a manifest is called, and how long it may be.
    """

    wait_seconds: float = 600.0
    poll_seconds: float = 10.0
    waiter_slots: threading.Semaphore = field(
        default_factory=lambda: threading.BoundedSemaphore(16)
    )
    options: SourceOptions = field(default_factory=SourceOptions)


class Upload:
    """What one archive has so far, for one staging that is worked on."""

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
        """Make no request yet.

        Args:
            watch: wakes the wait when the staging is cancelled; has `terms.waiter_slots`.
            aside: entered to wait, without the slot of those that work.
        """
        self._database = database
        self._source = source
        self._request = request
        self._staging_id = staging_id
        self._terms = terms
        self._shutdown = shutdown
        self._watch = watch
        self._aside = aside
        self._names: Names | None = None
        self._absent: str | None = None
        self._presence = Presence(source, request.url.build)

    @property
    def names(self) -> Names:
        """The objects that were there at the last look.

        Raises:
            ArchiveNotFound: nothing is there, and the request did not say that something will be.
        """
        if self._absent is not None:
            # One look is the answer for each artifact of an archive that is not there.
            raise ArchiveNotFound(self._absent)
        if self._names is None:
            try:
                self._names = self._look()
            except ArchiveNotFound as error:
                self._absent = error.detail
                raise
        return self._names

    @property
    def listed(self) -> Sequence[str] | None:
        """The names of the last look at a list; None if no list was needed, or there is none."""
        return self._names

    def names_for(self, kind: ArtifactKind) -> Sequence[str]:
        """The objects to choose from for one artifact; without a glob it needs no list of all.

        Raises:
            ArchiveNotFound: nothing is there.
            SourceRefused: the source says neither what there is, nor that it is not.
        """
        name = self._presence.find(kind, self._names or ())
        if name is not None:
            return [name]
        try:
            return self.names
        except ArchiveNotFound:
            if (refusal := self._presence.refusal(kind)) is not None:
                raise refusal from None
            # What has no glob was looked for by name, so it is absent, if the archive is not. What
            # needs a list was not looked for at all.
            if not kind.has_names(self._request.url.build) or not self._is_known:
                raise
            return sorted(self._presence.seen)

    @property
    def _is_known(self) -> bool:
        """Whether something of the archive was found or staged: then there is such an archive."""
        if self._presence.seen:
            return True
        names = self._request.names
        with self._database.connect() as conn:
            rows = repository.artifacts_of(conn, self._request.archive_url, names)
        return any(row.state == "staged" for row in rows)

    def lacks(self, kind: ArtifactKind) -> bool:
        """Whether an artifact that must be there is not there yet."""
        return not kind.optional and not kind.find(self.names_for(kind), self._request.url.build)

    def awaited(self, kind: ArtifactKind, held: Hold, *, patient: bool) -> bool:
        """Wait until an artifact is there, or cannot come any more.

        Args:
            kind: what.
            held: the lock it is staged under.
            patient: whether to wait here; else it is put off to the next look.

        Returns:
            False: it was put off.

        Raises:
            UploadWaitOver: it did not come in time.
            Unavailable: too many wait here already; a worker waits instead.
            Cancelled: the staging was cancelled.
            ClientGone: the client closed its connection.
            LockLost: another works on it now.
            ShuttingDown: this process ends; another waits instead.
        """
        if not self.lacks(kind) or not self._can_come(kind):
            return True
        with guarded(self._database, held) as conn:
            left = repository.begin_upload_wait(
                conn, self._staging_id, kind.name, self._allowed_seconds
            )
        if not patient:
            return self._put_off(kind, held, left)
        with self._watch.waiter_slot() as has_slot:
            if not has_slot:
                raise Unavailable(
                    "too many requests wait for uploads here; a worker waits for this one",
                    retry_after_seconds=self._terms.poll_seconds,
                )
            with self._aside() as client:
                self._wait(kind, held, time.monotonic() + left, client)
        self._end(held)
        return True

    @property
    def _expected(self) -> bool:
        """Whether the request says that the archive will come."""
        return bool(self._request.upload_wait_seconds)

    @property
    def _allowed_seconds(self) -> float:
        requested, most = self._request.upload_wait_seconds, self._terms.wait_seconds
        return most if requested is None else min(requested, most)

    def _can_come(self, kind: ArtifactKind) -> bool:
        """Return whether an absent artifact is worth waiting for."""
        # An archive without any list does not say that it is still being uploaded.
        if self._allowed_seconds <= 0 or self._absent is not None:
            return False
        if not self._has_manifest():
            return True
        # It may have been written since the names were listed.
        self._names = self._look()
        return False

    def _has_manifest(self) -> bool:
        try:
            return find_manifest(self._source, self._terms.options) is not None
        except NotFound:
            return False

    def _look(self) -> Names:
        if (single := self._single_objects()) is not None:
            return Names(single)
        try:
            manifest = self._manifest()
            return self._source.names() if manifest is None else manifest.names
        except ArchiveNotFound:
            if self._expected and self._terms.wait_seconds > 0:
                return Names()
            raise

    def _single_objects(self) -> list[str] | None:
        """The objects that a request names one by one, if each is there; else None.

        A request that would not wait for them need not have a large archive listed.
        """
        patterns = [choice.pattern for kind in self._request.kinds for choice in kind.choices]
        if self._request.upload_wait_seconds != 0 or not all(each.literal for each in patterns):
            return None
        found = [each.glob for each in patterns if self._is_there(each.glob)]
        # At a bucket's root the list of all objects would be that of all archives.
        whole = len(found) == len(patterns) or not self._request.url.segments
        return found if whole else None

    def _is_there(self, name: str) -> bool:
        try:
            self._source.stat(name)
        except NotFound:
            return False
        return True

    def _manifest(self) -> Manifest | None:
        """The manifest, if there is one; of its versions each is read once, for all stagings."""
        archive_url = self._request.archive_url
        with self._database.connect() as conn:
            kept = repository.kept_manifest(conn, archive_url)
        manifest = read_manifest(self._source, self._terms.options, kept)
        if manifest is not None and manifest.version is not None and manifest is not kept:
            with self._database.connect() as conn:
                repository.keep_manifest(conn, archive_url, manifest)
        return manifest

    def _put_off(self, kind: ArtifactKind, held: Hold, left: float) -> bool:
        self._shared_look()
        if not self.lacks(kind):
            self._end(held)
            return True
        if left <= 0:
            raise self._over(kind, held)
        with guarded(self._database, held) as conn:
            pause = min(left, self._pause())
            repository.put_off(conn, self._request.archive_url, kind.name, pause)
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
        """Let time pass, unless the staging is cancelled, the lock lost or the process to end."""
        while (left := until - time.monotonic()) > 0:
            with self._database.connect() as conn:
                if repository.cancel_is_requested(conn, self._staging_id):
                    raise Cancelled(f"staging {self._staging_id} was cancelled")
                version = repository.versions(conn, [self._staging_id])[self._staging_id]
            self._watch.changed(self._staging_id, version, min(left, _STEP_SECONDS), client)
            held.assert_held()
            self._shutdown.check_begun()

    def _shared_look(self) -> float:
        """Poll, or read the newest poll; return the seconds until the next one is due."""
        with self._database.connect() as conn:
            mine = repository.claim_poll(conn, self._request.archive_url, self._pause())
        if mine:
            self._presence.forget_absent()
            self._names = self._look()
            with self._database.connect() as conn:
                repository.note_poll(conn, self._request.archive_url, self._names)
        with self._database.connect() as conn:
            seen = repository.newest_poll(conn, self._request.archive_url)
        if seen.names is not None:
            self._names = seen.names
        if not seen.names:
            # Perhaps there will be no list, and each waiter must look for what it named itself.
            self._presence.forget_absent()
        return max(seen.next_in_seconds, 0.0)

    def _pause(self) -> float:
        return self._terms.poll_seconds * random.uniform(0.5, 1.5)  # noqa: S311 - nothing secret

    def _end(self, held: Hold) -> None:
        with guarded(self._database, held) as conn:
            repository.end_upload_wait(conn, self._staging_id)

    def _over(self, kind: ArtifactKind, held: Hold) -> UploadWaitOver:
        self._end(held)
        return UploadWaitOver(
            f"{kind.name} did not come within {self._allowed_seconds:.0f} s:"
            f" {absent_object(kind, self._names or [], self._request.archive_url)}"
        )
