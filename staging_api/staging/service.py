"""The use cases of staging: stage, queue, wait, cancel; and the work under an archive's locks.

Every row that makes a file appear as staged is written through `locks.hold.guarded`: by the holder
of the archive's lock or not at all, and bytes are stored only under their digest. No transaction is
open while bytes are transferred.

What if the process dies?

- Before the plan commits: nothing was stored; the lock expires.
- After the plan, or in the middle of an artifact: its row says ``pending`` or ``staging``, which is
never served; the lock expires; a worker (`reading.due`) or the caller's next request resumes it.
Temporary files are swept by age.
- After the bytes are in the store, before the row says ``staged``: the same; the next attempt finds
the content under its digest.
- In the transaction that says ``staged``: it commits whole (files, artifact, staging) or not at
all.
- Alive but late (frozen past its lease): `guarded` refuses its writes, and the bytes that it stored
are a content that no row names.
"""

import logging
import threading
from collections.abc import Callable, Iterator, Sequence
from contextlib import AbstractContextManager, ExitStack, closing, contextmanager
from dataclasses import dataclass, field, replace
from functools import cached_property, partial
from operator import attrgetter
from types import MappingProxyType

from staging_api.catalogue.model import FILES, is_single
from staging_api.clients import Client
from staging_api.db.engine import Database
from staging_api.db.shared_reads import SharedReads
from staging_api.errors import Invalid, LockHeld
from staging_api.formats.model import UnpackLimits
from staging_api.locks import store as lock_store
from staging_api.locks.hold import Locks, RequestOrigin, guarded, holding
from staging_api.locks.model import LockKind
from staging_api.logs import bind_log_context
from staging_api.paging import Page, page_of
from staging_api.sources.allowlist import AllowList
from staging_api.sources.interruptible import Interruptible
from staging_api.sources.model import Source
from staging_api.sources.url import ArchiveUrl, canonical_prefix, is_safe_name, parse
from staging_api.staging import planning
from staging_api.staging.artifacts import Artifacts, canonical_equal
from staging_api.staging.catalogue_check import CatalogueCheck
from staging_api.staging.catalogues import Catalogues
from staging_api.staging.download import DownloadSpread
from staging_api.staging.late_objects import MissingObjects
from staging_api.staging.lists import ArchiveSummary, StagingFilter
from staging_api.staging.model import AnswerRows, Question, Staging, StagingRequest, StandingAnswer
from staging_api.staging.packs import Packs
from staging_api.staging.record import StagingRecords
from staging_api.staging.repository import (
    archive_rows,
    event_rows,
    found_files,
    lists,
    reading,
    seen_rows,
    staging_rows,
)
from staging_api.staging.request_checks import RequestChecks
from staging_api.staging.requirements import Requirements
from staging_api.staging.side_by_side import HELPERS
from staging_api.staging.stop_signals import StopSignals
from staging_api.staging.upkeep import StoreTerms, Upkeep
from staging_api.staging.uploads import UploadProgress, UploadTerms
from staging_api.staging.watch import Watch
from staging_api.staging.witnesses import Witnesses, may_have_no_list
from staging_api.staging.work import FOR_CLIENT, Holds, Work, WorkMode
from staging_api.store.blob_store import BlobStore
from staging_api.vocabulary.staging import TO_DO_STATES
from staging_api.work_slots import WorkSlots, no_slot

log = logging.getLogger(__name__)

_NO_HOLDS: Holds = MappingProxyType({})


@dataclass(frozen=True)
class StagingService:
    """The staging service for the API and the worker."""

    database: Database
    locks: Locks
    catalogues: Catalogues
    allowed: AllowList
    blobs: BlobStore
    open_archive: Callable[[ArchiveUrl], Source]
    requirements: Requirements = field(default_factory=Requirements)
    uploads: UploadTerms = field(default_factory=UploadTerms)
    store: StoreTerms = field(default_factory=StoreTerms)
    speed: DownloadSpread = field(default_factory=DownloadSpread)
    limits: UnpackLimits = field(default_factory=UnpackLimits)
    packs: Packs = field(default_factory=Packs)
    slots: WorkSlots = field(default_factory=lambda: WorkSlots(32))
    helpers: threading.Semaphore = field(default_factory=lambda: threading.Semaphore(HELPERS))

    @cached_property
    def watch(self) -> Watch:
        """Wakes waiting requests of this process when a staging changes."""
        return Watch(self.database, self.uploads.waiter_slots, self.locks.shutdown)

    @cached_property
    def upkeep(self) -> Upkeep:
        """The upkeep of the store."""
        return Upkeep(self.database, self.locks, self.blobs, self.store)

    @cached_property
    def late(self) -> MissingObjects:
        """Looks again for missing artifacts."""
        return MissingObjects(self.database, self.open_archive, self.uploads.options)

    @property
    def artifacts(self) -> Artifacts:
        """Staged artifacts, for eviction and pinning."""
        return Artifacts(self.database, self.locks, self.uploads.options.secret_parameters)

    @property
    def records(self) -> StagingRecords:
        """The record of each staging."""
        return StagingRecords(self.database)

    @property
    def catalogue_check(self) -> CatalogueCheck:
        """Tries a catalogue on an archive."""
        return CatalogueCheck(self.open_archive, self.uploads.options)

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
        return self._checks.checked(archive_url, artifacts, upload_wait_seconds)

    def check_url(self, archive_url: str, *, root: bool = False) -> ArchiveUrl:
        """Parse the URL of an archive; `root`: it may be the root of a bucket.

        Raises:
            Invalid: the URL is malformed.
            SourceNotAllowed: the archive is outside the allow-list.
        """
        url = parse(archive_url, self.uploads.options.secret_parameters, root=root)
        self.allowed.check(url)
        return url

    def nothing_left(self, request: StagingRequest) -> Staging | None:
        """Return the staging that answers this request without new work; None if there is work.

        Missing artifacts are looked for again, in bounded time: they may have been uploaded since.
        """
        staging = self.nothing_left_by_rows(request)
        if staging is None:
            return None
        staged = {each.name for each in staging.artifacts if each.state == "staged"}
        return staging if staged >= set(request.names) or not self.late.came(request) else None

    def nothing_left_by_rows(self, request: StagingRequest) -> Staging | None:
        """Return the result of `nothing_left` by the rows alone, without a look at the archive."""
        with self.database.connect() as conn:
            return planning.nothing_left(conn, request)

    def standing_answer(self, request: StagingRequest) -> StandingAnswer:
        """Return the rows that answer a request, by one statement that writes nothing."""
        return self._standing_answers.find(request.question)

    def outcomes(self, request: StagingRequest) -> list[found_files.EntryState]:
        """Return the states of the requested artifacts, of those that have a row."""
        return self._outcomes.find(request.question)

    def answer_rows(self, staging_id: str) -> AnswerRows | None:
        """Return the rows from which a staging's response is made; None: no such staging."""
        return self._answer_rows.find(staging_id)

    def queue(
        self, request: StagingRequest, origin: RequestOrigin, given: Holds = _NO_HOLDS
    ) -> Staging:
        """Queue the request for a worker.

        Args:
            given: holds that the caller has already; the other locks are acquired here.

        Raises:
            LockHeld: another request works on this archive.
            Invalid: the archive's URL has a credential, which no worker would have.
        """
        request.check_can_be_left()
        with self.holding(request.lock_kinds, request.archive_url, origin, given) as holds:
            staging_id = self._plan(request, holds, origin)
        return self.find(staging_id)

    def queue_behind(self, request: StagingRequest, origin: RequestOrigin) -> None:
        """Queue a request for a worker, behind the current lock holder; needs no lock.

        Only the request is written. If an unfinished staging brings all of it anyway, the row of
        that staging records that others rely on it, so that its end, even by a cancellation, does
        not lose the requests accepted here.
        """
        came = self.late.came(request)
        planning.queue_behind(self.database, self.locks.holder, request, origin, came)

    def stage(
        self, request: StagingRequest, origin: RequestOrigin, given: Holds = _NO_HOLDS
    ) -> Staging:
        """Stage the artifacts for which the caller has to wait; a worker does the rest.

        Args:
            given: holds that the caller has already; the other locks are acquired here.

        Raises:
            LockHeld: another request works on this archive.
            LockLost: this request lost its lock before it was done.
            ClientGone: the client closed its connection while its request waited, for its turn or
                for an upload; the staging is cancelled.
            ShuttingDown: this process ends before the request is done; a worker continues.
            StagingApiError: an artifact failed; the staging says so too.
        """
        with (
            self.slots.one(origin.client, self.locks.shutdown) as slot,
            self.holding(request.lock_kinds, request.archive_url, origin, given) as holds,
        ):
            staging_id = self._plan(request, holds, origin)
            with self.working(staging_id, request, holds, FOR_CLIENT, slot.aside) as work:
                failed = work.foreground()
                # The caller gets an error, so the staging should be finished now: background
                # artifacts are tried, too. And a worker has no access to the credential of a URL.
                if failed is not None or request.url.has_credential:
                    work.background()
        if failed is not None:
            raise failed
        return self.find(staging_id)

    def find(self, staging_id: str) -> Staging:
        """Return one staging.

        Raises:
            NotFound: there is no such staging.
        """
        with self.database.connect() as conn:
            return reading.find(conn, staging_id)

    def page(
        self,
        *,
        limit: int,
        after: str | None = None,
        only: StagingFilter = StagingFilter(),  # noqa: B008 - frozen
    ) -> Page[Staging]:
        """List the stagings with ids below `after`, newest first; any spelling of URLs works."""
        only = replace(
            only,
            equal=canonical_equal(only.equal, self.uploads.options.secret_parameters),
            prefix=only.prefix and canonical_prefix(only.prefix),
        )
        with self.database.connect() as conn:
            return page_of(
                lambda rows: lists.list_stagings(conn, limit=rows, after=after, only=only),
                limit,
            )

    def archives(self, prefix: str = "", *, limit: int, after: str = "") -> Page[ArchiveSummary]:
        """List the archives whose URL begins with `prefix`, behind the URL `after`, by URL."""
        prefix = canonical_prefix(prefix)
        with self.database.connect() as conn:
            return page_of(
                lambda rows: archive_rows.list_archives(
                    conn, prefix=prefix, limit=rows, after=after
                ),
                limit,
                attrgetter("archive_url"),
            )

    def named(self, name: str, *, limit: int) -> Sequence[str]:
        """Return the URLs of archives whose last segment begins with `name`, by that segment."""
        with self.database.connect() as conn:
            return archive_rows.archives_named(conn, name, limit)

    def cancel(self, staging_id: str, origin: RequestOrigin) -> Staging:
        """Stop a staging: at once if no process works on it, else when that process notices.

        Raises:
            NotFound: there is no such staging.
        """
        staging = self.find(staging_id)
        with self.database.begin() as conn:
            event_rows.act_as(conn, origin.caller, self.locks.holder)
            # Committed before the locks are tried: their holder reads this row and stops.
            staging_rows.request_cancel(conn, staging_id)
        try:
            with self.holding(staging.lock_kinds, staging.archive_url, origin) as holds:
                self.mark_cancelled(staging, holds)
        except LockHeld:
            log.info("staging %s: cancellation requested from its lock holder", staging_id)
        return self.find(staging_id)

    @contextmanager
    def holding(
        self,
        kinds: Sequence[LockKind],
        archive_url: str,
        origin: RequestOrigin,
        given: Holds = _NO_HOLDS,
    ) -> Iterator[Holds]:
        """Hold these locks of one archive during the block; those of `given` are used as they are.

        Raises:
            LockHeld: another request holds one of them.
            LockLost: a lease was lost before the block ended.
        """
        with ExitStack() as stack:
            yield {
                kind.name: stack.enter_context(
                    holding(self.locks, kind, archive_url, origin, given.get(kind.name))
                )
                for kind in kinds
            }

    @contextmanager
    def working(
        self,
        staging_id: str,
        request: StagingRequest,
        holds: Holds,
        mode: WorkMode,
        aside: Callable[[], AbstractContextManager[Client]] = no_slot,
    ) -> Iterator[Work]:
        """Begin work on a staging, under its locks; yield the `Work` to be done.

        Args:
            aside: gives up the work slot of a request while it waits for an upload.
        """
        with guarded(self.database, next(iter(holds.values()))) as conn:
            staging_rows.begin_staging(conn, staging_id)
        shutdown = self.locks.shutdown
        stop_signals = StopSignals(self.database, staging_id, holds.values(), shutdown)
        with closing(self._opened(request.url, stop_signals)) as source:
            yield Work(
                database=self.database,
                blobs=self.blobs,
                source=source,
                witnesses=Witnesses(source, probes=may_have_no_list(request.url)),
                upload=UploadProgress(
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
                speed=replace(self.speed, turn=threading.Lock()),
                limits=self.limits,
                packs=self.packs,
                staging_id=staging_id,
                request=request,
                holds=holds,
                mode=mode,
                shutdown=shutdown,
                stop_signals=stop_signals,
                helpers=self.helpers,
            )

    def mark_cancelled(self, staging: Staging, holds: Holds) -> None:
        """Record that a staging was cancelled, under its locks."""
        with guarded(self.database, next(iter(holds.values()))) as conn:
            staging_rows.mark_cancelled(conn, staging.archive_url, staging.id)

    @cached_property
    def _checks(self) -> RequestChecks:
        return RequestChecks(self._check)

    @cached_property
    def _standing_answers(self) -> SharedReads[Question, StandingAnswer]:
        return SharedReads(partial(seen_rows.standing_answers, self.database))

    @cached_property
    def _answer_rows(self) -> SharedReads[str, AnswerRows | None]:
        return SharedReads(partial(seen_rows.answer_rows, self.database))

    @cached_property
    def _outcomes(self) -> SharedReads[Question, list[found_files.EntryState]]:
        return SharedReads(partial(found_files.outcomes_at, self.database))

    def _check(
        self, archive_url: str, artifacts: Sequence[str], upload_wait_seconds: float | None
    ) -> StagingRequest:
        single = bool(artifacts) and all(map(is_single, artifacts))
        url = self.check_url(archive_url, root=single)
        kinds = self.requirements.applied(self.catalogues.of(url).resolve(artifacts), url)
        for kind in kinds:
            if kind.group == FILES and not is_safe_name(kind.name.partition(":")[2]):
                raise Invalid.field("artifacts", f"{kind.name!r} is no name of an object")
        return StagingRequest(url, kinds, upload_wait_seconds)

    def _plan(self, request: StagingRequest, holds: Holds, origin: RequestOrigin) -> str:
        first, *others = holds.values()
        came = self.late.came(request)
        with guarded(self.database, first) as conn:
            # One transaction writes under all the locks, so each of them guards it.
            for other in others:
                lock_store.guard(conn, other.lease)
            prefix = planning.reserve_folder(conn, request)
            over = (*TO_DO_STATES, "failed")
            staging_id = planning.plan(conn, request, origin, prefix, over=over, came=came)
            staging_rows.settle(conn, request.archive_url, first.lease)
        bind_log_context(staging_id=staging_id)
        return staging_id

    def _opened(self, url: ArchiveUrl, stop_signals: StopSignals) -> Source:
        source = self.open_archive(url)
        # A local disk is never silent for long, so no second thread is needed.
        return source if url.local else Interruptible(source, stop_signals.check)
