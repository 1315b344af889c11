"""The Falcon application of the API, made of the route table."""

from functools import partial
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
from staging_api.http.reads import Router
from staging_api.http.resources.configdocs.contract import SCHEMAS
from staging_api.http.resources.configdocs.surface import STATUS_FORMS, ConfigdocsSurface
from staging_api.http.resources.health import OpenApiDocument
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
    app.add_route("/openapi.json", OpenApiDocument(partial(document, app, contracts, SCHEMAS)))
    return app
