"""The route table: each path, the roles that may call its methods, and the resource that serves it.

Everything else follows from the table: the application, the permissions, the forms of errors, the
OpenAPI document, the help of the devserver. A resource that is added to an application but not to
the table is refused to every caller.
"""

from collections.abc import Mapping

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
from staging_api.http.resources import (
    apt_archives,
    archive,
    archive_list,
    artifacts,
    catalogue,
    distributions,
    document_differences,
    document_revisions,
    errors,
    events,
    health,
    locks,
    one_document,
    processes,
    publications,
    stagings,
    start,
    static,
    store,
    uploads,
)
from staging_api.http.resources.configdocs import collections, commit, rendered, service
from staging_api.http.resources.configdocs.contract import CONFIGDOCS_PATHS
from staging_api.http.resources.devserver.routes import DEVSERVER_ROUTES
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
    """Return a path whose HEAD has the same readers as its GET."""
    return _api(path, make, GET=readers, HEAD=readers, **writers)


ROUTES: tuple[Route, ...] = (
    # Probes and descriptions.
    _root("/", lambda deps: start.StartPage(dashboard=deps.dashboard), GET=ANYBODY),
    _root("/livez", lambda d: health.Liveness(d.probes.threads), GET=ANYBODY),
    _root("/readyz", lambda d: health.Readiness(d.probes.ready), GET=ANYBODY),
    _root(
        "/metrics", lambda d: health.Metrics(d.probes.metrics_dir, d.probes.readings), GET=ANYBODY
    ),
    _root("/openapi.json", None, GET=ANYBODY),
    _root("/errors", lambda _: errors.Errors(), GET=ANYBODY),
    _root("/errors/{code}", lambda _: errors.OneError(), GET=ANYBODY),
    _api("/me", lambda _: start.Caller(ALLOWED), GET=KNOWN),
    # Stagings.
    _root("/static/{path:path}", static.StaticFiles, GET=FILES, HEAD=FILES),
    _root("/static/archive/{path:path}", static.StaticOfArchive, GET=FILES, HEAD=FILES),
    _api("/stagings", stagings.Stagings, GET=READERS, POST=STAGERS),
    _api("/stagings/{staging_id}", stagings.OneStaging, GET=READERS, DELETE=STOPPERS),
    _api("/stagings/{staging_id}/events", events.EventsOfStaging, GET=READERS),
    _api("/events", events.AllEvents, GET=READERS),
    _api("/counts", processes.EventCounts, GET=READERS),
    _api("/processes", processes.Processes, GET=READERS),
    _api("/store", store.Store, GET=READERS),
    _api("/store/prune", store.StorePrune, POST=OPERATORS),
    _api("/store/prunes", store.StorePrunes, GET=READERS),
    _api("/archives", archive_list.RequestedArchives, GET=READERS),
    _api("/artifacts", artifacts.AllArtifacts, GET=READERS),
    _api("/artifacts/{artifact_id}", artifacts.OneArtifact, GET=READERS, DELETE=OPERATORS),
    _api("/artifacts/{artifact_id}/files", artifacts.FilesOfArtifact, GET=READERS),
    _api("/artifacts/{artifact_id}/pin", artifacts.PinOfArtifact, POST=OPERATORS),
    _api("/catalogue", catalogue.AllCatalogues, GET=READERS),
    _api("/catalogue/check", catalogue.CatalogueChecks, POST=OPERATORS),
    _api("/locks", locks.AllLocks, GET=READERS),
    _api("/locks/{lock_id}", locks.OneLock, GET=READERS, DELETE=OPERATORS),
    _api("/locks/{lock_id}/waiters", locks.WaitersOfLock, GET=READERS),
    # APT archives.
    _root("/archive/{archive}/{path:path}", archive.ArchiveFiles, GET=FILES, HEAD=FILES),
    _api("/publications", publications.Publications, GET=READERS, POST=PUBLISHERS),
    _api("/publications/{publication_id}", publications.OnePublication, GET=READERS),
    _api("/distributions", distributions.Distributions, GET=READERS),
    _api(_DISTRIBUTION, distributions.OneDistribution, GET=READERS, PATCH=KEEPERS),
    _api(
        f"{_DISTRIBUTION}/holds/{{suite}}", distributions.HoldOfSuite, PUT=KEEPERS, DELETE=KEEPERS
    ),
    _api(f"{_DISTRIBUTION}/generations", distributions.Generations, GET=READERS),
    _api(f"{_DISTRIBUTION}/files", distributions.ArchiveFileLists, GET=READERS),
    _api(
        "/generations/{generation_id}/pin",
        distributions.PinOfGeneration,
        PUT=KEEPERS,
        DELETE=KEEPERS,
    ),
    _api("/apt-archives", apt_archives.AptArchives, GET=READERS, POST=PUBLISHERS),
    _api(_ARCHIVE, apt_archives.OneAptArchive, GET=READERS, PATCH=PUBLISHERS),
    _api(f"{_ARCHIVE}/suites", apt_archives.Suites, POST=PUBLISHERS),
    _api(f"{_ARCHIVE}/suites/{{suite}}", apt_archives.OneSuite, PATCH=PUBLISHERS),
    _api(f"{_ARCHIVE}/packages", apt_archives.Packages, GET=READERS),
    _api(f"{_ARCHIVE}/packages/{{package_id:int}}", apt_archives.OnePackage, DELETE=PUBLISHERS),
    _api(f"{_ARCHIVE}/uploads", uploads.Uploads, GET=READERS, POST=PUBLISHERS),
    _api("/uploads/{upload_id}", uploads.OneUpload, GET=READERS),
    _api(
        "/uploads/{upload_id}/accept",
        lambda d: uploads.DecisionOnUpload(d.uploads.accept),
        POST=PUBLISHERS,
    ),
    _api(
        "/uploads/{upload_id}/reject",
        lambda d: uploads.DecisionOnUpload(d.uploads.reject),
        POST=PUBLISHERS,
    ),
    # Documents: the paths of Shipyard's clients, and our own.
    _root("/versions", lambda _: service.ConfigdocsVersions(), GET=ANYBODY, HEAD=ANYBODY),
    _read("/health", lambda _: service.ConfigdocsHealth(), ANYBODY),
    _read("/configdocs", collections.ConfigdocsStatus, READERS),
    _read("/configdocs/{collection}", collections.Configdocs, READERS, POST=DEPLOYERS),
    _api("/commitconfigdocs", commit.CommitConfigdocs, POST=DEPLOYERS),
    _read("/renderedconfigdocs", rendered.RenderedConfigdocs, READERS),
    _read("/documents/{namespace}/{kind}/{version}/{name:path}", one_document.OneDocument, READERS),
    _read("/document-buffer", document_revisions.DocumentBuffer, READERS, DELETE=DEPLOYERS),
    _api("/document-buffer/{collection}", document_revisions.CollectionOfBuffer, DELETE=DEPLOYERS),
    _read("/document-differences", document_differences.DocumentDifferences, READERS),
    _read("/document-revisions", document_revisions.DocumentRevisions, READERS),
    _read(_REVISION, document_revisions.OneDocumentRevision, READERS),
    _api(f"{_REVISION}/rollback", document_revisions.RollbackToRevision, POST=DEPLOYERS),
    _api(f"{_REVISION}/confirm", document_revisions.ConfirmationOfRevision, POST=DEPLOYERS),
    _api(
        f"{_REVISION}/tags/{{tag}}",
        document_revisions.TagOfRevision,
        PUT=DEPLOYERS,
        DELETE=DEPLOYERS,
    ),
    _api("/document-site-actions", document_revisions.SiteActions, POST=DEPLOYERS),
    *DEVSERVER_ROUTES,
)

#: Permissions: roles by the template of a route and by method.
ALLOWED: Mapping[str, Mapping[str, Roles]] = {route.path: route.roles for route in ROUTES}
