"""The Falcon applications: the API of the route table, and the probes of a process alone."""

from collections.abc import Mapping
from typing import Any

import falcon

from staging_api.http import problems
from staging_api.http.auth import Authentication
from staging_api.http.dependencies import AppDependencies
from staging_api.http.limits import CallerLimits, Refusals
from staging_api.http.media import accept_only_json
from staging_api.http.middleware import RequestContext
from staging_api.http.openapi import document
from staging_api.http.origins import Origins
from staging_api.http.parameters import OneValue
from staging_api.http.probes import Check, Probes
from staging_api.http.reads import Router
from staging_api.http.resources.configdocs.contract import SCHEMAS
from staging_api.http.resources.configdocs.surface import STATUS_FORMS, ConfigdocsSurface
from staging_api.http.resources.health import Live, Metrics, OpenApiDocument, Readiness
from staging_api.http.route import error_forms
from staging_api.http.routes import PERMISSIONS, ROUTES

#: A WSGI application of Falcon.
App = falcon.App[Any, Any]


def create_app(deps: AppDependencies) -> App:
    """Return the API, a WSGI application; it has no state of its own."""
    refusals = Refusals(deps.limits)
    app: App = falcon.App(
        middleware=[
            RequestContext(deps.proxies),
            Origins(PERMISSIONS, deps.hosts),
            Authentication(PERMISSIONS, deps.authenticator, deps.anonymous, refusals),
            CallerLimits(deps.limits),
            OneValue(),
            ConfigdocsSurface(),
        ],
        router=Router(),
    )
    app.req_options.strip_url_path_trailing_slash = False
    accept_only_json(app)
    problems.add_error_handlers(app, {**error_forms(ROUTES), **STATUS_FORMS})
    for route in ROUTES:
        if route.make is not None:
            app.add_route(route.path, route.make(deps))
    contracts = {route.openapi_path: route.contract for route in ROUTES if route.contract}
    app.add_route("/openapi.json", OpenApiDocument(document(app, contracts, SCHEMAS)))
    return app


def create_probes(probes: Probes) -> App:
    """Return what an API process serves at the probes' own address."""
    app: App = falcon.App(middleware=[RequestContext()])
    problems.add_error_handlers(app)
    app.add_route("/livez", Live(probes.threads))
    app.add_route("/readyz", Readiness(probes.ready))
    app.add_route("/metrics", Metrics(probes.metrics_dir, probes.readings))
    return app


def create_worker_probes(probes: Probes, alive: Mapping[str, Check]) -> App:
    """Return the probes of a worker, which serves nothing else; `alive` checks that it works."""
    app: App = falcon.App()
    app.add_route("/livez", Readiness(alive))
    app.add_route("/readyz", Readiness({**alive, **probes.ready}))
    app.add_route("/metrics", Metrics(None, probes.readings))
    return app
