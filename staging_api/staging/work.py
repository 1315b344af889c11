"""The work on one archive's artifacts under its locks: the steps from ``pending`` to ``staged``."""

import logging
import threading
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import partial

from staging_api import metrics
from staging_api.catalogue.model import ArtifactKind
from staging_api.db.engine import Database
from staging_api.errors import (
    Cancelled,
    ClientGone,
    LockLost,
    ShuttingDown,
    StagingApiError,
    StoreAbsent,
    Unavailable,
)
from staging_api.formats.model import UnpackLimits
from staging_api.locks.hold import guarded
from staging_api.locks.keeper import Hold
from staging_api.shutdown import Shutdown
from staging_api.sources.model import Source, SourceObject
from staging_api.staging import engine
from staging_api.staging.attempt import Attempt, ThrottledProgress
from staging_api.staging.cached_objects import KnownContent, declared_content
from staging_api.staging.download import DownloadSpread
from staging_api.staging.engine import FetchedArtifact, FetchHooks
from staging_api.staging.model import StagedArtifact, StagingRequest
from staging_api.staging.packs import Packs
from staging_api.staging.quota import Quota
from staging_api.staging.repository import object_rows, reading, staging_rows, store_rows
from staging_api.staging.reservations import QuotaReservation
from staging_api.staging.side_by_side import by_objects, side_by_side
from staging_api.staging.stop_signals import StopSignals
from staging_api.staging.upkeep import Upkeep
from staging_api.staging.uploads import UploadProgress
from staging_api.staging.witnessed_source import WitnessedSource
from staging_api.staging.witnesses import Witnesses
from staging_api.staging.write_tracker import WriteTracker
from staging_api.store.blob_store import BlobStore

log = logging.getLogger(__name__)

#: The holds of the locks of one archive, by name of their lock kind.
Holds = Mapping[str, Hold]

#: Errors that end the work on a staging, and are no result of an artifact. The first ones take
#: precedence.
_NO_RESULT = (LockLost, Cancelled, ClientGone, ShuttingDown, StoreAbsent, Unavailable)


@dataclass(frozen=True)
class WorkMode:
    """The difference between work for a waiting client and work of a worker, which can retry.

    Attributes:
        attempts: number of attempts at an artifact after which a temporary failure is final.
        stops_between_artifacts: whether to stop before the next artifact once a shutdown has begun;
            otherwise the work goes on as long as the shutdown allows.
        waits_for_upload: whether to wait for an upload; otherwise the artifact is postponed.
    """

    attempts: int
    stops_between_artifacts: bool
    waits_for_upload: bool


#: A client waits for the work, and gets an error if it fails.
FOR_CLIENT = WorkMode(attempts=1, stops_between_artifacts=False, waits_for_upload=True)
#: A worker does it, and tries again later.
FOR_WORKER = WorkMode(attempts=5, stops_between_artifacts=True, waits_for_upload=False)


@dataclass(frozen=True)
class Work:
    """The unfinished work of one staging, done under its locks.

    Attributes:
        upload: the progress of the archive's upload.
        witnesses: the digests that the publisher gives of its objects.
        speed: when a download is spread over several connections.
        limits: limits for unpacking a container file.
        packs: which members go into packs.
        shutdown: whether and when this process ends.
        stop_signals: checked before every chunk.
        helpers: the threads that this process may add to those of its jobs.
    """

    database: Database
    blobs: BlobStore
    source: Source
    upload: UploadProgress
    witnesses: Witnesses
    staging_id: str
    request: StagingRequest
    holds: Holds
    upkeep: Upkeep
    speed: DownloadSpread
    limits: UnpackLimits
    packs: Packs
    mode: WorkMode
    shutdown: Shutdown
    stop_signals: StopSignals
    helpers: threading.Semaphore

    def foreground(self) -> StagingApiError | None:
        """Stage every foreground artifact that can be staged, also if another one fails.

        Returns:
            The error of the first artifact that failed, which is in its row, too.

        Raises:
            Cancelled: the staging was cancelled; its row says so.
            LockLost: another process may work on it now; nothing more was written.
            ShuttingDown: this process ends; the remaining artifacts are due again at once.
            Unavailable, StoreAbsent: something that every artifact needs is unavailable; the
                remaining artifacts are due again at once.
        """
        failed: dict[str, StagingApiError] = {}

        def stage(artifact: StagedArtifact) -> None:
            try:
                self._stage(artifact)
            except _NO_RESULT:
                raise
            except StagingApiError as error:
                _log_failure(artifact, error)
                failed[artifact.name] = error

        due = self._due("foreground")
        self._stage_all(due, stage)
        return next((failed[each.name] for each in due if each.name in failed), None)

    def background(self, postpone: Callable[[], bool] = lambda: False) -> None:
        """Stage the background artifacts; a failure is written to its row, and the others go on.

        Args:
            postpone: called before each artifact; True leaves the rest for later.

        Raises:
            Cancelled, LockLost, ShuttingDown, StoreAbsent: as for `foreground`.
        """

        def stage(artifact: StagedArtifact) -> None:
            if postpone():
                raise _PostponedError
            try:
                self._stage(artifact)
            # Without `Unavailable`: no caller waits for the others, so the next artifact is tried.
            except (Cancelled, ClientGone, LockLost, ShuttingDown, StoreAbsent):
                raise
            except StagingApiError as error:
                _log_failure(artifact, error)

        self._stage_all(self._due("background"), stage)

    def _due(self, phase: str) -> list[StagedArtifact]:
        with self.database.connect() as conn:
            staging = reading.find(conn, self.staging_id)
            return reading.to_do(conn, staging, self.request.names, phase)

    def _stage_all(
        self, artifacts: Sequence[StagedArtifact], stage: Callable[[StagedArtifact], None]
    ) -> None:
        """Stage artifacts side by side, and afterwards one by one those not uploaded yet.

        A wait for an upload gives up the slot of the request, so nothing else may run meanwhile.
        """
        groups, others = self._groups(artifacts)
        errors = side_by_side(groups, stage, self.helpers)
        errors = errors or side_by_side([others], stage, self.helpers)
        if not errors:
            return
        # Several threads may report different errors: one that leaves less to do takes precedence.
        error = min(errors, key=_precedence)
        if isinstance(error, (Cancelled, ClientGone)):
            self._mark_cancelled()
        if not isinstance(error, _PostponedError):
            raise error

    def _groups(
        self, artifacts: Sequence[StagedArtifact]
    ) -> tuple[list[list[StagedArtifact]], Sequence[StagedArtifact]]:
        """Return the artifacts that can be staged now, grouped by their objects, and the others."""
        uploaded: list[tuple[StagedArtifact, set[str]]] = []
        others: list[StagedArtifact] = []
        try:
            for artifact in artifacts:
                kind = self._kind(artifact)
                if self.upload.lacks(kind):
                    others.append(artifact)
                else:
                    ways = kind.ways(self.upload.names_for(kind), self.request.url.build)
                    uploaded.append((artifact, {name for way in ways for name in way.objects}))
        except StagingApiError:
            return [], artifacts  # the first of them fails with this error, and its row says so
        return by_objects(uploaded), others

    def _mark_cancelled(self) -> None:
        """Record that the staging was cancelled, as none of its artifacts is worked on any more."""
        with guarded(self.database, next(iter(self.holds.values()))) as conn:
            staging_rows.mark_cancelled(conn, self.request.archive_url, self.staging_id)

    def _stage(self, artifact: StagedArtifact) -> None:
        if self.mode.stops_between_artifacts:
            self.shutdown.check_begun()
        held = self.holds[artifact.lock_kind]
        attempt = Attempt(
            self.database, self.blobs, self.staging_id, artifact, held, self.mode.attempts
        )
        with attempt.failure_recorded():
            # If another volume were mounted as the store, all other pods could not read these
            # bytes.
            self.upkeep.identity.check()
            if not self.upload.awaited(
                self._kind(artifact), held, patient=self.mode.waits_for_upload
            ):
                return
        attempt.begin()
        started = time.monotonic()
        tracker = WriteTracker()
        progress = ThrottledProgress(attempt.progress_writer(tracker))
        without: list[SourceObject] = []
        with attempt.failure_recorded():
            names = self.upload.names_for(self._kind(artifact))
            hooks = FetchHooks(progress=progress, tracker=tracker, without=without.append)
            fetched = self._fetch(held, artifact, names, hooks)
        attempt.record(fetched, progress.done, names, next(iter(without), None))
        outcome = "missing" if fetched is None else "staged"
        metrics.ARTIFACTS.labels(artifact.name, outcome).inc()
        metrics.ARTIFACT_SECONDS.labels(artifact.name).observe(time.monotonic() - started)
        metrics.SOURCE_BYTES.labels(self.request.url.scheme).inc(progress.done)

    def _kind(self, artifact: StagedArtifact) -> ArtifactKind:
        return next(kind for kind in self.request.kinds if kind.name == artifact.name)

    def _fetch(
        self,
        held: Hold,
        artifact: StagedArtifact,
        names: Sequence[str],
        hooks: FetchHooks,
    ) -> FetchedArtifact | None:
        quota = Quota(self.upkeep)
        reservation = QuotaReservation(
            partial(quota.reserve, artifact.id, held, check=self.stop_signals.check),
            partial(quota.reserve_more, artifact.id, held),
        )
        kind = self._kind(artifact)
        return engine.fetch(
            kind,
            WitnessedSource(self.witnesses, kind.verify, self.upload.listed),
            self.request.url.build,
            self.blobs,
            replace(
                hooks,
                content_of=self._content_of,
                reserve=reservation,
                check=self.stop_signals.check,
            ),
            owner=held.lease.id,
            names=names,
            limits=self.limits,
            speed=self.speed,
            pack_below=self.packs.below(self.database),
        )

    def _content_of(self, source_object: SourceObject) -> KnownContent | None:
        """Return the content of an object, if its source declares it or it was read before."""
        if (declared := declared_content(source_object)) is not None:
            if source_object.size_bytes is not None:
                return declared
            with self.database.connect() as conn:
                size = store_rows.blobs_of(conn, declared.sha256).get(declared.sha256)
            return replace(declared, size_bytes=size)
        if not source_object.strong or source_object.version is None:
            return None
        with self.database.connect() as conn:
            cached = object_rows.cached_object(conn, source_object.url, source_object.version)
        if cached is None:
            return None
        return KnownContent(cached.sha256, "version", cached.verified_by, cached.size_bytes)


class _PostponedError(Exception):
    """Raised before an artifact that is left for later."""


def _log_failure(artifact: StagedArtifact, error: StagingApiError) -> None:
    log.info("%s of %s: %s", artifact.name, artifact.archive_url, error.detail)


def _precedence(error: BaseException) -> int:
    """Return the place of an error among those that end the work; a fault of the program first."""
    if isinstance(error, _PostponedError):
        return len(_NO_RESULT)
    return next((at for at, each in enumerate(_NO_RESULT) if isinstance(error, each)), -1)
