"""The use cases of the publisher: process-accepted, publish-distro, publish-ftpmaster.

All three run under one lock, `PUBLISHER` on `GLOBAL`; publish-ftpmaster does what the other two do
by the same functions, within its own hold. Whatever a run writes, it writes through
`RunLog.writing`, as the holder of that lock or not at all.

    accept      uploads become pending publications, each by itself           process-accepted
    publish     pending publications whose files are in the store: published  publish-distro
    dominate    older versions are superseded
    index       index files are made of what changed
    release     Releases are written, and signed
    before      the operator's programs that may object                       publish-ftpmaster only
    go_live     one update: clients see the new generation
    after       the operator's programs that want to know                     publish-ftpmaster only
    tidy        what is over for good leaves pool and tables

What if the process dies? Every phase commits what is true by itself, and leaves the mark that says
what is still to do: an upload is ``accepted``, a publication ``pending`` or unlisted, a suite
dirty. The lock runs out; the next run, by any process, notes that this one was abandoned and finds
the marks. Nothing has to be done by hand, and clients see the old generation until ``go_live``
commits, then the new one. A hook may run twice.
"""

import logging
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

from staging_api.artifacts.store import BlobStore
from staging_api.db.engine import Database
from staging_api.errors import Conflict, HookFailed, Invalid
from staging_api.locks.hold import Locks, RequestOrigin, hold
from staging_api.locks.model import GLOBAL, PUBLISHER, new_id
from staging_api.publishing import phases, rows
from staging_api.publishing.building import Builder, Draft, Return
from staging_api.publishing.distributions import DistributionService
from staging_api.publishing.hooks import run_hooks
from staging_api.publishing.model import AptArchive, Distribution, Suite
from staging_api.publishing.run_model import Options, PublisherRun
from staging_api.publishing.runlog import RunLog
from staging_api.publishing.runs import PublisherRuns
from staging_api.vocabulary.publishing import Operation, Purpose

log = logging.getLogger(__name__)

_SECURITY = "-security"


def _nowhere(_step: str) -> None:
    """Steps are told to nobody."""


@dataclass(frozen=True)
class Publisher:
    """The publisher, as the API uses it.

    Attributes:
        hooks: a folder with folders ``before.d`` and ``after.d``; None for no hooks.
        hook_seconds: how long each hook may take.
        at_once: packages that a generation may add; the rest comes in the next one of the same run.
            Going live is one transaction, and the lock lets none last longer than 15 s.
        many: after so many changes at once, what PostgreSQL's planner knows of the tables is not
            true any more; it would compare each of 10,000 new packages with each other.
        reached: told the name of each step; for tests that end the process there.
    """

    database: Database
    locks: Locks
    blobs: BlobStore
    builder: Builder
    hooks: Path | None = None
    hook_seconds: float = 60.0
    at_once: int = 10_000
    many: int = 1000
    reached: Callable[[str], None] = field(default=_nowhere)

    @property
    def distributions(self) -> DistributionService:
        """What clients see."""
        return DistributionService(self.database)

    @property
    def runs(self) -> PublisherRuns:
        """Its runs, those of other processes included."""
        return PublisherRuns(self.database)

    def run(
        self, operation: Operation, archive: AptArchive, options: Options, origin: RequestOrigin
    ) -> PublisherRun:
        """Run one operation on one archive, to its end.

        Raises:
            LockHeld: another operation runs, on whatever archive.
            LockLost: this one did, and lost the lock before it was done.
            SigningFailed: there is a key, and no signature came of it; clients see what they saw.
            HookFailed: a hook before going live said no; clients see what they saw.
        """
        with self._running(operation, archive, options, origin) as run:
            # Only the lock's holder knows that no suite is taken back meanwhile.
            archive = self.archive(archive.name)
            run.finish(_OPERATIONS[operation](self, run, archive, options))
        return self.runs.find(run.id)

    @contextmanager
    def _running(
        self,
        operation: Operation,
        archive: AptArchive,
        options: Options,
        origin: RequestOrigin,
        purpose: Purpose | None = None,
    ) -> Iterator[RunLog]:
        """A run that holds the lock, and that those who find the lock held are told of.

        Raises:
            LockHeld: another one runs.
        """
        with hold(self.locks, PUBLISHER, GLOBAL, origin) as held:
            run = RunLog.begin(
                self.locks,
                held,
                operation=operation,
                archive=archive,
                options=options,
                origin=origin,
                reached=self.reached,
                purpose=purpose,
            )
            try:
                yield run
            except BaseException as error:
                run.fail(error)
                raise

    def renew(self, name: str, origin: RequestOrigin) -> PublisherRun | None:
        """Write the Releases anew of which half of the time is over, and decide on no package.

        Only where this process signs as those were signed; None if there is nothing to do for it.

        Raises:
            NotFound: there is no such archive.
            LockHeld, LockLost, SigningFailed: as with `run`.
        """
        archive, options = self.archive(name), Options()
        if not self.builder.has_to_renew(archive, self._distribution(name)):
            return None
        with self._running("publish-distro", archive, options, origin, "renewal") as run:
            archive = self.archive(name)
            draft = self.builder.renewal(run, archive, self._distribution(name))
            if draft.differs:
                run.note("renewed what clients would soon not believe any more, and nothing else")
                self._go_live(run, archive, new_id(), draft)
            run.finish()
        return self.runs.find(run.id) if draft.differs else None

    def archive(self, name: str, options: Options | None = None) -> AptArchive:
        """The archive that an operation is to run on, its options checked.

        Raises:
            NotFound: there is no such archive.
            Invalid: an option names a suite that it does not have.
        """
        with self.database.connect() as conn:
            archive = rows.find_apt_archive(conn, name)
        for wanted in options.suites if options else ():
            if archive.suite(wanted) is None:
                raise Invalid.field("options.suites", f"{name} has no suite {wanted}")
        return archive

    def go_back(
        self, name: str, generation_id: str | None, origin: RequestOrigin, **wish: Any
    ) -> Distribution:
        """Let clients see the packages of an older generation, until that is lifted.

        Gives what they see by then.

        Args:
            name: of the archive.
            generation_id: whose packages; None for those that clients see now.
            origin: who wishes it.
            wish: `suites` and `reason`, as `Return` has them.

        Raises:
            NotFound: there is no such archive or generation.
            Invalid: the archive has no such suite.
            Conflict: the generation's files are not kept any more, or it has no such suite.
            LockHeld: an operation of the publisher runs.
        """
        wanted, options = Return(generation_id, **wish), Options(suites=wish.get("suites", ()))
        archive = self.archive(name, options)
        # What cannot be done is refused without a run, or found out again by the lock's holder.
        self.builder.returning(archive, wanted)
        with self._running("publish-distro", archive, options, origin, "go-back") as run:
            archive = self.archive(name)
            self.builder.go_back(run, archive, wanted, origin.caller)
            run.finish()
        return self.distributions.find(name)

    def lift(self, name: str, suites: tuple[str, ...] = ()) -> list[str]:
        """Let suites show what is published again, from the next run on; none for all.

        Gives the names of those that were held.

        Raises:
            NotFound: there is no such archive.
            Invalid: the archive has no such suite.
        """
        archive = self.archive(name, Options(suites=suites))
        ids = [suite.id for suite in archive.suites if not suites or suite.name in suites]
        with self.database.begin() as conn:
            return rows.lift(conn, ids)

    def lift_suite(self, name: str, suite: str) -> Distribution:
        """Lift the hold of one suite; gives what clients see.

        Raises:
            NotFound: there is no such archive, or nothing of it has been published.
            Invalid: the archive has no such suite.
            Conflict: the suite is not held.
        """
        if not self.lift(name, (suite,)):
            raise Conflict(f"the suite {suite} of {name} is not held")
        return self.distributions.find(name)

    def _process_accepted(self, run: RunLog, archive: AptArchive, _options: Options) -> None:
        phases.accept(run, archive)

    def _publish_distro(self, run: RunLog, archive: AptArchive, options: Options) -> None:
        self._publish(run, archive, options, self._with_work(archive), hooks=False)

    def _publish_ftpmaster(
        self, run: RunLog, archive: AptArchive, options: Options
    ) -> HookFailed | None:
        phases.accept(run, archive)
        work, failed = self._with_work(archive), None
        security = tuple(s.name for s in archive.suites if s.id in work and _is_urgent(s))
        if security and not options.suites:
            # Fixes do not wait for the rest to be made.
            urgent = replace(options, suites=security)
            failed = self._publish(run, archive, urgent, work, hooks=True)
            archive = self.archive(archive.name)
            work = self._with_work(archive)
        return self._publish(run, archive, options, work, hooks=True) or failed

    def _publish(
        self, run: RunLog, archive: AptArchive, options: Options, work: set[int], *, hooks: bool
    ) -> HookFailed | None:
        """Publish what is to be published of an archive; gives the hook that failed afterwards.

        Args:
            run: the run that does it.
            archive: which archive.
            options: how thoroughly, and where.
            work: suites of which clients do not see all that they should.
            hooks: whether the operator's programs are asked and told.
        """
        failed, more = None, True
        while more and (ids := _in_scope(archive, options, work)):
            now = self._distribution(archive.name)
            decided = [s.id for s in archive.suites if s.id in ids and s.held is None]
            published = phases.publish(run, self.blobs, decided, options, self.at_once)
            more = published >= self.at_once
            if published >= self.many:
                phases.renew_statistics(run)
            phases.dominate(run, archive, decided, options)
            archive = _as_begun(archive, self.archive(archive.name))
            suites = [suite for suite in archive.suites if suite.id in ids]
            made = self._make_generation(run, archive, suites, options, now=now, hooks=hooks)
            failed = made or failed
            if more:
                archive = self.archive(archive.name)
                work = self._with_work(archive)
        if run.counts["published"] >= self.many:
            phases.renew_statistics(run)
        phases.tidy(run, archive)
        return failed

    def _with_work(self, archive: AptArchive) -> set[int]:
        with self.database.connect() as conn:
            signer = self.builder.releaser.signer
            return rows.suites_with_work(conn, archive.id, signer)

    def _distribution(self, name: str) -> Distribution | None:
        with self.database.connect() as conn:
            return rows.find_distribution(conn, name)

    def _make_generation(
        self,
        run: RunLog,
        archive: AptArchive,
        suites: Sequence[Suite],
        options: Options,
        *,
        now: Distribution | None,
        hooks: bool,
    ) -> HookFailed | None:
        draft = self.builder.draft(run, archive, suites, now, options)
        if not draft.differs:
            if now is not None:
                with run.writing() as conn:
                    self.builder.settle(conn, now.live.number, draft)
            return None
        generation_id = new_id()
        environment = _environment(run, archive, generation_id, draft)
        if hooks and self.hooks is not None:
            with run.writing() as conn:
                rows.begin_generation(conn, generation_id, archive.id, run.id)
            if refused := self._run_hooks(run, "before", environment):
                raise refused
        self._go_live(run, archive, generation_id, draft)
        run.reached("live")
        return self._run_hooks(run, "after", environment) if hooks else None

    def _go_live(self, run: RunLog, archive: AptArchive, generation_id: str, draft: Draft) -> None:
        run.phase("go_live")
        with run.writing() as conn:
            self.builder.go_live(conn, archive, generation_id, draft, run)
        run.counts["generations"] += 1

    def _run_hooks(
        self, run: RunLog, stage: str, environment: Mapping[str, str]
    ) -> HookFailed | None:
        """Run the hooks of a stage until one fails."""
        if self.hooks is None:
            return None
        run.phase(stage, lasting=True)
        for result in run_hooks(self.hooks / f"{stage}.d", environment, self.hook_seconds):
            run.hook(stage, result)
            if not result.succeeded:
                how = "ran out of time" if result.timed_out else f"ended with {result.exit_code}"
                return HookFailed(f"the hook {stage}.d/{result.name} {how}: {result.output[-500:]}")
        return None


_OPERATIONS: Mapping[
    Operation, Callable[[Publisher, RunLog, AptArchive, Options], HookFailed | None]
] = {
    "process-accepted": Publisher._process_accepted,  # noqa: SLF001 - its own operations
    "publish-distro": Publisher._publish_distro,  # noqa: SLF001
    "publish-ftpmaster": Publisher._publish_ftpmaster,  # noqa: SLF001
}


def _is_urgent(suite: Suite) -> bool:
    return suite.name.endswith(_SECURITY)


def _in_scope(archive: AptArchive, options: Options, work: set[int]) -> set[int]:
    """The suites that a run is to look at."""
    careful = any(
        options.wants(part) for part in ("publishing", "domination", "indices", "release")
    )
    return {
        suite.id
        for suite in archive.suites
        if (careful or suite.id in work) and (not options.suites or suite.name in options.suites)
    }


def _as_begun(then: AptArchive, now: AptArchive) -> AptArchive:
    """The archive as it is now, its suites held as they were when packages were decided on.

    One that was lifted in between is looked at by the next run: not all was done that it needs.
    """
    before = {suite.id: suite for suite in then.suites}
    suites = (
        replace(s, held=before[s.id].held, rebuild_since=before[s.id].rebuild_since)
        if s.id in before
        else s
        for s in now.suites
    )
    return replace(now, suites=tuple(suites))


def _environment(
    run: RunLog, archive: AptArchive, generation_id: str, draft: Draft
) -> dict[str, str]:
    """What a hook sees of the run."""
    return {
        "STAGING_ARCHIVE": archive.name,
        "STAGING_PUBLICATION": run.id,
        "STAGING_GENERATION": generation_id,
        "STAGING_SUITES": " ".join(suite.name for suite in draft.suites),
    }
