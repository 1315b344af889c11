"""The services of one process, and its worker; `application` builds the API over them."""

from collections.abc import Callable
from dataclasses import dataclass, replace
from functools import cached_property

from staging_api import about, metrics
from staging_api.changes.service import ChangeFeed
from staging_api.db.engine import Database
from staging_api.db.migrate import wanted_revision
from staging_api.devserver.joining import Joining
from staging_api.documents.service import DocumentService
from staging_api.documents.undoing import undo_overdue
from staging_api.heartbeats.model import ProcessDescription, ProcessLoad
from staging_api.heartbeats.recent import LastMinute
from staging_api.heartbeats.service import Heartbeat
from staging_api.http.probes import Probes
from staging_api.locks.hold import Locks
from staging_api.publishing.pieces import BlockReader
from staging_api.publishing.renewal import Renewal
from staging_api.publishing.service import Publisher
from staging_api.settings import Settings
from staging_api.shutdown import Drain
from staging_api.staging.accesses import Accesses
from staging_api.staging.service import StagingService
from staging_api.staging.watch import Watch
from staging_api.staging.worker import Worker
from staging_api.traces import Spans, finish, untraced, work_traced
from staging_api.vocabulary.reports import ProcessKind


@dataclass(frozen=True)
class Services:
    """The long-lived objects of a process; build them after any fork, close them at the end.

    Attributes:
        watch: wakes requests that wait for a staging.
        drain: drain of the pod, set when load balancers should use other pods.
        probes_database: pool for probes alone, so that they never wait for a connection behind
            requests.
    """

    settings: Settings
    stagings: StagingService
    watch: Watch
    accesses: Accesses
    joining: Joining
    publisher: Publisher
    blocks: BlockReader
    documents: DocumentService
    probes: Probes
    drain: Drain
    probes_database: Database

    @property
    def locks(self) -> Locks:
        """The lock service."""
        return self.stagings.locks

    @cached_property
    def heartbeat(self) -> Heartbeat:
        """The heartbeat of this process, once it was started."""
        return Heartbeat(self.locks.database)

    @cached_property
    def changes(self) -> ChangeFeed:
        """The feed that notifies open pages of changes."""
        return ChangeFeed(self.locks.database)

    def begin_heartbeat(
        self, kind: ProcessKind, places: int, address: str | None, load: Callable[[], ProcessLoad]
    ) -> None:
        """Show this process among those of the service until `close`.

        Args:
            places: number of requests, or stagings, that run at once.
            address: where the process listens; None if nowhere.
            load: returns the current load, without the shutdown state, which this method adds.
        """
        described = ProcessDescription(
            name=self.locks.holder,
            kind=kind,
            version=about.package_version(),
            build=about.build(),
            schema=wanted_revision(),
            address=address,
            places=places,
        )
        refused = LastMinute(refusals)
        self.heartbeat.start(
            described, lambda: replace(load(), draining=self._is_ending, refused=refused())
        )

    def worker(self) -> Worker:
        """Return a worker over these services."""
        settings = self.settings
        spans: Spans = untraced
        if settings.traces_endpoint:
            spans = work_traced(self.locks.database.engines, settings.traces_endpoint)
        return Worker(
            self.stagings,
            settings.worker_jobs,
            spans,
            chores={"unconfirmed commits": lambda: undo_overdue(self.locks)},
            jobs_per_caller=settings.worker_jobs_per_caller,
        )

    def renewal(self) -> Renewal:
        """Return the `Renewal`, which renews Releases beside a worker."""
        return Renewal(self.publisher)

    def close(self) -> None:
        """Release the locks, stop the threads and close the connections."""
        self.locks.release_all()
        self.changes.close()
        self.heartbeat.stop()
        self.joining.watch.close()
        self.accesses.close()
        self.watch.close()
        self.locks.close()
        self.locks.database.close()
        self.probes_database.close()
        finish()

    @property
    def _is_ending(self) -> bool:
        return self.drain.begun or self.locks.shutdown.begun


def refusals() -> float:
    """Return how many requests this process has refused so far because a lock was held."""
    return sum(
        sample.value
        for family in metrics.LOCKS_REFUSED.collect()
        for sample in family.samples
        if sample.name.endswith("_total")
    )
