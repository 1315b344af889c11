"""Factory of the API's Falcon application, built from the route table."""

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

#: Falcon's WSGI application.
App = falcon.App[Any, Any]


def create_app(deps: AppDependencies, pages: Sequence[Route] = ()) -> App:
    """Return the API as a WSGI application without state of its own.

    Args:
        deps: the use cases, and the settings of the middleware.
        pages: routes of the dashboard, added to those of the table and left out of the OpenAPI
            document. A page with the path of a row of the table replaces that row.
    """
    refusals = Refusals(deps.limits)
    served = {route.path: route for route in (*ROUTES, *pages)}.values()
    permissions = Permissions({route.path: route.roles for route in served})
    app: App = falcon.App(
        # Each uses the results of the ones before: first the address, then the caller, then its
        # limits.
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
    # A slash at the end of a path below /static requests the list of a folder.
    app.req_options.strip_url_path_trailing_slash = False
    accept_only_json(app)
    problems.add_error_handlers(app, {**error_forms(served), **STATUS_FORMS})
    for route in served:
        if route.make is not None:
            app.add_route(route.path, route.make(deps))
    app.add_route("/openapi.json", OpenApiDocument(partial(openapi_of, deps)))
    return app


def openapi_of(deps: AppDependencies) -> Mapping[str, Any]:
    """Return the OpenAPI document of the route table, ignoring pages that replace a row."""
    described: App = falcon.App(router=Router())
    for route in ROUTES:
        if route.make is not None:
            described.add_route(route.path, route.make(deps))
    security = Security.of(deps.auth, deps.anonymous.roles)
    return document(described, ROUTES, {**SCHEMAS, **PROBE_SCHEMAS}, security)
