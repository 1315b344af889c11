"""The services of one process, and its worker; `application` makes the API of them."""

from dataclasses import dataclass

from staging_api.db.engine import Database
from staging_api.devserver.joining import Joining
from staging_api.documents.service import DocumentService
from staging_api.documents.undoing import undo_overdue
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
from staging_api.traces import Spans, untraced, work_traced


@dataclass(frozen=True)
class Services:
    """The objects of a process that live long; build them after any fork, close them at the end.

    Attributes:
        watch: wakes requests that wait for a staging.
        drain: of the pod, set when requests are to go elsewhere.
        probes_database: for probes alone, so that they never wait for a connection behind requests.
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
        """The locks."""
        return self.stagings.locks

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
        """Return what renews Releases beside a worker."""
        return Renewal(self.publisher)

    def close(self) -> None:
        """Give back the locks, stop the threads and close the connections."""
        self.locks.release_all()
        self.joining.watch.close()
        self.accesses.close()
        self.watch.close()
        self.locks.close()
        self.locks.database.close()
        self.probes_database.close()
