"""Publish suites within a run: from pending packages to a live generation.

    publish     pending packages whose files are in the store become published
    dominate    older versions are superseded
    index       index files are built from the changes
    release     Releases are written, and signed
    before      hooks that may object to the publication, if the operation runs hooks
    go_live     one transaction: clients see the new generation
    after       hooks that are notified of the publication
    tidy        files and rows that are no longer needed are removed from the pool and the tables

What if the process dies? Each phase commits by itself, and leaves marks of the work still to do:
packages are pending or unlisted, suites are dirty. A hook may run twice.
"""

from collections.abc import Collection, Mapping
from dataclasses import dataclass, replace
from pathlib import Path

from staging_api.db.engine import Database
from staging_api.errors import HookFailed, Unavailable
from staging_api.locks.model import new_id
from staging_api.publishing import phases
from staging_api.publishing.building import Builder, GenerationDraft
from staging_api.publishing.hooks import HookResult, run_hooks
from staging_api.publishing.model import AptArchive, Distribution
from staging_api.publishing.rows import apt_archives, generations
from staging_api.publishing.run_model import Options
from staging_api.publishing.runlog import RunLog
from staging_api.store.blob_store import BlobStore


@dataclass(frozen=True)
class SuitePublishing:
    """Publishes the suites of an archive, within a run that has begun.

    Attributes:
        hooks: folder with the folders ``before.d`` and ``after.d``; None: no hooks.
        hook_seconds: time limit of each hook.
        at_once: number of packages that a generation may add; the rest is added by the next
            generations of the same run. Going live is one transaction, and the lock allows 15 s.
        many: number of changes after which the statistics of PostgreSQL's planner are renewed; with
            old ones it would compare each of 10,000 new packages with each other.
    """

    database: Database
    blobs: BlobStore
    builder: Builder
    hooks: Path | None = None
    hook_seconds: float = 60.0
    at_once: int = 10_000
    many: int = 1000

    def with_work(self, apt_archive: AptArchive) -> set[int]:
        """Return the suites whose published state is not up to date."""
        with self.database.plain_connection() as conn:
            return apt_archives.suites_with_work(conn, apt_archive.id, self.builder.releaser.signer)

    def publish(
        self,
        run: RunLog,
        apt_archive: AptArchive,
        options: Options,
        *,
        hooks: bool,
        last: bool = True,
    ) -> HookFailed | None:
        """Publish all pending changes; return the failure of a hook that ran after going live.

        A generation adds about `at_once` packages; the rest is added by further generations.

        Args:
            run: the run that publishes.
            apt_archive: the archive.
            options: parts to run thoroughly, and suites to publish.
            hooks: whether to run the operator's hooks.
            last: whether this is the last work of the run.

        Raises:
            HookFailed: a hook before going live failed; clients see the old generation.
            SigningFailed: the key has expired, even if there is nothing to publish: clients already
                refuse the live generation.
        """
        self.builder.releaser.check_key(apt_archive.seen_at)
        failed, more = None, True
        while more and (ids := _in_scope(apt_archive, options, self.with_work(apt_archive))):
            published, refused = self._publish_some(
                run, apt_archive, ids, options, hooks=hooks, last=last
            )
            failed = refused or failed
            more = published >= self.at_once
            if more:
                apt_archive = self._reread(apt_archive)
        if run.counts["published"] >= self.many:
            phases.renew_statistics(run)
        if not run.ended:
            try:
                phases.tidy(run, apt_archive)
            except Unavailable as error:
                # Clients already see everything, so the run has not failed.
                run.note(f"the next run will tidy up: {error.detail}")
        return failed

    def distribution(self, name: str) -> Distribution | None:
        """Return the distribution of an archive; None before its first generation."""
        with self.database.plain_connection() as conn:
            return generations.find_distribution(conn, name)

    def go_live(
        self,
        run: RunLog,
        apt_archive: AptArchive,
        draft: GenerationDraft,
        generation_id: str,
        *,
        last: bool,
    ) -> None:
        """Make a draft live; if it is a run's last work and nothing needs tidying, end the run.

        That saves one transaction, which would wait for the disk.
        """
        run.phase("go_live")
        archive_id, retention = apt_archive.id, apt_archive.retention_seconds
        with run.ending(
            {"generations": 1},
            ends=lambda conn: last and not any(generations.overdue(conn, archive_id, retention)),
            is_done=lambda conn: generations.went_live(conn, generation_id),
        ) as conn:
            self.builder.go_live(run, conn, apt_archive, generation_id, draft)

    def _publish_some(
        self,
        run: RunLog,
        apt_archive: AptArchive,
        ids: Collection[int],
        options: Options,
        *,
        hooks: bool,
        last: bool,
    ) -> tuple[int, HookFailed | None]:
        """Publish about `at_once` packages of these suites in one generation.

        Returns:
            The number of packages, and the failure of a hook that ran after going live.
        """
        now = self.distribution(apt_archive.name)
        decided = [s.id for s in apt_archive.suites if s.id in ids and s.held is None]
        published = phases.publish(run, self.blobs, decided, options, self.at_once)
        if published >= self.many:
            phases.renew_statistics(run)
        phases.dominate(run, apt_archive, decided, options)
        current = _held_as_before(apt_archive, self._reread(apt_archive))
        shown = [s for s in current.suites if s.id in ids]
        draft = self.builder.draft(run, current, shown, now, options)
        # After many packages, the statistics have to be renewed before the run ends.
        ends = last and published < self.at_once and run.counts["published"] < self.many
        return published, self._finish(run, current, draft, now, hooks=hooks, last=ends)

    def _reread(self, apt_archive: AptArchive) -> AptArchive:
        with self.database.plain_connection() as conn:
            return apt_archives.find_apt_archive(conn, apt_archive.name)

    def _finish(
        self,
        run: RunLog,
        apt_archive: AptArchive,
        draft: GenerationDraft,
        now: Distribution | None,
        *,
        hooks: bool,
        last: bool,
    ) -> HookFailed | None:
        """Make a draft live between the hooks; if nothing differs, only clear the marks."""
        if not draft.differs:
            if now is not None:
                with run.step() as conn:
                    self.builder.settle_same(conn, now.live, apt_archive, draft)
            return None
        with_hooks = hooks and self.hooks is not None
        generation_id = new_id()
        environment = _environment(run, apt_archive, generation_id, draft)
        if with_hooks:
            with run.writing() as conn:
                generations.begin_generation(conn, generation_id, apt_archive.id, run.id)
            if refused := self._run_hooks(run, "before", environment):
                raise refused
        self.go_live(run, apt_archive, draft, generation_id, last=last and not with_hooks)
        run.reached("live")
        try:
            return self._run_hooks(run, "after", environment) if hooks else None
        except Unavailable as error:
            return HookFailed(f"hooks of after.d did not run, or are not recorded: {error.detail}")

    def _run_hooks(
        self, run: RunLog, stage: str, environment: Mapping[str, str]
    ) -> HookFailed | None:
        """Run the hooks of a stage until one fails."""
        if self.hooks is None:
            return None
        run.phase(stage, lasting=True)
        folder, check = self.hooks / f"{stage}.d", run.held.assert_held
        for result in run_hooks(folder, environment, self.hook_seconds, check):
            run.hook(stage, result)
            if not result.succeeded:
                return HookFailed(f"the hook {stage}.d/{result.name} {_failure(result)}")
        return None


def _failure(result: HookResult) -> str:
    said = result.output[-500:]
    if result.timed_out:
        return f"ran out of time: {said}"
    return said if result.exit_code is None else f"ended with {result.exit_code}: {said}"


def _in_scope(apt_archive: AptArchive, options: Options, work: set[int]) -> set[int]:
    """Return the suites that a run has to examine."""
    return {
        suite.id
        for suite in apt_archive.suites
        if (options.is_careful or suite.id in work)
        and (not options.suites or suite.name in options.suites)
    }


def _held_as_before(then: AptArchive, now: AptArchive) -> AptArchive:
    """Return the archive as it is now, but with the holds of the time when packages were decided.

    A suite whose hold was lifted in between needs work that was not done, so it is left to the next
    run.
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
    run: RunLog, apt_archive: AptArchive, generation_id: str, draft: GenerationDraft
) -> dict[str, str]:
    """Return the environment of a hook."""
    return {
        "STAGING_ARCHIVE": apt_archive.name,
        "STAGING_PUBLICATION": run.id,
        "STAGING_GENERATION": generation_id,
        "STAGING_SUITES": " ".join(suite.name for suite in draft.suites),
    }
