"""What is asked of a process to see how it is: the same for an API process and for a worker."""

import logging
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any

import falcon

from staging_api.artifacts.store import BlobStore
from staging_api.db.engine import Database
from staging_api.db.migrate import check_schema
from staging_api.errors import ShuttingDown, StagingApiError
from staging_api.http import problems
from staging_api.http.middleware import RequestContext
from staging_api.http.resources.health import (
    Check,
    Live,
    Metrics,
    Readiness,
    Reading,
    nothing_beside,
)
from staging_api.publishing.repository import validity_left
from staging_api.shutdown import Drain
from staging_api.staging import repository
from staging_api.staging.store_identity import StoreIdentity

log = logging.getLogger(__name__)


def readiness_checks(database: Database, blobs: BlobStore, drain: Drain) -> Mapping[str, Check]:
    """What must be in order for requests to come here.

    A full disk is not among it: what is staged can be served still, and all pods share the disk,
    so none would be left. ``staging_store_free_bytes`` and its alert tell.
    """

    def draining() -> None:
        if drain.begun:
            raise ShuttingDown("this pod is shutting down")

    identity = StoreIdentity(database, blobs)

    def store() -> None:
        blobs.check()
        identity.check(adopt=False)

    return {"process": draining, "database": lambda: check_schema(database), "store": store}


def readings(database: Database, blobs: BlobStore) -> Callable[[], Iterator[Reading]]:
    """What the database and the disk know, for /metrics."""

    def read() -> Iterator[Reading]:
        try:
            yield "staging_store_free_bytes", "Room in the store", {"store": blobs.free_bytes()}
        except OSError as error:
            log.warning("the room in the store is not known: %s", error.strerror)
        try:
            with database.connect() as conn:
                queue = repository.queue(conn)
                space = repository.space(conn)
                validity = validity_left(conn)
                lost = repository.lost_count(conn)
        except StagingApiError:
            yield "staging_database_up", "Whether the database answers", {"database": 0}
            return
        yield "staging_database_up", "Whether the database answers", {"database": 1}
        used = {"used": space.used, "doomed": space.doomed, "reserved": space.reserved}
        yield "staging_store_bytes", "What the store holds and has promised", used
        waiting = {"pool": float(lost)}
        yield "staging_store_lost_contents", "Lost contents that nobody can stage again", waiting
        states = {"pending": (0, 0.0), "staging": (0, 0.0), **queue}
        depth = {state: float(count) for state, (count, _) in states.items()}
        yield "staging_queue_artifacts", "Artifacts that are not settled, by state", depth
        age = {state: seconds for state, (_, seconds) in states.items()}
        yield "staging_queue_oldest_seconds", "Since the oldest of them was due", age
        share = "Least share of Valid-Until that is left, by APT archive; below 0: expired"
        yield "staging_release_validity_left", share, validity

    return read


@dataclass(frozen=True)
class Probes:
    """The probes of an API process, on its main address and on their own.

    Attributes:
        database: for probes alone, so that they never wait for a connection behind requests.
        metrics_dir: shared by the processes of the pod; None: metrics of this process only.
        threads: checks what runs beside requests.
    """

    database: Database
    blobs: BlobStore
    drain: Drain
    metrics_dir: str | None = None
    threads: Check = nothing_beside

    def add_to(self, app: falcon.App[Any, Any]) -> None:
        """Add the routes of the probes and of the metrics."""
        ready = Readiness(readiness_checks(self.database, self.blobs, self.drain))
        app.add_route("/livez", Live(self.threads))
        app.add_route("/readyz", ready)
        app.add_route("/metrics", Metrics(self.metrics_dir, readings(self.database, self.blobs)))

    def app(self) -> falcon.App[Any, Any]:
        """An application of nothing else."""
        app: falcon.App[Any, Any] = falcon.App(middleware=[RequestContext()])
        problems.add_error_handlers(app)
        self.add_to(app)
        return app


def worker_probes(
    database: Database, blobs: BlobStore, drain: Drain, alive: Mapping[str, Check]
) -> falcon.App[Any, Any]:
    """Only the probes: for a worker, which serves nothing else; `alive` checks that it works."""
    app: falcon.App[Any, Any] = falcon.App()
    app.add_route("/livez", Readiness(alive))
    app.add_route("/readyz", Readiness({**alive, **readiness_checks(database, blobs, drain)}))
    app.add_route("/metrics", Metrics(None, readings(database, blobs)))
    return app
