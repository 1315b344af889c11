"""The Falcon application: its routes, and what every request passes through."""

from dataclasses import dataclass
from typing import Any

import falcon

from staging_api.http import problems
from staging_api.http.auth import Authentication
from staging_api.http.limits import CallerLimits, Limits
from staging_api.http.media import accept_only_json
from staging_api.http.middleware import RequestContext
from staging_api.http.openapi import document
from staging_api.http.permissions import API
from staging_api.http.probes import add_probes
from staging_api.http.resources.artifacts import Artifacts, OneArtifact, PinOfArtifact
from staging_api.http.resources.devserver.routes import ERROR_FORMS, DevserverParts, add_devserver
from staging_api.http.resources.events import EventsOfStaging
from staging_api.http.resources.health import OpenApiDocument
from staging_api.http.resources.locks import AllLocks, OneLock
from staging_api.http.resources.stagings import OneStaging, Stagings
from staging_api.http.resources.static import StaticFiles
from staging_api.identity.model import Identify, Identity
from staging_api.locks.hold import Locks
from staging_api.shutdown import Drain
from staging_api.staging.accesses import Accesses
from staging_api.staging.growing import Growing
from staging_api.staging.service import StagingService
from staging_api.staging.watch import Watch


@dataclass(frozen=True)
class Parts:
    """What the resources are given; everything else they need hangs from these."""

    stagings: StagingService
    locks: Locks
    watch: Watch
    devserver: DevserverParts
    identify: Identify
    anonymous: Identity
    limits: Limits
    drain: Drain
    accesses: Accesses
    wait_cap_seconds: float
    metrics_dir: str | None = None


def create_app(parts: Parts) -> falcon.App[Any, Any]:
    """The WSGI application; has no state of its own."""
    app: falcon.App[Any, Any] = falcon.App(
        middleware=[
            RequestContext(),
            Authentication(parts.identify, parts.anonymous),
            CallerLimits(parts.limits),
        ]
    )
    app.req_options.strip_url_path_trailing_slash = False
    accept_only_json(app)
    problems.add_error_handlers(app, ERROR_FORMS)
    _add_api(app, parts)
    database, blobs = parts.stagings.database, parts.stagings.blobs
    add_probes(app, database, blobs, parts.drain, parts.metrics_dir)
    growing = Growing(database, blobs, parts.watch)
    app.add_route(
        "/static/{path:path}",
        StaticFiles(database, blobs.open, parts.accesses, growing, parts.wait_cap_seconds),
    )
    app.add_route("/openapi.json", OpenApiDocument(document(app)))
    add_devserver(app, parts.devserver)
    return app


def _add_api(app: falcon.App[Any, Any], parts: Parts) -> None:
    stagings, cap = parts.stagings, parts.wait_cap_seconds
    app.add_route(f"{API}/stagings", Stagings(stagings, parts.locks, cap))
    app.add_route(f"{API}/stagings/{{staging_id}}", OneStaging(stagings, parts.watch, cap))
    app.add_route(
        f"{API}/stagings/{{staging_id}}/events", EventsOfStaging(stagings, parts.watch, cap)
    )
    app.add_route(f"{API}/artifacts", Artifacts(stagings))
    app.add_route(f"{API}/artifacts/{{artifact_id}}", OneArtifact(stagings))
    app.add_route(f"{API}/artifacts/{{artifact_id}}/pin", PinOfArtifact(stagings))
    app.add_route(f"{API}/locks", AllLocks(parts.locks))
    app.add_route(f"{API}/locks/{{lock_id}}", OneLock(parts.locks))
