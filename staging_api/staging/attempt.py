"""One attempt at one artifact, in the artifact's row: its start, its progress and its result.

Each change is a transaction guarded by the lock of the artifact's archive. What if the process
dies? The row stays as the last transaction left it; `service` explains how the artifact is resumed.
The rows of many files are written before, in batches that no query reads until the artifact is
``staged``: the next attempt deletes those that are left.
"""

import logging
import random
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from functools import partial

from staging_api import metrics
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
from staging_api.sources.model import SourceObject, warnings_of
from staging_api.staging import engine
from staging_api.staging.engine import FetchedArtifact
from staging_api.staging.fetched import FileRow, RowsOfFiles, batched
from staging_api.staging.model import Failure, StagedArtifact
from staging_api.staging.repository import (
    artifact_rows,
    file_rows,
    growth_rows,
    object_rows,
    pack_rows,
    reading,
    staging_rows,
    store_rows,
)
from staging_api.staging.write_tracker import WriteTracker
from staging_api.store.blob_store import BlobStore

log = logging.getLogger(__name__)

#: Interval between two writes of progress.
_PROGRESS_SECONDS = 0.5
#: Doubled with each attempt: the pauses of a worker's attempts at one artifact are 150 s at most in
#: all.
_FIRST_RETRY_SECONDS = 5.0
#: Limit of attempts to write a row whose contents are removed, and stored again, meanwhile.
_MAX_TRIES = 5
#: Rows of files that one transaction writes: less than 100 ms, on a busy machine too.
_FILES_AT_ONCE = 1000
#: The same for files in a pack, which are no blobs.
_PACKED_AT_ONCE = 4000


class ThrottledProgress:
    """Progress callback of the engine, called after every chunk; writes at most twice a second."""

    def __init__(self, write: Callable[[int, int | None, float], None]) -> None:
        """`write` gets bytes done, total bytes if known, and bytes per second since the start."""
        self._write = write
        self.done = 0
        self._started = self._written_at = time.monotonic()

    def __call__(self, done: int, total: int | None) -> None:
        """Note the bytes done; an exception of `write` ends the fetch."""
        self.done = done
        now = time.monotonic()
        if now - self._written_at >= _PROGRESS_SECONDS:
            self._written_at = now
            self._write(done, total, done / max(now - self._started, 0.001))


@dataclass(frozen=True)
class Attempt:
    """An attempt at an artifact, under the lock of its archive.

    Attributes:
        staging_id: the staging for which it is made.
        held: the hold of the lock.
        attempts: number of attempts after which a temporary failure is final.
    """

    database: Database
    blobs: BlobStore
    staging_id: str
    artifact: StagedArtifact
    held: Hold
    attempts: int

    def begin(self) -> None:
        """Set the row to ``staging``.

        Raises:
            LockLost: another process may work on the artifact now; nothing was written.
        """
        with guarded(self.database, self.held) as conn:
            artifact_rows.begin_artifact(conn, self.artifact.id, self.held.lease)
            staging_rows.settle(conn, self.artifact.archive_url, self.held.lease)

    @contextmanager
    def failure_recorded(self) -> Iterator[None]:
        """Record an error of the block in the artifact's row, if the artifact is its cause."""
        try:
            yield
        # Before `Unavailable`, a base class of one: the row returns to ``pending``, so that another
        # process may begin at once. `work` marks a cancelled staging, once none of its artifacts is
        # worked on.
        except (ShuttingDown, Cancelled, ClientGone):
            self._give_back()
            raise
        # The artifact is not the cause. The row stays ``staging``, and a worker resumes it; without
        # the lock nothing may be written anyway.
        except (LockLost, Unavailable, StoreAbsent):
            raise
        except StagingApiError as error:
            self._fail(error)
            raise
        except Exception as error:
            name = self.artifact.name
            if is_exhaustion(error):
                raise Unavailable(
                    f"this process is short of resources to stage {name} just now: {error}",
                    retry_after_seconds=2,
                ) from error
            log.exception("staging %s of %s failed", name, self.artifact.archive_url)
            internal = StagingApiError(f"{type(error).__name__} while staging {name}")
            self._fail(internal)
            raise internal from error

    def progress_writer(self, tracker: WriteTracker) -> Callable[[int, int | None, float], None]:
        """Return a callback that writes progress to the row: bytes done, total, and per second."""

        def write(done: int, total: int | None, per_second: float) -> None:
            written = tracker.synced()
            with guarded(self.database, self.held) as conn:
                artifact_rows.note_progress(conn, self.artifact.id, done, total, per_second)
                if written is not None:
                    file = self.blobs.name_of(written.file)
                    growth_rows.note_growth(
                        conn, self.artifact.id, file, written.bytes_done, written.size_bytes
                    )
                staging_rows.touch(conn, self.artifact.archive_url)

        return write

    def record(
        self,
        fetched: FetchedArtifact | None,
        bytes_done: int,
        names: Sequence[str],
        without: SourceObject | None = None,
    ) -> None:
        """Record what was fetched, once the store is known to have all of it.

        Args:
            fetched: the result; None: the artifact is missing.
            bytes_done: number of bytes that were downloaded for it.
            names: the objects from which it was chosen.
            without: the object that contains nothing of it, if it is missing although there is one.

        Raises:
            Unavailable: contents of it were removed meanwhile; a retry may succeed.
            LockLost: another process may work on it now; nothing of it is served.
        """
        if fetched is None:
            with guarded(self.database, self.held) as conn:
                warnings = warnings_of(names)
                artifact_rows.mark_missing(
                    conn, self.artifact.id, self.held.lease, warnings, without
                )
                staging_rows.settle(conn, self.artifact.archive_url, self.held.lease)
            return
        rows = RowsOfFiles(fetched.files, fetched.pack, self._folders())
        if fetched.pack is not None or len(fetched.files) > _FILES_AT_ONCE:
            self._add_files(fetched, rows)
            self._mark_staged(fetched, bytes_done, None)
        else:
            self._mark_staged(fetched, bytes_done, list(rows.loose()))
        engine.forget(fetched, self.blobs)

    def _folders(self) -> list[str]:
        """Return the folders of the files; images are also served at a second path for clients."""
        with self.database.connect() as conn:
            prefix = reading.prefix_of(conn, self.artifact.archive_url)
        images = [f"images/{prefix}"] if self.artifact.lock_kind == IMAGES.name else []
        return [prefix, *images]

    def _add_files(self, fetched: FetchedArtifact, rows: RowsOfFiles) -> None:
        """Write the rows of many files in batches; no query reads them before ``staged``."""
        left = True
        while left:
            with guarded(self.database, self.held) as conn:
                left = file_rows.forget_some_files(conn, self.artifact.id, _FILES_AT_ONCE)
        self._forget_packed()
        for loose in batched(rows.loose(), _FILES_AT_ONCE):
            add = partial(file_rows.add_files, artifact_id=self.artifact.id, files=loose)
            self._until_sure(add, {file["sha256"]: file["size_bytes"] for file in loose})
        if rows.pack is None:
            return
        bounds = rows.bounds(fetched.paths)
        add = partial(
            file_rows.add_pack, artifact_id=self.artifact.id, pack=rows.pack, paths=bounds
        )
        self._until_sure(add, {rows.pack.sha256: rows.pack.size_bytes})
        for packed in batched(rows.packed(), _PACKED_AT_ONCE):
            with guarded(self.database, self.held) as conn:
                pack_rows.add_packed_files(conn, self.artifact.id, packed)

    def _forget_packed(self) -> None:
        left: str | None = ""
        while left is not None:
            with guarded(self.database, self.held) as conn:
                _, left = pack_rows.forget_packed(conn, self.artifact.id, _PACKED_AT_ONCE, left)

    def _until_sure(self, add: Callable[..., set[str]], contents: Mapping[str, int]) -> None:
        """Add rows in a transaction; for unknown contents, check the store and try again.

        Args:
            add: adds the rows, or returns the digests of unknown contents without adding any.
            contents: digest and length of all contents.
        """
        for _ in range(_MAX_TRIES):
            with guarded(self.database, self.held) as conn:
                unsure = add(conn)
            if not unsure:
                return
            self._check_stored({digest: contents[digest] for digest in unsure})
        raise _contents_unstable()

    def _mark_staged(
        self, fetched: FetchedArtifact, bytes_done: int, files: Sequence[FileRow] | None
    ) -> None:
        """Set the row to ``staged``; `files` are those without rows yet, None if all have rows."""
        for _ in range(_MAX_TRIES):
            with guarded(self.database, self.held) as conn:
                unsure = artifact_rows.mark_staged(
                    conn,
                    self.artifact.id,
                    self.held.lease,
                    fetched,
                    files=files,
                    bytes_done=bytes_done,
                )
                if not unsure:
                    object_rows.remember_objects(conn, fetched.cached_objects)
                    staging_rows.settle(conn, self.artifact.archive_url, self.held.lease)
                    return
            sizes = {file["sha256"]: file["size_bytes"] for file in files or ()}
            self._check_stored({digest: sizes[digest] for digest in unsure})
        raise _contents_unstable()

    def _check_stored(self, contents: Mapping[str, int]) -> None:
        """Check that the store has these contents; in no transaction, as a bucket may be slow.

        Raises:
            Unavailable: some were removed meanwhile.
        """
        lacking = self.blobs.lacks(contents)
        if lacking:
            with self.database.connect() as conn:
                store_rows.mark_unnamed_for_deletion(conn, lacking)
            raise Unavailable(
                "contents were removed from the store while they were staged;"
                " they are fetched again",
                retry_after_seconds=1,
            )

    def _fail(self, error: StagingApiError) -> None:
        metrics.ARTIFACTS.labels(self.artifact.name, error.code).inc()
        attempt = self.artifact.attempt + 1
        again = None
        # A request that has waited for an upload as long as it may does not begin again.
        passes = error.retryable and not isinstance(error, UploadWaitOver)
        if passes and attempt < self.attempts:
            # Equal jitter on doubling steps, so that many failures of one source are not all
            # retried at once (AWS Architecture Blog, "Exponential Backoff And Jitter", 2015).
            again = _FIRST_RETRY_SECONDS * 2**attempt * random.uniform(0.5, 1)  # noqa: S311
        failure = Failure(error.code, error.detail, error.retryable)
        # "Not uploaded yet" is final only for requests that would not wait any longer.
        may_come = again is None and isinstance(error, (ArchiveNotFound, UploadWaitOver))
        with guarded(self.database, self.held) as conn:
            if not may_come or not artifact_rows.leave_to_patient(
                conn, self.artifact.id, self.staging_id, failure
            ):
                artifact_rows.mark_failed(conn, self.artifact.id, self.held.lease, failure, again)
            staging_rows.settle(conn, self.artifact.archive_url, self.held.lease)

    def _give_back(self) -> None:
        with guarded(self.database, self.held) as conn:
            artifact_rows.mark_pending(conn, self.artifact.id)
            staging_rows.settle(conn, self.artifact.archive_url, self.held.lease)


def _contents_unstable() -> Unavailable:
    return Unavailable("the contents of the artifact come and go", retry_after_seconds=1)
