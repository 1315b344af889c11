"""The use cases of staging: ask, queue, wait, cancel; and the work on one archive under its locks.

Everything that says what is staged is written through `locks.hold.guarded`, so by the holder of
the archive's lock or not at all, and bytes only ever go to the store under their digest. No
transaction is open while bytes move.

What if the process dies?

- Before the plan commits: nothing was stored; the lock expires.
- After the plan, or in the middle of an artifact: its row says ``pending`` or ``staging``, which
  is never served; the lock expires; a worker (`repository.due`) or the caller's next request takes
  it up. Temporary files are swept by age.
- After the bytes are in the store, before the row says ``staged``: the same; the next attempt
  finds the content under its digest.
- In the transaction that says ``staged``: it commits whole (files, artifact, staging) or not at
  all.
- Alive but late (frozen past its lease): `guarded` refuses, and what it wrote to the store is a
  content that no row names.
"""

import logging
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import AbstractContextManager, ExitStack, closing, contextmanager
from dataclasses import dataclass, field, replace
from datetime import datetime
from functools import cached_property
from types import MappingProxyType

from sqlalchemy import Connection

from staging_api.catalogue.catalogue import Catalogue
from staging_api.catalogue.model import FILES, ArtifactKind
from staging_api.clients import Client
from staging_api.db.engine import Database
from staging_api.errors import (
    Cancelled,
    Invalid,
    LockHeld,
    LockLost,
    ShuttingDown,
    StagingApiError,
    StoreAbsent,
    Unavailable,
)
from staging_api.locks import store as lock_store
from staging_api.locks.hold import Locks, RequestOrigin, guarded, holding
from staging_api.locks.model import ARCHIVE, LockKind
from staging_api.logs import bind_log_context
from staging_api.paging import Page, page_of
from staging_api.sources.allowlist import AllowList
from staging_api.sources.interruptible import Interruptible
from staging_api.sources.model import Source
from staging_api.sources.url import ArchiveUrl, is_safe_name, parse
from staging_api.staging import repository
from staging_api.staging.artifacts import Artifacts
from staging_api.staging.download import Speed
from staging_api.staging.model import LOCK_BY_NAME, Failure, Staging, StagingRequest
from staging_api.staging.planning import plan, reserve_folder
from staging_api.staging.stop_signals import StopSignals
from staging_api.staging.upkeep import StoreTerms, Upkeep
from staging_api.staging.uploads import Upload, UploadTerms
from staging_api.staging.watch import Watch
from staging_api.staging.work import FOR_CLIENT, FOR_WORKER, Holds, Work, WorkMode
from staging_api.store.blobs import BlobStore
from staging_api.vocabulary.staging import TO_DO_STATES
from staging_api.work_slots import WorkSlots, no_slot

log = logging.getLogger(__name__)

_NO_HOLDS: Holds = MappingProxyType({})


@dataclass(frozen=True)
class StagingService:
    """Staging, as the API and the worker use it."""

    database: Database
    locks: Locks
    catalogue: Catalogue
    allowed: AllowList
    blobs: BlobStore
    open_archive: Callable[[ArchiveUrl], Source]
    uploads: UploadTerms = field(default_factory=UploadTerms)
    store: StoreTerms = field(default_factory=StoreTerms)
    speed: Speed = field(default_factory=Speed)
    slots: WorkSlots = field(default_factory=lambda: WorkSlots(32))

    @cached_property
    def watch(self) -> Watch:
        """Wakes waiting requests of this process when a staging changes."""
        return Watch(self.database, self.uploads.waiter_slots, self.locks.shutdown)

    @cached_property
    def upkeep(self) -> Upkeep:
        """The upkeep of the store."""
        return Upkeep(self.database, self.locks, self.blobs, self.store)

    @property
    def artifacts(self) -> Artifacts:
        """What was staged, to be evicted or pinned."""
        return Artifacts(self.database, self.locks)

    def check_request(
        self,
        archive_url: str,
        artifacts: Sequence[str],
        upload_wait_seconds: float | None = None,
    ) -> StagingRequest:
        """Check a request; `artifacts` are names or groups of the catalogue, none for the default.

        Args:
            upload_wait_seconds: see `StagingRequest`.

        Raises:
            Invalid: the URL is malformed, or an artifact is unknown.
            SourceNotAllowed: the archive is outside the allow-list.
        """
        url = parse(archive_url)
        self.allowed.check(url)
        kinds = tuple(self.catalogue.resolve(artifacts))
        for kind in kinds:
            if kind.group == FILES and not is_safe_name(kind.name.partition(":")[2]):
                raise Invalid.field("artifacts", f"{kind.name!r} is no name of an object")
        return StagingRequest(url, kinds, upload_wait_seconds)

    @property
    def needed(self) -> list[str]:
        """The artifacts without which a build is not whole: of the default, the obligatory ones."""
        return [kind.name for kind in self.catalogue.resolve(()) if not kind.optional]

    def nothing_left(self, request: StagingRequest) -> Staging | None:
        """The staging to point to if this request makes no work: staged, or on its way already."""
        with self.database.connect() as conn:
            newest = repository.newest_for(conn, request.archive_url, request.names)
            if newest is None:
                return None
            rows = [row for row in newest.artifacts if row.name in request.names]
            if not all(row.settled for row in rows) or not set(request.names) <= set(
                newest.requested
            ):
                # It shows what was its own; since then others may have brought or removed some.
                rows = repository.artifacts_of(conn, request.archive_url, request.names)
            if {row.name for row in rows} != set(request.names):
                return None
            on_their_way = [row for row in rows if not row.settled]
            if any(row.phase == "foreground" or row.state == "failed" for row in on_their_way):
                return None
            if not on_their_way:
                return newest
            names = [row.name for row in on_their_way]
            bringer = repository.bringer(conn, request.archive_url, names)
        if bringer is None or bringer.cancel_requested_at is not None:
            return None
        return bringer if newest.final else newest

    def queue(
        self, request: StagingRequest, origin: RequestOrigin, given: Holds = _NO_HOLDS
    ) -> Staging:
        """Write the request down, and leave it to a worker.

        Args:
            given: holds that the caller has already; the other locks are taken here.

        Raises:
            LockHeld: another request works on this archive.
        """
        with self._holding(request.lock_kinds, request.archive_url, origin, given) as holds:
            staging_id = self._plan(request, holds, origin)
        return self.find(staging_id)

    def queue_behind(self, request: StagingRequest, origin: RequestOrigin) -> None:
        """Leave it to a worker, after the current lock holder; needs no lock.

        It writes only what is requested. If an unfinished staging brings all of it anyway, that
        one's row records that others rely on it, so that its end, a cancellation too, does not lose
        what was accepted here.
        """
        with self.database.connect() as conn:
            coming = self._coming(conn, request)
        if coming is not None and set(request.names) <= set(coming.joined):
            return
        with self.database.begin() as conn:
            repository.act_as(conn, origin.caller, self.locks.holder)
            prefix = reserve_folder(conn, request)
            # Serialized: of concurrent requests, all but the first find the staging of the first.
            repository.lock_archive(conn, request.archive_url)
            coming = self._coming(conn, request)
            if coming is not None and repository.note_joined(
                conn, coming.id, request.names, origin.caller
            ):
                return
            plan(conn, request, origin, prefix, over=("failed",))
            repository.settle(conn, request.archive_url)

    def stage(
        self, request: StagingRequest, origin: RequestOrigin, given: Holds = _NO_HOLDS
    ) -> Staging:
        """Stage what the caller has to wait for; a worker does the rest.

        Args:
            given: holds that the caller has already; the other locks are taken here.

        Raises:
            LockHeld: another request works on this archive.
            LockLost: this one did, and lost the lock before it was done.
            ClientGone: the client closed its connection while its request waited, for its turn or
                for an upload; the staging is cancelled.
            ShuttingDown: this process ends before it is done; a worker goes on.
            StagingApiError: an artifact failed; the staging says so too.
        """
        with (
            self.slots.one(origin.client, self.locks.shutdown) as slot,
            self._holding(request.lock_kinds, request.archive_url, origin, given) as holds,
        ):
            staging_id = self._plan(request, holds, origin)
            with self._working(staging_id, request, holds, FOR_CLIENT, slot.aside) as work:
                failed = work.foreground()
                if failed is not None:
                    # The caller is refused, so that is to be the end: of the background, too, what
                    # can come is tried.
                    work.background()
        if failed is not None:
            raise failed
        return self.find(staging_id)

    def resume(
        self, staging: Staging, origin: RequestOrigin, postpone: Callable[[], bool] = lambda: False
    ) -> None:
        """Finish a staging, unless another process works on it; failures are in its rows.

        Args:
            postpone: called before each background artifact; True leaves the rest for later.

        Raises:
            Cancelled: it was cancelled.
            LockHeld: another process works on it.
            LockLost: another process took over.
            ShuttingDown: this process ends; another may go on at once.
        """
        bind_log_context(staging_id=staging.id, reference_id=staging.reference_id)
        with self._holding(_kinds_of(staging), staging.archive_url, origin) as holds:
            staging = self.find(staging.id)
            if staging.final:
                return
            if staging.cancel_requested_at is not None:
                self._mark_cancelled(staging, holds)
                return
            try:
                request = self._still_known(staging, holds)
                if not request.kinds:
                    return
                with self._working(staging.id, request, holds, FOR_WORKER) as work:
                    work.foreground()
                    work.background(postpone)
            except (Cancelled, LockLost, ShuttingDown, Unavailable, StoreAbsent):
                raise
            except StagingApiError as error:
                # Not the failure of one artifact, which its row would have: no work can begin.
                self._fail(staging, holds, staging.requested, error)

    def find(self, staging_id: str) -> Staging:
        """One staging.

        Raises:
            NotFound: there is no such staging.
        """
        with self.database.connect() as conn:
            return repository.find(conn, staging_id)

    def page(
        self,
        *,
        limit: int,
        after: str | None = None,
        equal: Mapping[str, str] | None = None,
        since: datetime | None = None,
        until: datetime | None = None,
    ) -> Page[Staging]:
        """List the stagings below `after`, newest first.

        Args:
            equal: only those whose columns have these values.
            since: only those made then or later; `until`: before that.
        """

        def select(rows: int) -> Sequence[Staging]:
            return repository.list_stagings(
                conn, limit=rows, after=after, equal=equal, since=since, until=until
            )

        with self.database.connect() as conn:
            return page_of(select, limit)

    def cancel(self, staging_id: str, origin: RequestOrigin) -> Staging:
        """Stop a staging: at once if no process works on it, else when that process notices.

        Raises:
            NotFound: there is no such staging.
        """
        staging = self.find(staging_id)
        with self.database.begin() as conn:
            repository.act_as(conn, origin.caller, self.locks.holder)
            repository.request_cancel(conn, staging_id)
        try:
            with self._holding(_kinds_of(staging), staging.archive_url, origin) as holds:
                self._mark_cancelled(staging, holds)
        except LockHeld:
            log.info("staging %s: cancellation requested from its lock holder", staging_id)
        return self.find(staging_id)

    def _coming(self, conn: Connection, request: StagingRequest) -> Staging | None:
        """The unfinished staging that brings everything, if there is one.

        Nothing of that failed for it, and it waits for an upload at least as long as the request.
        """
        found = repository.unfinished_for(conn, request.archive_url, request.names)
        if found is None or not set(request.names) <= set(found.requested):
            return None
        if (found.upload_wait_seconds or 0) < (request.upload_wait_seconds or 0):
            return None
        coming = {a.name for a in found.artifacts if a.settled or a.to_do}
        return found if set(request.names) <= coming else None

    def _still_known(self, staging: Staging, holds: Holds) -> StagingRequest:
        """Return the request without entries that left the catalogue, which fail.

        Raises:
            SourceNotAllowed: the archive is no longer in the allow-list.
        """
        request = self.check_request(staging.archive_url, (), staging.upload_wait_seconds)
        kinds: list[ArtifactKind] = []
        for name in staging.requested:
            try:
                kinds += self.check_request(staging.archive_url, [name]).kinds
            except Invalid as error:
                self._fail(staging, holds, [name], error)
        return replace(request, kinds=tuple(kinds))

    @contextmanager
    def _holding(
        self,
        kinds: Sequence[LockKind],
        archive_url: str,
        origin: RequestOrigin,
        given: Holds = _NO_HOLDS,
    ) -> Iterator[Holds]:
        with ExitStack() as stack:
            yield {
                kind.name: stack.enter_context(
                    holding(self.locks, kind, archive_url, origin, given.get(kind.name))
                )
                for kind in kinds
            }

    def _plan(self, request: StagingRequest, holds: Holds, origin: RequestOrigin) -> str:
        first, *others = holds.values()
        with guarded(self.database, first) as conn:
            for other in others:
                lock_store.guard(conn, other.lease)
            prefix = reserve_folder(conn, request)
            over = (*TO_DO_STATES, "failed")
            staging_id = plan(conn, request, origin, prefix, over=over)
            repository.settle(conn, request.archive_url, first.lease)
        bind_log_context(staging_id=staging_id)
        return staging_id

    @contextmanager
    def _working(
        self,
        staging_id: str,
        request: StagingRequest,
        holds: Holds,
        mode: WorkMode,
        aside: Callable[[], AbstractContextManager[Client]] = no_slot,
    ) -> Iterator[Work]:
        with guarded(self.database, next(iter(holds.values()))) as conn:
            repository.begin_staging(conn, staging_id)
        shutdown = self.locks.shutdown
        stop_signals = StopSignals(self.database, staging_id, holds.values(), shutdown)
        with closing(self._opened(request.url, stop_signals)) as source:
            yield Work(
                database=self.database,
                blobs=self.blobs,
                source=source,
                upload=Upload(
                    self.database,
                    source,
                    request,
                    staging_id,
                    self.uploads,
                    shutdown=shutdown,
                    watch=self.watch,
                    aside=aside,
                ),
                upkeep=self.upkeep,
                speed=self.speed,
                staging_id=staging_id,
                request=request,
                holds=holds,
                mode=mode,
                shutdown=shutdown,
                stop_signals=stop_signals,
            )

    def _opened(self, url: ArchiveUrl, stop_signals: StopSignals) -> Source:
        source = self.open_archive(url)
        # A disk is never silent for long, and needs no second thread.
        return source if url.local else Interruptible(source, stop_signals.check)

    def _mark_cancelled(self, staging: Staging, holds: Holds) -> None:
        with guarded(self.database, next(iter(holds.values()))) as conn:
            repository.mark_cancelled(conn, staging.archive_url, staging.id)

    def _fail(
        self, staging: Staging, holds: Holds, names: Sequence[str], error: StagingApiError
    ) -> None:
        """Fail artifacts that the catalogue or the allow-list no longer has."""
        log.info("staging %s: %s", staging.id, error.detail)
        failure = Failure(error.code, error.detail, error.retryable)
        for artifact in staging.artifacts:
            if artifact.name in names and artifact.to_do:
                held = holds[artifact.lock_kind]
                with guarded(self.database, held) as conn:
                    repository.mark_failed(conn, artifact.id, held.lease, failure, None)
                    repository.settle(conn, artifact.archive_url, held.lease)


def _kinds_of(staging: Staging) -> list[LockKind]:
    """The locks under which a staging is worked on, in the one order."""
    names = {artifact.lock_kind for artifact in staging.artifacts} or {ARCHIVE.name}
    return [kind for name, kind in LOCK_BY_NAME.items() if name in names]
