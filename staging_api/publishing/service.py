"""The operations of the publisher: process-accepted, publish-distro, publish-ftpmaster.

All operations run under one lock, `PUBLISHER` on `GLOBAL`; publish-ftpmaster calls the functions of
the other two within its own hold. All writes of a run go through `RunLog.writing`, which commits
only while the run holds that lock.

    process-accepted    accept: each upload becomes a pending package, independently of the others
    publish-distro      the phases of `suite_publishing`, without hooks
    publish-ftpmaster   accept, then those phases with hooks; suites of security fixes first

What if the process dies? An upload stays ``accepted``; see `suite_publishing` for the phases. The
lock expires; the next run, by any process, marks this run as abandoned and finds the work left to
do. Nobody has to repair anything, and clients see the old generation until ``go_live`` commits, and
then the new one.
"""

from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field, replace

from staging_api.errors import Conflict, HookFailed, Invalid, NotFound
from staging_api.locks.hold import Locks, RequestOrigin, holding
from staging_api.locks.keeper import Hold
from staging_api.locks.model import GLOBAL, PUBLISHER, new_id
from staging_api.publishing import phases
from staging_api.publishing.distributions import DistributionService
from staging_api.publishing.going_back import plan_rollback
from staging_api.publishing.model import AptArchive, Distribution
from staging_api.publishing.rows import apt_archives
from staging_api.publishing.run_model import Options, PublisherRun
from staging_api.publishing.runlog import RunLog
from staging_api.publishing.runs import PublisherRuns
from staging_api.publishing.suite_publishing import SuitePublishing
from staging_api.vocabulary.publishing import Operation, Purpose

_SECURITY = "-security"


def _ignore(_step: str) -> None:
    """Do nothing: steps matter only to tests."""


@dataclass(frozen=True)
class Publisher(SuitePublishing):
    """The publisher as the API uses it: starts runs, which publish suites.

    Attributes:
        reached: called with the name of each step; tests use it to end the process at a step.
    """

    locks: Locks = field(kw_only=True)
    reached: Callable[[str], None] = field(default=_ignore)

    @property
    def distributions(self) -> DistributionService:
        """The use cases that read distributions."""
        return DistributionService(self.database)

    @property
    def runs(self) -> PublisherRuns:
        """Its runs, including those of other processes."""
        return PublisherRuns(self.database)

    def run(
        self,
        operation: Operation,
        apt_archive: AptArchive,
        options: Options,
        origin: RequestOrigin,
        held: Hold | None = None,
    ) -> PublisherRun:
        """Run one operation on one archive, to its end.

        Args:
            operation: the operation.
            apt_archive: the archive.
            options: parts to run thoroughly, and suites to run on.
            origin: the caller of the run.
            held: the publisher's lock, if the caller holds it; None: acquire the lock.

        Raises:
            LockHeld: another operation is running, on any archive.
            LockLost: this run lost the lock before its end.
            SigningFailed: there is a key, but signing failed; clients see the old generation.
            HookFailed: a hook before going live failed; clients see the old generation.
        """
        with self._running(operation, apt_archive, options, origin, held=held) as run:
            # Only under the lock is it certain that no suite is rolled back meanwhile.
            apt_archive = self.apt_archive(apt_archive.name)
            run.finish(self._operate(run, operation, apt_archive, options))
        return self.runs.find(run.id)

    def renew(self, name: str, origin: RequestOrigin) -> PublisherRun | None:
        """Renew the Releases whose validity is half over, without any decision on packages.

        Only Releases signed with the key of this process are renewed; returns None if there are
        none.

        Raises:
            NotFound: there is no such archive.
            LockHeld, LockLost, SigningFailed: as in `run`.
        """
        apt_archive = self.apt_archive(name)
        if not self.builder.has_to_renew(apt_archive, self.distribution(name)):
            return None
        # Before the run: a worker tries every minute, and would record as many failed runs.
        self.builder.releaser.check_key(apt_archive.seen_at)
        with self._running("publish-distro", apt_archive, Options(), origin, "renewal") as run:
            apt_archive = self.apt_archive(name)
            draft = self.builder.renewal(run, apt_archive, self.distribution(name))
            if draft.differs:
                run.note("renewed only Releases that were about to expire")
                self.go_live(run, apt_archive, draft, new_id(), last=True)
            run.finish()
        return self.runs.find(run.id) if draft.differs else None

    def apt_archive(
        self, name: str, suites: Iterable[str] = (), *, field: str = "suites"
    ) -> AptArchive:
        """Return the archive that an operation is to run on, after checking its suites.

        Args:
            name: name of the archive.
            suites: suites named in the request.
            field: request field that names the suites.

        Raises:
            NotFound: there is no such archive.
            Invalid: the archive does not have one of the suites.
        """
        with self.database.plain_connection() as conn:
            apt_archive = apt_archives.find_apt_archive(conn, name)
        for suite in suites:
            if apt_archive.suite(suite) is None:
                raise Invalid.field(field, f"{name} has no suite {suite}")
        return apt_archive

    def go_back(
        self,
        name: str,
        generation_id: str | None,
        origin: RequestOrigin,
        *,
        suites: tuple[str, ...] = (),
        reason: str = "",
    ) -> Distribution:
        """Show clients the packages of an older generation until the hold is lifted.

        Args:
            name: name of the archive.
            generation_id: id of the generation; None: the live one, so that the suites are held at
                it.
            origin: the caller of the request.
            suites: names of the suites to roll back; empty: all suites of the generation.
            reason: reason, in the caller's words.

        Returns:
            The distribution after the change.

        Raises:
            NotFound: there is no such archive or generation.
            Invalid: the archive has no such suite.
            Conflict: the generation is no longer kept, or has no such suite.
            LockHeld: an operation of the publisher is running.
        """
        apt_archive, options = self.apt_archive(name, suites), Options(suites=suites)
        # Refuse impossible requests without starting a run; the plan is made again under the lock.
        plan_rollback(self.database, apt_archive, generation_id, suites)
        with self._running("publish-distro", apt_archive, options, origin, "go-back") as run:
            apt_archive = self.apt_archive(name)
            back = plan_rollback(self.database, apt_archive, generation_id, suites)
            self.builder.go_back(run, apt_archive, back, reason)
        return self.distributions.find(name)

    def check_suite(self, name: str, suite: str) -> None:
        """Check a suite named in a path.

        Raises:
            NotFound: there is no such archive, or it has no such suite.
        """
        if self.apt_archive(name).suite(suite) is None:
            raise NotFound(f"{name} has no suite {suite}")

    def lift(self, name: str, suites: tuple[str, ...] = (), *, caller: str) -> list[str]:
        """Lift the holds of suites (none named: all), from the next run on.

        Returns:
            The names of the suites that were held.

        Raises:
            NotFound: there is no such archive.
            Invalid: the archive has no such suite.
        """
        apt_archive = self.apt_archive(name, suites)
        ids = [suite.id for suite in apt_archive.suites if not suites or suite.name in suites]
        with self.database.begin() as conn:
            return apt_archives.lift(conn, ids, caller)

    def lift_suite(self, name: str, suite: str, caller: str) -> Distribution:
        """Lift the hold of one suite; return the distribution.

        Raises:
            NotFound: there is no such archive, it has no such suite, or it has not been published.
            Conflict: the suite is not held.
        """
        self.check_suite(name, suite)
        if not self.lift(name, (suite,), caller=caller):
            raise Conflict(f"the suite {suite} of {name} is not held")
        return self.distributions.find(name)

    @contextmanager
    def _running(
        self,
        operation: Operation,
        apt_archive: AptArchive,
        options: Options,
        origin: RequestOrigin,
        purpose: Purpose | None = None,
        *,
        held: Hold | None = None,
    ) -> Iterator[RunLog]:
        """Hold the lock for a run; refused requests show this run.

        Raises:
            LockHeld: another run holds the lock.
        """
        with holding(self.locks, PUBLISHER, GLOBAL, origin, held) as lock:
            run = RunLog.begin(
                self.locks,
                lock,
                operation=operation,
                apt_archive=apt_archive,
                options=options,
                origin=origin,
                reached=self.reached,
                purpose=purpose,
            )
            try:
                yield run
            # BaseException includes the end of the process (SystemExit): its run must not appear to
            # be still running.
            except BaseException as error:
                run.fail(error)
                raise

    def _operate(
        self, run: RunLog, operation: Operation, apt_archive: AptArchive, options: Options
    ) -> HookFailed | None:
        """Run the phases of an operation; return the failure of a hook that ran afterwards."""
        if operation == "publish-distro":
            return self.publish(run, apt_archive, options, hooks=False)
        phases.accept(run, apt_archive)
        if operation == "process-accepted":
            return None
        failed = None
        if not options.suites and (security := self._security(apt_archive)):
            # Publish security fixes first, so that they do not wait for the other suites.
            only = replace(options, suites=security)
            failed = self.publish(run, apt_archive, only, hooks=True, last=False)
            apt_archive = self.apt_archive(apt_archive.name)
        last = failed is None
        return self.publish(run, apt_archive, options, hooks=True, last=last) or failed

    def _security(self, apt_archive: AptArchive) -> tuple[str, ...]:
        """Return the names of suites of security fixes that have something to publish."""
        suites = [suite for suite in apt_archive.suites if suite.name.endswith(_SECURITY)]
        work = self.with_work(apt_archive) if suites else set()
        return tuple(suite.name for suite in suites if suite.id in work)
