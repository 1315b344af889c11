"""The Falcon application: its routes, and what every request passes through."""

from collections.abc import Collection
from dataclasses import dataclass
from typing import Any

import falcon

from staging_api.documents.service import DocumentService
from staging_api.http import problems
from staging_api.http.addresses import NO_PROXIES, TrustedProxies
from staging_api.http.auth import Authentication
from staging_api.http.handover import Sender
from staging_api.http.limits import CallerLimits, Limits, Refusals
from staging_api.http.media import accept_only_json
from staging_api.http.middleware import RequestContext
from staging_api.http.openapi import document
from staging_api.http.origins import Origins
from staging_api.http.permissions import API
from staging_api.http.probes import Probes
from staging_api.http.reads import Router
from staging_api.http.resources.apt_archives import (
    AptArchives,
    OneAptArchive,
    OnePackage,
    OneSuite,
    Packages,
    Suites,
)
from staging_api.http.resources.archive import ArchiveFiles
from staging_api.http.resources.artifacts import Artifacts, OneArtifact, PinOfArtifact
from staging_api.http.resources.configdocs.collections import Configdocs, ConfigdocsStatus
from staging_api.http.resources.configdocs.commit import CommitConfigdocs
from staging_api.http.resources.configdocs.rendered import RenderedConfigdocs
from staging_api.http.resources.configdocs.service import ConfigdocsHealth, ConfigdocsVersions
from staging_api.http.resources.configdocs.surface import STATUS_FORMS, ConfigdocsSurface
from staging_api.http.resources.devserver.routes import (
    ERROR_FORMS,
    DevserverDependencies,
    add_devserver,
)
from staging_api.http.resources.distributions import (
    ArchiveFileLists,
    Distributions,
    Generations,
    HoldOfSuite,
    OneDistribution,
    PinOfGeneration,
)
from staging_api.http.resources.document_differences import DocumentDifferences
from staging_api.http.resources.document_revisions import (
    CollectionOfBuffer,
    ConfirmationOfRevision,
    DocumentBuffer,
    DocumentRevisions,
    OneDocumentRevision,
    RollbackToRevision,
    SiteActions,
    TagOfRevision,
)
from staging_api.http.resources.events import EventsOfStaging
from staging_api.http.resources.health import OpenApiDocument
from staging_api.http.resources.locks import AllLocks, OneLock
from staging_api.http.resources.one_document import OneDocument
from staging_api.http.resources.publications import OnePublication, Publications
from staging_api.http.resources.stagings import OneStaging, Stagings
from staging_api.http.resources.static import StaticFiles
from staging_api.http.resources.uploads import DecisionOnUpload, OneUpload, Uploads
from staging_api.identity.model import Authenticator, Principal
from staging_api.locks.hold import Locks
from staging_api.locks.service import LockService
from staging_api.publishing.apt_archives import AptArchiveService
from staging_api.publishing.intake import Intake
from staging_api.publishing.pieces import BlockReader
from staging_api.publishing.service import Publisher
from staging_api.publishing.snapshots import Snapshots
from staging_api.publishing.uploads import UploadService
from staging_api.staging.files import StagedFiles
from staging_api.staging.following import StagingEvents
from staging_api.staging.service import StagingService
from staging_api.staging.watch import Watch


@dataclass(frozen=True)
class AppDependencies:
    """The use cases that the resources call, and what the middleware goes by."""

    stagings: StagingService
    locks: Locks
    watch: Watch
    events: StagingEvents
    files: StagedFiles
    lock_service: LockService
    devserver: DevserverDependencies
    authenticator: Authenticator
    anonymous: Principal
    limits: Limits
    probes: Probes
    sender: Sender
    publisher: Publisher
    intake: Intake
    blocks: BlockReader
    snapshots: Snapshots
    documents: DocumentService
    documents_max_bytes: int
    wait_cap_seconds: float
    proxies: TrustedProxies = NO_PROXIES
    hosts: Collection[str] = ()


def create_app(parts: AppDependencies) -> falcon.App[Any, Any]:
    """The WSGI application; has no state of its own."""
    app: falcon.App[Any, Any] = falcon.App(
        middleware=[
            RequestContext(parts.proxies),
            Origins(parts.hosts),
            Authentication(parts.authenticator, parts.anonymous, Refusals(parts.limits)),
            CallerLimits(parts.limits),
            ConfigdocsSurface(),
        ],
        router=Router(),
    )
    app.req_options.strip_url_path_trailing_slash = False
    accept_only_json(app)
    problems.add_error_handlers(app, {**ERROR_FORMS, **STATUS_FORMS})
    _add_api(app, parts)
    _add_publisher(app, parts)
    parts.probes.add_to(app)
    _add_documents(app, parts)
    static = StaticFiles(parts.files, parts.sender, parts.wait_cap_seconds)
    app.add_route("/static/{path:path}", static)
    archive_files = ArchiveFiles(parts.snapshots, parts.blocks, parts.sender)
    app.add_route("/archive/{archive}/{path:path}", archive_files)
    app.add_route("/openapi.json", OpenApiDocument(document(app)))
    add_devserver(app, parts.devserver, static)
    return app


def _add_api(app: falcon.App[Any, Any], parts: AppDependencies) -> None:
    stagings, cap = parts.stagings, parts.wait_cap_seconds
    app.add_route(f"{API}/stagings", Stagings(stagings, parts.locks, cap))
    app.add_route(f"{API}/stagings/{{staging_id}}", OneStaging(stagings, parts.watch, cap))
    app.add_route(
        f"{API}/stagings/{{staging_id}}/events", EventsOfStaging(stagings, parts.events, cap)
    )
    app.add_route(f"{API}/artifacts", Artifacts(stagings.artifacts))
    app.add_route(f"{API}/artifacts/{{artifact_id}}", OneArtifact(stagings.artifacts))
    app.add_route(f"{API}/artifacts/{{artifact_id}}/pin", PinOfArtifact(stagings.artifacts))
    app.add_route(f"{API}/locks", AllLocks(parts.lock_service))
    app.add_route(f"{API}/locks/{{lock_id}}", OneLock(parts.lock_service))


def _add_publisher(app: falcon.App[Any, Any], parts: AppDependencies) -> None:
    publisher, distributions = parts.publisher, parts.publisher.distributions
    app.add_route(f"{API}/publications", Publications(publisher, parts.wait_cap_seconds))
    app.add_route(f"{API}/publications/{{publication_id}}", OnePublication(publisher.runs))
    app.add_route(f"{API}/distributions", Distributions(distributions))
    app.add_route(f"{API}/distributions/{{archive}}", OneDistribution(publisher))
    app.add_route(f"{API}/distributions/{{archive}}/holds/{{suite}}", HoldOfSuite(publisher))
    app.add_route(f"{API}/distributions/{{archive}}/generations", Generations(distributions))
    app.add_route(f"{API}/distributions/{{archive}}/files", ArchiveFileLists(distributions))
    app.add_route(f"{API}/generations/{{generation_id}}/pin", PinOfGeneration(distributions))
    archives = AptArchiveService(publisher.database)
    archive = f"{API}/apt-archives/{{archive}}"
    app.add_route(f"{API}/apt-archives", AptArchives(archives))
    app.add_route(archive, OneAptArchive(archives))
    app.add_route(f"{archive}/suites", Suites(archives))
    app.add_route(f"{archive}/suites/{{suite}}", OneSuite(archives))
    app.add_route(f"{archive}/packages", Packages(archives))
    app.add_route(f"{archive}/packages/{{package_id:int}}", OnePackage(archives))
    uploads = UploadService(publisher.database)
    app.add_route(f"{archive}/uploads", Uploads(parts.intake, uploads))
    app.add_route(f"{API}/uploads/{{upload_id}}", OneUpload(uploads))
    for verb, decide in (("accept", uploads.accept), ("reject", uploads.reject)):
        app.add_route(f"{API}/uploads/{{upload_id}}/{verb}", DecisionOnUpload(decide))


def _add_documents(app: falcon.App[Any, Any], parts: AppDependencies) -> None:
    documents, cap = parts.documents, parts.wait_cap_seconds
    app.add_route("/versions", ConfigdocsVersions())
    app.add_route(f"{API}/health", ConfigdocsHealth())
    app.add_route(f"{API}/configdocs", ConfigdocsStatus(documents))
    collection = Configdocs(documents, cap, parts.documents_max_bytes)
    app.add_route(f"{API}/configdocs/{{collection}}", collection)
    app.add_route(f"{API}/commitconfigdocs", CommitConfigdocs(documents, cap))
    app.add_route(f"{API}/renderedconfigdocs", RenderedConfigdocs(documents))
    one = f"{API}/documents/{{namespace}}/{{kind}}/{{version}}/{{name:path}}"
    app.add_route(one, OneDocument(documents))
    app.add_route(f"{API}/document-differences", DocumentDifferences(documents))
    app.add_route(f"{API}/document-buffer", DocumentBuffer(documents, cap))
    app.add_route(f"{API}/document-buffer/{{collection}}", CollectionOfBuffer(documents, cap))
    revision = f"{API}/document-revisions/{{number:int}}"
    app.add_route(f"{API}/document-revisions", DocumentRevisions(documents))
    app.add_route(revision, OneDocumentRevision(documents))
    app.add_route(f"{revision}/rollback", RollbackToRevision(documents, cap))
    app.add_route(f"{revision}/confirm", ConfirmationOfRevision(documents, cap))
    app.add_route(f"{revision}/tags/{{tag}}", TagOfRevision(documents, cap))
    app.add_route(f"{API}/document-site-actions", SiteActions(documents, cap))
