"""The operations of the publisher: process-accepted, publish-distro, publish-ftpmaster.

All run under one lock, `PUBLISHER` on `GLOBAL`; publish-ftpmaster does what the other two do by the
same functions, within its own hold. Whatever a run writes, it writes through `RunLog.writing`, as
the holder of that lock or not at all.

    process-accepted    accept: uploads become pending packages, each by itself
    publish-distro      the phases of `suite_publishing`, without hooks
    publish-ftpmaster   accept, then those phases with hooks; suites of security fixes first

What if the process dies? An upload stays ``accepted``, and `suite_publishing` says the rest. The
lock runs out; the next run, by any process, notes that this one was abandoned and finds the work
left to do. Nothing has to be done by hand, and clients see the old generation until ``go_live``
commits, then the new one.
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
    """Steps matter to tests only."""


@dataclass(frozen=True)
class Publisher(SuitePublishing):
    """The publisher, as the API uses it: it begins runs, which publish suites.

    Attributes:
        reached: called with the name of each step; tests end the process there.
    """

    locks: Locks = field(kw_only=True)
    reached: Callable[[str], None] = field(default=_ignore)

    @property
    def distributions(self) -> DistributionService:
        """What clients see."""
        return DistributionService(self.database)

    @property
    def runs(self) -> PublisherRuns:
        """Its runs, those of other processes included."""
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
            held: the publisher's lock, if the caller has it; else it is taken here.

        Raises:
            LockHeld: another operation runs, on whatever archive.
            LockLost: this one did, and lost the lock before it was done.
            SigningFailed: there is a key, and no signature came of it; clients see what they saw.
            HookFailed: a hook before going live failed; clients see what they saw.
        """
        with self._running(operation, apt_archive, options, origin, held=held) as run:
            # Only the lock's holder knows that no suite goes back meanwhile.
            apt_archive = self.apt_archive(apt_archive.name)
            run.finish(self._operate(run, operation, apt_archive, options))
        return self.runs.find(run.id)

    def renew(self, name: str, origin: RequestOrigin) -> PublisherRun | None:
        """Write the Releases anew of which half of the time is over, and decide on no package.

        Only where this process signs as those were signed; None if there is nothing to do for it.

        Raises:
            NotFound: there is no such archive.
            LockHeld, LockLost, SigningFailed: as with `run`.
        """
        apt_archive = self.apt_archive(name)
        if not self.builder.has_to_renew(apt_archive, self.distribution(name)):
            return None
        with self._running("publish-distro", apt_archive, Options(), origin, "renewal") as run:
            apt_archive = self.apt_archive(name)
            draft = self.builder.renewal(run, apt_archive, self.distribution(name))
            if draft.differs:
                run.note("renewed what clients would soon not believe any more, and nothing else")
                self.go_live(run, apt_archive, draft, new_id(), last=True)
            run.finish()
        return self.runs.find(run.id) if draft.differs else None

    def apt_archive(
        self, name: str, suites: Iterable[str] = (), *, field: str = "suites"
    ) -> AptArchive:
        """Return the archive that an operation is to run on, if it has all these suites.

        Args:
            name: of the archive.
            suites: that the request names.
            field: of the request, that names them.

        Raises:
            NotFound: there is no such archive.
            Invalid: it does not have one of the suites.
        """
        with self.database.connect() as conn:
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
        """Let clients see the packages of an older generation until that is lifted.

        Args:
            name: of the archive.
            generation_id: of the generation; None for the live one, which holds the suites there.
            origin: of the request.
            suites: names of those that go back; none for all that the generation has.
            reason: in the caller's words.

        Returns:
            what clients see by then.

        Raises:
            NotFound: there is no such archive or generation.
            Invalid: the archive has no such suite.
            Conflict: the generation is not kept any more, or it has no such suite.
            LockHeld: an operation of the publisher runs.
        """
        apt_archive, options = self.apt_archive(name, suites), Options(suites=suites)
        # What cannot be done is refused without a run; the lock's holder looks again.
        plan_rollback(self.database, apt_archive, generation_id, suites)
        with self._running("publish-distro", apt_archive, options, origin, "go-back") as run:
            apt_archive = self.apt_archive(name)
            back = plan_rollback(self.database, apt_archive, generation_id, suites)
            self.builder.go_back(run, apt_archive, back, reason)
        return self.distributions.find(name)

    def check_suite(self, name: str, suite: str) -> None:
        """Check a suite that a path names.

        Raises:
            NotFound: there is no such archive, or it has no such suite.
        """
        if self.apt_archive(name).suite(suite) is None:
            raise NotFound(f"{name} has no suite {suite}")

    def lift(self, name: str, suites: tuple[str, ...] = ()) -> list[str]:
        """Let suites show the published packages again, from the next run on; none for all.

        Returns:
            the names of those that were held.

        Raises:
            NotFound: there is no such archive.
            Invalid: the archive has no such suite.
        """
        apt_archive = self.apt_archive(name, suites)
        ids = [suite.id for suite in apt_archive.suites if not suites or suite.name in suites]
        with self.database.begin() as conn:
            return apt_archives.lift(conn, ids)

    def lift_suite(self, name: str, suite: str) -> Distribution:
        """Lift the hold of one suite; return what clients see.

        Raises:
            NotFound: there is no such archive, it has no such suite, or nothing of it has been
                published.
            Conflict: the suite is not held.
        """
        self.check_suite(name, suite)
        if not self.lift(name, (suite,)):
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
        """Hold the lock for a run, which refused requests are shown.

        Raises:
            LockHeld: another one runs.
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
            # Also the end of the process (SystemExit): its run should not look as if it still ran.
            except BaseException as error:
                run.fail(error)
                raise

    def _operate(
        self, run: RunLog, operation: Operation, apt_archive: AptArchive, options: Options
    ) -> HookFailed | None:
        """Do what an operation does; return the failure of a hook that ran after going live."""
        if operation == "publish-distro":
            return self.publish(run, apt_archive, options, hooks=False)
        phases.accept(run, apt_archive)
        if operation == "process-accepted":
            return None
        failed = None
        if not options.suites and (security := self._security(apt_archive)):
            # Fixes do not wait for the rest to be made.
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
