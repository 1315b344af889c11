"""The services of one process, and what it runs of them: the API, a worker, probes."""

from collections.abc import Callable, Collection
from dataclasses import dataclass, replace
from typing import Any

from staging_api.db.engine import Database
from staging_api.devserver.joining import Joining
from staging_api.documents.service import DocumentService
from staging_api.documents.undoing import undo_overdue
from staging_api.http.app import App, create_app, create_probes, create_worker_probes
from staging_api.http.dependencies import AppDependencies
from staging_api.http.origins import hosts_of
from staging_api.http.probes import Check
from staging_api.locks.hold import Locks
from staging_api.publishing.renewal import Renewal
from staging_api.publishing.service import Publisher
from staging_api.settings import Settings
from staging_api.shutdown import Drain
from staging_api.staging.accesses import Accesses
from staging_api.staging.service import StagingService
from staging_api.staging.worker import Worker
from staging_api.traces import Spans, traced, untraced, work_traced


@dataclass(frozen=True)
class Services:
    """The objects of a process that live long; build them after any fork, close them at the end.

    Attributes:
        drain: of the pod, set when requests are to go elsewhere.
        probes_database: for probes alone, so that they never wait for a connection behind requests.
        check_threads: raises `Unavailable` if a background thread does not run.
    """

    settings: Settings
    dependencies: AppDependencies
    accesses: Accesses
    drain: Drain
    probes_database: Database
    check_threads: Check

    @property
    def locks(self) -> Locks:
        """The locks."""
        return self.dependencies.locks

    @property
    def stagings(self) -> StagingService:
        """The use cases of staging."""
        return self.dependencies.stagings

    @property
    def joining(self) -> Joining:
        """Staging for the clients of the devserver."""
        return self.dependencies.devserver.joining

    @property
    def publisher(self) -> Publisher:
        """The publisher."""
        return self.dependencies.publisher

    @property
    def documents(self) -> DocumentService:
        """The use cases of documents."""
        return self.dependencies.documents

    def app(self, hosts: Collection[str] = ()) -> App:
        """Return the API over these services, for requests to `hosts`; none: to any."""
        return create_app(replace(self.dependencies, hosts=hosts))

    def wsgi(self) -> Callable[..., Any]:
        """Return the API as a WSGI server runs it: for its own names, and traced, if chosen."""
        settings = self.settings
        anybody = settings.auth == "none"
        hosts = hosts_of(settings.hosts, settings.bind, anybody_may_call=anybody)
        app: Callable[..., Any] = self.app(hosts)
        if settings.traces_endpoint:
            app = traced(app, self.locks.database.engines, settings.traces_endpoint)
        return app

    def probes(self) -> App:
        """Return what an API process serves at the probes' own address."""
        return create_probes(self.dependencies.probes)

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
            chores={"unconfirmed commits": lambda: undo_overdue(self.documents)},
            jobs_per_caller=settings.worker_jobs_per_caller,
        )

    def worker_probes(self, worker: Worker) -> App:
        """Return the probes and metrics of a worker."""
        alive = {"loop": worker.check, "threads": self.check_threads}
        return create_worker_probes(self.dependencies.probes, alive)

    def renewal(self) -> Renewal:
        """Return what renews Releases beside a worker."""
        return Renewal(self.publisher)

    def close(self) -> None:
        """Give back the locks, stop the threads and close the connections."""
        self.locks.release_all()
        self.joining.watch.close()
        self.accesses.close()
        self.stagings.watch.close()
        self.locks.close()
        self.locks.database.close()
        self.probes_database.close()
