"""The Falcon application of the API, made of the route table."""

from collections.abc import Mapping, Sequence
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
from staging_api.http.origins import OriginCheck
from staging_api.http.parameters import OneValue
from staging_api.http.permissions import Permissions
from staging_api.http.probe_contract import PROBE_SCHEMAS
from staging_api.http.published import Security
from staging_api.http.reads import Router
from staging_api.http.resources.configdocs.contract import SCHEMAS
from staging_api.http.resources.configdocs.surface import STATUS_FORMS, ConfigdocsSurface
from staging_api.http.resources.health import OpenApiDocument
from staging_api.http.route import Route, error_forms
from staging_api.http.routes import ROUTES

#: A WSGI application of Falcon.
App = falcon.App[Any, Any]


def create_app(deps: AppDependencies, pages: Sequence[Route] = ()) -> App:
    """Return the API, a WSGI application; it has no state of its own.

    Args:
        deps: the use cases, and what the middleware goes by.
        pages: rows for people, beside those of the table and not in the OpenAPI document. One
            with the path of a row of the table is served in its place.
    """
    refusals = Refusals(deps.limits)
    served = {route.path: route for route in (*ROUTES, *pages)}.values()
    permissions = Permissions({route.path: route.roles for route in served})
    app: App = falcon.App(
        # Each uses what the ones before it found: the address, then the caller, then its limits.
        middleware=[
            RequestContext(deps.proxies, deps.errors_url),
            OriginCheck(permissions, deps.hosts),
            Authentication(permissions, deps.authenticator, deps.anonymous, refusals),
            CallerLimits(deps.limits),
            OneValue(),
            ConfigdocsSurface(),
        ],
        router=Router(),
    )
    # A slash at the end of a path below /static asks for the list of a folder.
    app.req_options.strip_url_path_trailing_slash = False
    accept_only_json(app)
    problems.add_error_handlers(app, {**error_forms(served), **STATUS_FORMS})
    for route in served:
        if route.make is not None:
            app.add_route(route.path, route.make(deps))
    app.add_route("/openapi.json", OpenApiDocument(partial(openapi_of, deps)))
    return app


def openapi_of(deps: AppDependencies) -> Mapping[str, Any]:
    """Return the OpenAPI document of the table, whatever pages are served in the place of a row."""
    described: App = falcon.App(router=Router())
    for route in ROUTES:
        if route.make is not None:
            described.add_route(route.path, route.make(deps))
    security = Security.of(deps.auth, deps.anonymous.roles)
    return document(described, ROUTES, {**SCHEMAS, **PROBE_SCHEMAS}, security)
