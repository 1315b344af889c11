"""The probes of a process: the same for an API process and for a worker."""

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any

import falcon

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


@dataclass(frozen=True)
class Probes:
    """The probes of an API process, on its main address and on their own.

    Attributes:
        ready: what must be in order for requests to come here.
        readings: what the database and the disk know, for /metrics.
        metrics_dir: shared by the processes of the pod; None: metrics of this process only.
        threads: checks what runs beside requests.
    """

    ready: Mapping[str, Check]
    readings: Callable[[], Iterator[Reading]]
    metrics_dir: str | None = None
    threads: Check = nothing_beside

    def add_to(self, app: falcon.App[Any, Any]) -> None:
        """Add the routes of the probes and of the metrics."""
        app.add_route("/livez", Live(self.threads))
        app.add_route("/readyz", Readiness(self.ready))
        app.add_route("/metrics", Metrics(self.metrics_dir, self.readings))

    def app(self) -> falcon.App[Any, Any]:
        """Return an application of nothing else."""
        app: falcon.App[Any, Any] = falcon.App(middleware=[RequestContext()])
        problems.add_error_handlers(app)
        self.add_to(app)
        return app


def worker_probes(
    alive: Mapping[str, Check],
    ready: Mapping[str, Check],
    readings: Callable[[], Iterator[Reading]],
) -> falcon.App[Any, Any]:
    """Return the probes of a worker, which serves nothing else; `alive` checks that it works."""
    app: falcon.App[Any, Any] = falcon.App()
    app.add_route("/livez", Readiness(alive))
    app.add_route("/readyz", Readiness({**alive, **ready}))
    app.add_route("/metrics", Metrics(None, readings))
    return app
