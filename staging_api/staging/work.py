"""Staging one archive's artifacts under its locks: the steps from ``pending`` to ``staged``."""

import logging
import random
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, replace
from functools import partial

from staging_api import metrics
from staging_api.artifacts.model import ArtifactKind
from staging_api.artifacts.store import BlobStore
from staging_api.db.engine import Database
from staging_api.errors import (
    ArchiveNotFound,
    Cancelled,
    ClientGone,
    LockLost,
    ShuttingDown,
    StagingApiError,
    StoreAbsent,
    Unavailable,
    UploadWaitOver,
)
from staging_api.exhaustion import is_exhaustion
from staging_api.locks.hold import guarded
from staging_api.locks.keeper import Hold
from staging_api.locks.model import IMAGES
from staging_api.shutdown import Shutdown
from staging_api.sources.model import Source, SourceObject
from staging_api.staging import engine, repository
from staging_api.staging.attention import Attention
from staging_api.staging.download import Speed
from staging_api.staging.growth import Growth
from staging_api.staging.held import Known, told
from staging_api.staging.model import Failure, StagedArtifact, Wanted
from staging_api.staging.progress import Progress
from staging_api.staging.room import Room
from staging_api.staging.upkeep import Upkeep
from staging_api.staging.uploads import Upload

log = logging.getLogger(__name__)

#: The holds under which an archive is worked on, by name of their lock kind.
Holds = Mapping[str, Hold]

_FIRST_RETRY_SECONDS = 5.0
# What ends the work on a staging, and says nothing of an artifact.
_NO_VERDICT = (Cancelled, ClientGone, LockLost, ShuttingDown, Unavailable, StoreAbsent)
#: How often contents may be removed, and come back, while a row is written that names them.
_TRIES = 5


@dataclass(frozen=True)
class Work:
    """What is left to do of one staging, done by whoever holds its locks.

    Attributes:
        upload: what of the archive is there so far.
        speed: when a download is spread over several connections.
        last_attempt: from this attempt on, a failure that could pass is taken for final.
        shutdown: whether and when this process ends.
        attention: whether the work shall go on.
        yields: whether to stop between two artifacts once it does; what somebody waits for goes on
            as long as there is time.
        patient: whether to wait here for an upload; else it is put off, and nobody waits.
        gives_way: whether to leave what is left of the background for later.
    """

    database: Database
    blobs: BlobStore
    source: Source
    upload: Upload
    staging_id: str
    wanted: Wanted
    holds: Holds
    upkeep: Upkeep
    speed: Speed
    last_attempt: int
    shutdown: Shutdown
    attention: Attention
    yields: bool
    patient: bool
    gives_way: Callable[[], bool]

    def foreground(self) -> StagingApiError | None:
        """Stage what the caller waits for: all that can come, also if a part of it fails.

        Returns:
            How the first artifact failed that did; its row says so.

        Raises:
            Cancelled: somebody cancelled the staging; its row says so.
            LockLost: another works on it now; nothing more was written.
            ShuttingDown: this process ends; what is left is due again at once.
            Unavailable, StoreAbsent: something that all of it needs is away; what is left is due
                again at once.
        """
        first: StagingApiError | None = None
        for artifact in self._there_first(self._due("foreground")):
            try:
                self._stage(artifact)
            except _NO_VERDICT:
                raise
            except StagingApiError as error:
                log.info("%s of %s: %s", artifact.name, artifact.archive_url, error.detail)
                first = first or error
        return first

    def background(self) -> None:
        """Stage what follows; what fails says so in its row, and the others go on.

        Raises:
            Cancelled: somebody cancelled the staging; its row says so.
            LockLost: another works on it now; nothing more was written.
            ShuttingDown: this process ends; what is left is due again at once.
        """
        for artifact in self._due("background"):
            if self.gives_way():
                return
            try:
                self._stage(artifact)
            except (Cancelled, ClientGone, LockLost, ShuttingDown, StoreAbsent):
                raise
            except StagingApiError as error:
                log.info("%s of %s: %s", artifact.name, artifact.archive_url, error.detail)

    def _due(self, phase: str) -> list[StagedArtifact]:
        with self.database.connect() as conn:
            staging = repository.find(conn, self.staging_id)
            return repository.to_do(conn, staging, self.wanted.names, phase)

    def _there_first(self, artifacts: list[StagedArtifact]) -> list[StagedArtifact]:
        """What can be staged now comes before what has to be waited for."""
        try:
            return sorted(artifacts, key=lambda each: self.upload.lacks(self._kind(each)))
        except StagingApiError:
            return artifacts  # the first of them fails with it, and its row says so

    def _stage(self, artifact: StagedArtifact) -> None:
        if self.yields:
            self.shutdown.check_begun()
        held = self.holds[artifact.lock_kind]
        with self._failure_told(artifact, held):
            # What goes to a volume that is another one would be lost to everybody else.
            self.upkeep.identity.check()
            if not self.upload.awaited(self._kind(artifact), held, patient=self.patient):
                return
        with guarded(self.database, held) as conn:
            repository.begin_artifact(conn, artifact.id, held.lease)
            repository.settle(conn, artifact.archive_url, held.lease)
        started = time.monotonic()
        growth = Growth()
        progress = Progress(self._tell(artifact, held, growth))
        with self._failure_told(artifact, held):
            fetched = self._fetch(held, artifact, progress, growth)
        self._keep(artifact, held, fetched, progress.done)
        outcome = "missing" if fetched is None else "staged"
        metrics.ARTIFACTS.labels(artifact.name, outcome).inc()
        metrics.ARTIFACT_SECONDS.labels(artifact.name).observe(time.monotonic() - started)
        metrics.SOURCE_BYTES.labels(self.wanted.url.scheme).inc(progress.done)

    @contextmanager
    def _failure_told(self, artifact: StagedArtifact, held: Hold) -> Iterator[None]:
        """Write down how the block fails, unless that is no verdict on the artifact."""
        try:
            yield
        except ShuttingDown:
            self._give_back(artifact, held)
            raise
        except (LockLost, Unavailable, StoreAbsent):
            raise
        except (Cancelled, ClientGone):
            self._cancel(artifact, held)
            raise
        except StagingApiError as error:
            self._fail(artifact, held, error)
            raise
        except Exception as error:
            if is_exhaustion(error):
                raise Unavailable(
                    f"this process lacks what it takes to stage {artifact.name} just now: {error}",
                    retry_after_seconds=2,
                ) from error
            log.exception("staging %s of %s failed", artifact.name, artifact.archive_url)
            internal = StagingApiError(f"{type(error).__name__} while staging {artifact.name}")
            self._fail(artifact, held, internal)
            raise internal from error

    def _kind(self, artifact: StagedArtifact) -> ArtifactKind:
        return next(kind for kind in self.wanted.kinds if kind.name == artifact.name)

    def _tell(
        self, artifact: StagedArtifact, held: Hold, growth: Growth
    ) -> Callable[[int, int | None, float], None]:
        """Writes progress to the artifact's row."""

        def tell(done: int, total: int | None, per_second: float) -> None:
            grown = growth.synced()
            with guarded(self.database, held) as conn:
                repository.note_progress(conn, artifact.id, done, total, per_second)
                if grown is not None:
                    file = self.blobs.name_of(grown.file)
                    repository.note_growth(
                        conn, artifact.id, file, grown.bytes_done, grown.size_bytes
                    )
                repository.touch(conn, artifact.archive_url)

        return tell

    def _fetch(
        self, held: Hold, artifact: StagedArtifact, progress: Progress, growth: Growth
    ) -> engine.Fetched | None:
        return engine.fetch(
            self._kind(artifact),
            self.source,
            self.wanted.url.build,
            self.blobs,
            owner=held.lease.id,
            names=self.upload.names,
            known=self._known,
            speed=self.speed,
            room=Room(
                partial(self.upkeep.reserve, artifact.id, held, check=self.attention.check),
                partial(self.upkeep.reserve_more, artifact.id, held),
            ),
            progress=progress,
            check=self.attention.check,
            growth=growth,
        )

    def _known(self, found: SourceObject) -> Known | None:
        """What is known of an object: by its source's word, or as this version was read before."""
        if (said := told(found)) is not None:
            if found.size_bytes is not None:
                return said
            with self.database.connect() as conn:
                size = repository.blobs_of(conn, said.sha256).get(said.sha256)
            return replace(said, size_bytes=size)
        if not found.strong or found.version is None:
            return None
        with self.database.connect() as conn:
            held = repository.held_object(conn, found.url, found.version)
        return Known(held.sha256, "version", held.verified_by, held.size_bytes) if held else None

    def _keep(
        self, artifact: StagedArtifact, held: Hold, fetched: engine.Fetched | None, bytes_done: int
    ) -> None:
        for _ in range(_TRIES):
            unsure = self._settled(artifact, held, fetched, bytes_done)
            if fetched is None:
                return
            if not unsure:
                engine.forget(fetched, self.blobs)
                return
            self._look_for(unsure, fetched)
        raise Unavailable("the contents of the artifact come and go", retry_after_seconds=1)

    def _look_for(self, digests: set[str], fetched: engine.Fetched) -> None:
        """Make sure that the store has these contents; in no transaction, as a bucket may be slow.

        Raises:
            Unavailable: it has not: they were removed meanwhile.
        """
        contents = {f.sha256: f.size_bytes for f in fetched.files if f.sha256 in digests}
        lacking = self.blobs.lacks(contents)
        if lacking:
            with self.database.connect() as conn:
                repository.doom_unnamed(conn, lacking)
            raise Unavailable(
                "contents were removed from the store while they were staged;"
                " they are fetched again",
                retry_after_seconds=1,
            )

    def _settled(
        self, artifact: StagedArtifact, held: Hold, fetched: engine.Fetched | None, bytes_done: int
    ) -> set[str]:
        """Write down how an attempt ended; or give the contents to look for, and come again."""
        with guarded(self.database, held) as conn:
            if fetched is None:
                repository.mark_missing(conn, artifact.id, held.lease)
            else:
                prefix = repository.prefix_of(conn, artifact.archive_url)
                unsure = repository.mark_staged(
                    conn,
                    artifact.id,
                    held.lease,
                    fetched,
                    files=_served(fetched, artifact, prefix),
                    bytes_done=bytes_done,
                )
                if unsure:
                    return unsure
                repository.note_held(conn, fetched.held)
            repository.settle(conn, artifact.archive_url, held.lease)
        return set()

    def _fail(self, artifact: StagedArtifact, held: Hold, error: StagingApiError) -> None:
        metrics.ARTIFACTS.labels(artifact.name, error.code).inc()
        attempt = artifact.attempt + 1
        again = None
        # Who waited for an upload as long as it may does not begin again.
        passes = error.retryable and not isinstance(error, UploadWaitOver)
        if passes and attempt < self.last_attempt:
            # Full jitter on doubling steps, so that many failures of one source do not come back
            # as one wave (AWS Architecture Blog, "Exponential Backoff And Jitter", 2015).
            again = _FIRST_RETRY_SECONDS * 2**attempt * random.uniform(0.5, 1)  # noqa: S311
        failure = Failure(error.code, error.detail, error.retryable)
        # Not there yet is a verdict for those alone who would not wait for it any longer.
        may_come = again is None and isinstance(error, (ArchiveNotFound, UploadWaitOver))
        with guarded(self.database, held) as conn:
            if not may_come or not repository.leave_to_patient(
                conn, artifact.id, self.staging_id, failure
            ):
                repository.mark_failed(conn, artifact.id, held.lease, failure, again)
            repository.settle(conn, artifact.archive_url, held.lease)

    def _give_back(self, artifact: StagedArtifact, held: Hold) -> None:
        with guarded(self.database, held) as conn:
            repository.mark_pending(conn, artifact.id)
            repository.settle(conn, artifact.archive_url, held.lease)

    def _cancel(self, artifact: StagedArtifact, held: Hold) -> None:
        with guarded(self.database, held) as conn:
            repository.mark_pending(conn, artifact.id)
            repository.mark_cancelled(conn, artifact.archive_url, self.staging_id)


def _served(
    fetched: engine.Fetched, artifact: StagedArtifact, prefix: str
) -> list[dict[str, str | int | bool]]:
    """The rows of its files; images are served where their clients look for them, too."""
    folders = [prefix, f"images/{prefix}"] if artifact.lock_kind == IMAGES.name else [prefix]
    return [file.row(folder) for folder in folders for file in fetched.files]
