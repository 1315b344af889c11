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
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path

from staging_api.artifacts.store import BlobStore
from staging_api.db.engine import Database
from staging_api.errors import HookFailed, Invalid
from staging_api.locks.hold import Asker, Locks, hold
from staging_api.locks.model import GLOBAL, PUBLISHER, new_id
from staging_api.publishing import phases, repository
from staging_api.publishing.building import Builder, Draft
from staging_api.publishing.hooks import run_hooks
from staging_api.publishing.model import (
    AptArchive,
    Distribution,
    Generation,
    Operation,
    Options,
    Run,
    Suite,
)
from staging_api.publishing.runlog import RunLog

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

    def run(self, operation: Operation, archive: AptArchive, options: Options, asker: Asker) -> Run:
        """Run one operation on one archive, to its end.

        Raises:
            LockHeld: another operation runs, on whatever archive.
            LockLost: this one did, and lost the lock before it was done.
            SigningFailed: there is a key, and no signature came of it; clients see what they saw.
            HookFailed: a hook before going live said no; clients see what they saw.
        """
        with hold(self.locks, PUBLISHER, GLOBAL, asker) as held:
            run = RunLog.begin(
                self.locks,
                held,
                operation=operation,
                archive=archive,
                options=options,
                asker=asker,
                reached=self.reached,
            )
            try:
                failed_hook = _OPERATIONS[operation](self, run, archive, options)
                run.finish(failed_hook)
            except BaseException as error:
                run.fail(error)
                raise
        return self.find(run.id)

    def archive(self, name: str, options: Options | None = None) -> AptArchive:
        """The archive that an operation is to run on, its options checked.

        Raises:
            NotFound: there is no such archive.
            Invalid: an option names a suite that it does not have.
        """
        with self.database.connect() as conn:
            archive = repository.find_archive(conn, name)
        for wanted in options.suites if options else ():
            if archive.suite(wanted) is None:
                raise Invalid.field("options.suites", f"{name} has no suite {wanted}")
        return archive

    def find(self, run_id: str) -> Run:
        """One run.

        Raises:
            NotFound: there is no such run.
        """
        with self.database.connect() as conn:
            return repository.find_run(conn, run_id)

    def go_back(self, name: str, generation_id: str, asker: Asker) -> Generation:
        """Let clients see the packages of an older generation, until the next run with changes.

        Raises:
            NotFound: there is no such archive or generation.
            Conflict: the generation's files are not kept any more.
            LockHeld: an operation of the publisher runs.
        """
        archive = self.archive(name)
        with hold(self.locks, PUBLISHER, GLOBAL, asker) as held:
            return self.builder.go_back(held, archive, generation_id, asker.caller)

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
            now = self._distribution(archive)
            # After rolling back, clients see old packages of every suite.
            if now is not None and now.live.content_number != now.head.content_number:
                ids = {suite.id for suite in archive.suites}
            published = phases.publish(run, self.blobs, sorted(ids), options, self.at_once)
            more = published >= self.at_once
            if published >= self.many:
                phases.renew_statistics(run)
            phases.dominate(run, archive, ids, options)
            archive = self.archive(archive.name)
            suites = [suite for suite in archive.suites if suite.id in ids]
            made = self._make_generation(run, archive, suites, options, now=now, hooks=hooks)
            failed = made or failed
            if more:
                work = self._with_work(archive)
        if run.counts["published"] >= self.many:
            phases.renew_statistics(run)
        phases.tidy(run, archive)
        return failed

    def _with_work(self, archive: AptArchive) -> set[int]:
        with self.database.connect() as conn:
            return repository.suites_with_work(conn, archive.id)

    def _distribution(self, archive: AptArchive) -> Distribution | None:
        with self.database.connect() as conn:
            return repository.find_distribution(conn, archive.name)

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
                    self.builder.settle(conn, now.head.number, draft)
            return None
        generation_id = new_id()
        environment = _environment(run, archive, generation_id, draft)
        if hooks and self.hooks is not None:
            with run.writing() as conn:
                repository.begin_generation(conn, generation_id, archive.id, run.id)
            if refused := self._run_hooks(run, "before", environment):
                raise refused
        run.phase("go_live")
        with run.writing() as conn:
            self.builder.go_live(conn, archive, generation_id, draft, run.caller, run_id=run.id)
        run.counts["generations"] += 1
        run.reached("live")
        return self._run_hooks(run, "after", environment) if hooks else None

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
