"""THE route table: each path, who may call it by which method, and what serves it.

Everything else follows from it: the application, who may call what, the forms of errors, the
OpenAPI document, the help of the devserver. A resource that is added to an application and not to
the table is refused to every caller.
"""

from collections.abc import Mapping

from staging_api.http.dependencies import AppDependencies
from staging_api.http.file_contract import FILE_PATHS
from staging_api.http.permissions import (
    ANYBODY,
    DEPLOYERS,
    FILES,
    KEEPERS,
    KNOWN,
    OPERATORS,
    PUBLISHERS,
    READERS,
    STAGERS,
    STOPPERS,
    Roles,
)
from staging_api.http.probe_contract import PROBE_PATHS
from staging_api.http.resources.apt_archives import (
    AptArchives,
    OneAptArchive,
    OnePackage,
    OneSuite,
    Packages,
    Suites,
)
from staging_api.http.resources.archive import ArchiveFiles
from staging_api.http.resources.archive_list import RequestedArchives
from staging_api.http.resources.artifacts import (
    AllArtifacts,
    FilesOfArtifact,
    OneArtifact,
    PinOfArtifact,
)
from staging_api.http.resources.catalogue import AllCatalogues, CatalogueChecks
from staging_api.http.resources.configdocs.collections import Configdocs, ConfigdocsStatus
from staging_api.http.resources.configdocs.commit import CommitConfigdocs
from staging_api.http.resources.configdocs.contract import CONFIGDOCS_PATHS
from staging_api.http.resources.configdocs.rendered import RenderedConfigdocs
from staging_api.http.resources.configdocs.service import ConfigdocsHealth, ConfigdocsVersions
from staging_api.http.resources.devserver.routes import DEVSERVER_ROUTES
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
from staging_api.http.resources.errors import Errors, OneError
from staging_api.http.resources.events import AllEvents, EventsOfStaging
from staging_api.http.resources.health import Liveness, Metrics, Readiness
from staging_api.http.resources.locks import AllLocks, OneLock, WaitersOfLock
from staging_api.http.resources.one_document import OneDocument
from staging_api.http.resources.processes import EventCounts, Processes
from staging_api.http.resources.publications import OnePublication, Publications
from staging_api.http.resources.stagings import OneStaging, Stagings
from staging_api.http.resources.start import Caller, StartPage
from staging_api.http.resources.static import StaticFiles, StaticOfArchive
from staging_api.http.resources.store import Store, StorePrune, StorePrunes
from staging_api.http.resources.uploads import DecisionOnUpload, OneUpload, Uploads
from staging_api.http.route import Make, Route

_CONTRACTS = {**PROBE_PATHS, **FILE_PATHS, **CONFIGDOCS_PATHS}
_API = "/api/v1.0"
_ARCHIVE = "/apt-archives/{archive}"
_DISTRIBUTION = "/distributions/{archive}"
_REVISION = "/document-revisions/{number:int}"


def _root(path: str, make: Make | None, **roles: Roles) -> Route:
    route = Route(path, roles, make)
    return Route(path, roles, make, _CONTRACTS.get(route.openapi_path, {}))


def _api(path: str, make: Make, **roles: Roles) -> Route:
    return _root(f"{_API}{path}", make, **roles)


def _read(path: str, make: Make, readers: Roles, **writers: Roles) -> Route:
    """A path whose HEAD is as its GET."""
    return _api(path, make, GET=readers, HEAD=readers, **writers)


def _static(deps: AppDependencies) -> StaticFiles:
    return StaticFiles(deps.files, deps.sender, deps.wait_cap_seconds, deps.folder_page)


ROUTES: tuple[Route, ...] = (
    # Probes and descriptions.
    _root("/", lambda deps: StartPage(dashboard=deps.dashboard), GET=ANYBODY),
    _root("/livez", lambda d: Liveness(d.probes.threads), GET=ANYBODY),
    _root("/readyz", lambda d: Readiness(d.probes.ready), GET=ANYBODY),
    _root("/metrics", lambda d: Metrics(d.probes.metrics_dir, d.probes.readings), GET=ANYBODY),
    _root("/openapi.json", None, GET=ANYBODY),
    _root("/errors", lambda _: Errors(), GET=ANYBODY),
    _root("/errors/{code}", lambda _: OneError(), GET=ANYBODY),
    _api("/me", lambda _: Caller(ALLOWED), GET=KNOWN),
    # Stagings.
    _root("/static/{path:path}", _static, GET=FILES, HEAD=FILES),
    _root(
        "/static/archive/{path:path}",
        lambda d: StaticOfArchive(_static(d)),
        GET=FILES,
        HEAD=FILES,
    ),
    _api(
        "/stagings",
        lambda d: Stagings(d.stagings, d.known, d.locks, d.wait_cap_seconds),
        GET=READERS,
        POST=STAGERS,
    ),
    _api(
        "/stagings/{staging_id}",
        lambda d: OneStaging(d.stagings, d.known, d.watch, d.wait_cap_seconds),
        GET=READERS,
        DELETE=STOPPERS,
    ),
    _api(
        "/stagings/{staging_id}/events",
        lambda d: EventsOfStaging(d.stagings, d.events, d.wait_cap_seconds),
        GET=READERS,
    ),
    _api("/events", lambda d: AllEvents(d.event_log), GET=READERS),
    _api("/counts", lambda d: EventCounts(d.counts), GET=READERS),
    _api("/processes", lambda d: Processes(d.processes), GET=READERS),
    _api("/store", lambda d: Store(d.stagings.upkeep), GET=READERS),
    _api("/store/prune", lambda d: StorePrune(d.stagings.upkeep), POST=OPERATORS),
    _api("/store/prunes", lambda d: StorePrunes(d.stagings.upkeep), GET=READERS),
    _api("/archives", lambda d: RequestedArchives(d.stagings), GET=READERS),
    _api("/artifacts", lambda d: AllArtifacts(d.stagings.artifacts), GET=READERS),
    _api(
        "/artifacts/{artifact_id}",
        lambda d: OneArtifact(d.stagings.artifacts),
        GET=READERS,
        DELETE=OPERATORS,
    ),
    _api(
        "/artifacts/{artifact_id}/files",
        lambda d: FilesOfArtifact(d.stagings.artifacts),
        GET=READERS,
    ),
    _api(
        "/artifacts/{artifact_id}/pin",
        lambda d: PinOfArtifact(d.stagings.artifacts),
        POST=OPERATORS,
    ),
    _api("/catalogue", lambda d: AllCatalogues(d.stagings), GET=READERS),
    _api("/catalogue/check", lambda d: CatalogueChecks(d.stagings), POST=OPERATORS),
    _api("/locks", lambda d: AllLocks(d.lock_service), GET=READERS),
    _api("/locks/{lock_id}", lambda d: OneLock(d.lock_service), GET=READERS, DELETE=OPERATORS),
    _api("/locks/{lock_id}/waiters", lambda d: WaitersOfLock(d.lock_service), GET=READERS),
    # APT archives.
    _root(
        "/archive/{archive}/{path:path}",
        lambda d: ArchiveFiles(d.snapshots, d.blocks, d.sender),
        GET=FILES,
        HEAD=FILES,
    ),
    _api(
        "/publications",
        lambda d: Publications(d.publisher, d.wait_cap_seconds),
        GET=READERS,
        POST=PUBLISHERS,
    ),
    _api("/publications/{publication_id}", lambda d: OnePublication(d.publisher.runs), GET=READERS),
    _api("/distributions", lambda d: Distributions(d.publisher.distributions), GET=READERS),
    _api(_DISTRIBUTION, lambda d: OneDistribution(d.publisher), GET=READERS, PATCH=KEEPERS),
    _api(
        f"{_DISTRIBUTION}/holds/{{suite}}",
        lambda d: HoldOfSuite(d.publisher),
        PUT=KEEPERS,
        DELETE=KEEPERS,
    ),
    _api(
        f"{_DISTRIBUTION}/generations",
        lambda d: Generations(d.publisher.distributions),
        GET=READERS,
    ),
    _api(
        f"{_DISTRIBUTION}/files", lambda d: ArchiveFileLists(d.publisher.distributions), GET=READERS
    ),
    _api(
        "/generations/{generation_id}/pin",
        lambda d: PinOfGeneration(d.publisher.distributions),
        PUT=KEEPERS,
        DELETE=KEEPERS,
    ),
    _api("/apt-archives", lambda d: AptArchives(d.archives), GET=READERS, POST=PUBLISHERS),
    _api(_ARCHIVE, lambda d: OneAptArchive(d.archives), GET=READERS, PATCH=PUBLISHERS),
    _api(f"{_ARCHIVE}/suites", lambda d: Suites(d.archives), POST=PUBLISHERS),
    _api(f"{_ARCHIVE}/suites/{{suite}}", lambda d: OneSuite(d.archives), PATCH=PUBLISHERS),
    _api(f"{_ARCHIVE}/packages", lambda d: Packages(d.archives), GET=READERS),
    _api(
        f"{_ARCHIVE}/packages/{{package_id:int}}",
        lambda d: OnePackage(d.archives),
        DELETE=PUBLISHERS,
    ),
    _api(
        f"{_ARCHIVE}/uploads", lambda d: Uploads(d.intake, d.uploads), GET=READERS, POST=PUBLISHERS
    ),
    _api("/uploads/{upload_id}", lambda d: OneUpload(d.uploads), GET=READERS),
    _api(
        "/uploads/{upload_id}/accept",
        lambda d: DecisionOnUpload(d.uploads.accept),
        POST=PUBLISHERS,
    ),
    _api(
        "/uploads/{upload_id}/reject",
        lambda d: DecisionOnUpload(d.uploads.reject),
        POST=PUBLISHERS,
    ),
    # Documents: the paths of Shipyard's clients, and our own.
    _root("/versions", lambda _: ConfigdocsVersions(), GET=ANYBODY, HEAD=ANYBODY),
    _read("/health", lambda _: ConfigdocsHealth(), ANYBODY),
    _read("/configdocs", lambda d: ConfigdocsStatus(d.documents), READERS),
    _read(
        "/configdocs/{collection}",
        lambda d: Configdocs(d.documents, d.wait_cap_seconds, d.documents_max_bytes),
        READERS,
        POST=DEPLOYERS,
    ),
    _api(
        "/commitconfigdocs",
        lambda d: CommitConfigdocs(d.documents, d.wait_cap_seconds),
        POST=DEPLOYERS,
    ),
    _read("/renderedconfigdocs", lambda d: RenderedConfigdocs(d.documents), READERS),
    _read(
        "/documents/{namespace}/{kind}/{version}/{name:path}",
        lambda d: OneDocument(d.documents),
        READERS,
    ),
    _read(
        "/document-buffer",
        lambda d: DocumentBuffer(d.documents, d.wait_cap_seconds),
        READERS,
        DELETE=DEPLOYERS,
    ),
    _api(
        "/document-buffer/{collection}",
        lambda d: CollectionOfBuffer(d.documents, d.wait_cap_seconds),
        DELETE=DEPLOYERS,
    ),
    _read("/document-differences", lambda d: DocumentDifferences(d.documents), READERS),
    _read("/document-revisions", lambda d: DocumentRevisions(d.documents), READERS),
    _read(_REVISION, lambda d: OneDocumentRevision(d.documents), READERS),
    _api(
        f"{_REVISION}/rollback",
        lambda d: RollbackToRevision(d.documents, d.wait_cap_seconds),
        POST=DEPLOYERS,
    ),
    _api(
        f"{_REVISION}/confirm",
        lambda d: ConfirmationOfRevision(d.documents, d.wait_cap_seconds),
        POST=DEPLOYERS,
    ),
    _api(
        f"{_REVISION}/tags/{{tag}}",
        lambda d: TagOfRevision(d.documents, d.wait_cap_seconds),
        PUT=DEPLOYERS,
        DELETE=DEPLOYERS,
    ),
    _api(
        "/document-site-actions",
        lambda d: SiteActions(d.documents, d.wait_cap_seconds),
        POST=DEPLOYERS,
    ),
    *DEVSERVER_ROUTES,
)

#: Who may call what: roles by the template of a route and by method.
ALLOWED: Mapping[str, Mapping[str, Roles]] = {route.path: route.roles for route in ROUTES}
