"""Publishing suites within a run: from pending packages to a generation that is live.

    publish     pending packages whose files are in the store become published
    dominate    older versions are superseded
    index       index files are made of what changed
    release     Releases are written, and signed
    before      the operator's programs that may object, if the operation runs hooks
    go_live     one transaction: clients see the new generation
    after       the operator's programs that want to know
    tidy        files and rows that are no longer needed leave the pool and the tables

What if the process dies? Each phase commits by itself, and leaves the marks of the work that is
still to do: a package is pending or unlisted, a suite dirty. A hook may run twice.
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
        hooks: a folder with folders ``before.d`` and ``after.d``; None for no hooks.
        hook_seconds: how long each hook may take.
        at_once: packages that a generation may add; the rest comes in the next one of the same run.
            Going live is one transaction, and the lock lets none last longer than 15 s.
        many: after so many changes at once, the statistics of PostgreSQL's planner are too old; it
            would compare each of 10,000 new packages with each other.
    """

    database: Database
    blobs: BlobStore
    builder: Builder
    hooks: Path | None = None
    hook_seconds: float = 60.0
    at_once: int = 10_000
    many: int = 1000

    def with_work(self, apt_archive: AptArchive) -> set[int]:
        """Return the suites of which clients do not see all that they should."""
        with self.database.connect() as conn:
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
        """Publish what there is to publish; return the failure of a hook that ran afterwards.

        A generation takes `at_once` packages, or a few more; the rest comes in further ones.

        Args:
            run: the run that publishes.
            apt_archive: the archive.
            options: how thoroughly, and in which suites.
            hooks: whether the operator's programs are run.
            last: whether the run does nothing else after it.

        Raises:
            HookFailed: a hook before going live failed; clients see what they saw.
        """
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
                # Clients see all of it, so the run has not failed.
                run.note(f"what is no longer needed is left to the next run: {error.detail}")
        return failed

    def distribution(self, name: str) -> Distribution | None:
        """Return what clients see of an archive; None before its first generation."""
        with self.database.connect() as conn:
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
        """Let clients see a draft; if it is the last of a run and nothing is to tidy, end the run.

        One transaction less, which waits for the disk.
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
        """Publish `at_once` packages of these suites, or a few more, in one generation.

        Returns:
            how many; and the failure of a hook that ran afterwards.
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
        # What is many leaves statistics to renew behind it.
        ends = last and published < self.at_once and run.counts["published"] < self.many
        return published, self._finish(run, current, draft, now, hooks=hooks, last=ends)

    def _reread(self, apt_archive: AptArchive) -> AptArchive:
        with self.database.connect() as conn:
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
        """Let a draft go live between the hooks; one that differs in nothing clears marks only."""
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
        for result in run_hooks(self.hooks / f"{stage}.d", environment, self.hook_seconds):
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
    """Return the suites that a run is to look at."""
    return {
        suite.id
        for suite in apt_archive.suites
        if (options.is_careful or suite.id in work)
        and (not options.suites or suite.name in options.suites)
    }


def _held_as_before(then: AptArchive, now: AptArchive) -> AptArchive:
    """Return the archive as it is now, its suites held as when its packages were decided on.

    A suite that was lifted in between is left to the next run: not all was done that it needs.
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
