"""Falcon applications that serve only probes; they import no route of the API."""

from collections.abc import Mapping
from typing import Any

import falcon

from staging_api.http import problems
from staging_api.http.middleware import RequestContext
from staging_api.http.probes import Check, Probes
from staging_api.http.resources.health import Liveness, Metrics, Readiness

#: Falcon's WSGI application.
App = falcon.App[Any, Any]


def create_probes(probes: Probes) -> App:
    """Return the probes of an API process, served at an address of their own."""
    app: App = falcon.App(middleware=[RequestContext()])
    problems.add_error_handlers(app)
    app.add_route("/livez", Liveness(probes.threads))
    app.add_route("/readyz", Readiness(probes.ready))
    app.add_route("/metrics", Metrics(probes.metrics_dir, probes.readings))
    return app


def create_worker_probes(probes: Probes, alive: Mapping[str, Check]) -> App:
    """Return the probes of a worker, which serves nothing else; `alive` checks the worker."""
    app: App = falcon.App()
    app.add_route("/livez", Readiness(alive))
    app.add_route("/readyz", Readiness({**alive, **probes.ready}))
    app.add_route("/metrics", Metrics(None, probes.readings))
    return app
