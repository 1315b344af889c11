"""The API application over the services of a process, and its dependencies."""

from collections.abc import Callable, Collection
from dataclasses import replace
from functools import partial
from typing import Any

from staging_api.devserver.builds import Builds
from staging_api.devserver.control_files import ControlFiles
from staging_api.devserver.health import ServerHealth
from staging_api.devserver.joining import Joining
from staging_api.devserver.services import DevserverServices
from staging_api.devserver.symbolication import Symbolication
from staging_api.heartbeats.service import ProcessService
from staging_api.http.addresses import TrustedProxies
from staging_api.http.app import App, create_app
from staging_api.http.dependencies import AppDependencies
from staging_api.http.handover import Sender
from staging_api.http.limits import RequestLimits
from staging_api.http.origins import hosts_of
from staging_api.identity.authenticators import anonymous, authenticator, authorization_code
from staging_api.identity.sessions import Sessions, Signer, for_pages, stored_key
from staging_api.locks.service import LockService
from staging_api.processes.services import Services
from staging_api.publishing.apt_archives import AptArchiveService
from staging_api.publishing.intake import Intake
from staging_api.publishing.snapshots import Snapshots
from staging_api.publishing.uploads import UploadService
from staging_api.settings import Settings
from staging_api.staging.audit_questions import AuditQuestions
from staging_api.staging.counts import Counts
from staging_api.staging.damage import losses_noticed
from staging_api.staging.event_log import EventLog
from staging_api.staging.event_stream import EventStream
from staging_api.staging.files import StagedFiles
from staging_api.staging.partial_files import PartialFiles
from staging_api.traces import traced


def api_of(services: Services, hosts: Collection[str] = ()) -> App:
    """Return the API application over the services, for requests to `hosts`; if empty, to any host.

    Raises:
        Invalid: a setting is wrong.
    """
    return create_app(replace(dependencies_of(services), hosts=hosts))


def site_of(services: Services, hosts: Collection[str] = ()) -> App:
    """Return the API application with the dashboard's pages, unless they are switched off.

    Raises:
        Invalid: a setting is wrong.
    """
    settings = services.settings
    if not settings.dashboard:
        return api_of(services, hosts)
    # Importing the templates takes 30 ms; a worker, or a process without pages, needs none.
    from staging_api.ui.dependencies import UiDependencies
    from staging_api.ui.folder_pages import FolderPages
    from staging_api.ui.routes import SCREENS, pages_of

    deps = replace(dependencies_of(services), hosts=hosts, dashboard=True)
    sessions = None
    if settings.auth != "none":
        signer = Signer(partial(stored_key, services.locks.database))
        sessions = Sessions(settings.auth, signer, deps.authenticator.recall)
        deps = replace(deps, authenticator=for_pages(deps.authenticator, sessions))
    pages = UiDependencies(
        deps,
        services.changes,
        sessions=sessions,
        code=authorization_code(settings),
        public_url=settings.public_url.rstrip("/"),
    )
    deps = replace(deps, folder_page=FolderPages(pages, SCREENS))
    return create_app(deps, pages_of(pages))


def wsgi_of(services: Services) -> Callable[..., Any]:
    """Return API and pages for a WSGI server: only for its own host names, and traced if set."""
    settings = services.settings
    anybody = settings.auth == "none"
    hosts = hosts_of(settings.hosts, settings.bind, anybody_may_call=anybody)
    app: Callable[..., Any] = site_of(services, hosts)
    if settings.traces_endpoint:
        app = traced(app, services.locks.database.engines, settings.traces_endpoint)
    return app


def dependencies_of(services: Services) -> AppDependencies:
    """Return the dependencies of the API application.

    Raises:
        Invalid: a setting is wrong.
    """
    settings, stagings, publisher = services.settings, services.stagings, services.publisher
    accesses, watch = services.accesses, services.watch
    database, blobs = stagings.database, stagings.blobs
    files = StagedFiles(database, accesses, PartialFiles(database, blobs, watch))
    noticed = partial(losses_noticed, stagings.upkeep)
    return AppDependencies(
        stagings=stagings,
        locks=stagings.locks,
        lock_service=LockService(database),
        watch=watch,
        events=EventStream(database, watch),
        event_log=EventLog(database),
        counts=Counts(database),
        audit=AuditQuestions(database, [entry.url.canonical for entry in stagings.allowed.entries]),
        processes=ProcessService(database),
        files=files,
        sender=Sender(blobs, noticed, settings.accel_prefix),
        devserver=_devserver(settings, services.joining, files),
        authenticator=authenticator(settings),
        anonymous=anonymous(settings),
        limits=_limits(settings),
        probes=services.probes,
        publisher=publisher,
        archives=AptArchiveService(database),
        uploads=UploadService(database),
        intake=Intake(database, blobs, stagings.upkeep),
        blocks=services.blocks,
        snapshots=Snapshots(database, publisher.builder.releaser),
        documents=services.documents,
        documents_max_bytes=settings.documents_max_bytes,
        wait_cap_seconds=settings.wait_cap_seconds,
        proxies=TrustedProxies.parse(settings.trusted_proxies),
        errors_url=settings.errors_url,
        auth=settings.auth,
    )


def _limits(settings: Settings) -> RequestLimits:
    return RequestLimits(
        per_second=settings.rate_per_caller,
        at_once=settings.concurrency_per_caller,
        body_bytes=settings.max_body_bytes,
        upload_bytes=settings.max_upload_bytes,
        refused_per_second=settings.refused_per_address,
    )


def _devserver(settings: Settings, joining: Joining, files: StagedFiles) -> DevserverServices:
    stagings, program = joining.stagings, settings.stackwalk
    database, blobs = stagings.database, stagings.blobs
    noticed = partial(losses_noticed, stagings.upkeep)
    return DevserverServices(
        joining=joining,
        builds=Builds(stagings),
        controls=ControlFiles(stagings.upkeep),
        health=ServerHealth(database, blobs, joining.waiter_slots),
        files=files,
        symbolication=Symbolication(program, database, blobs, noticed=noticed) if program else None,
    )
