"""Dependencies of the application (use cases and settings), and the base class of its resources."""

from collections.abc import Callable, Collection
from dataclasses import dataclass
from functools import cached_property

import falcon

from staging_api.devserver.services import DevserverServices
from staging_api.documents.service import DocumentService
from staging_api.heartbeats.service import ProcessService
from staging_api.http.addresses import NO_PROXIES, TrustedProxies
from staging_api.http.handover import Sender
from staging_api.http.known_answers import KnownAnswers
from staging_api.http.limits import RequestLimits
from staging_api.http.probes import Probes
from staging_api.identity.model import Authenticator, Principal
from staging_api.locks.hold import Locks
from staging_api.locks.service import LockService
from staging_api.paging import Page
from staging_api.publishing.apt_archives import AptArchiveService
from staging_api.publishing.intake import Intake
from staging_api.publishing.pieces import BlockReader
from staging_api.publishing.service import Publisher
from staging_api.publishing.snapshots import Snapshots
from staging_api.publishing.uploads import UploadService
from staging_api.staging.audit_questions import AuditQuestions
from staging_api.staging.counts import Counts
from staging_api.staging.event_log import EventLog
from staging_api.staging.event_stream import EventStream
from staging_api.staging.files import StagedFiles
from staging_api.staging.model import FolderChild
from staging_api.staging.service import StagingService
from staging_api.staging.watch import Watch

#: Shows a folder's children as a page for browsers.
FolderPage = Callable[[falcon.Request, falcon.Response, str, Page[FolderChild]], None]


@dataclass(frozen=True)
class AppDependencies:
    """The use cases that the resources call, and the settings of the middleware.

    Attributes:
        auth: how callers authenticate, a value of STAGING_AUTH; None: the OpenAPI document
            describes all ways.
        dashboard: whether the dashboard's pages are served, too.
        folder_page: renders a folder of staged files for browsers; None: as plain links.
    """

    stagings: StagingService
    locks: Locks
    lock_service: LockService
    watch: Watch
    events: EventStream
    event_log: EventLog
    counts: Counts
    audit: AuditQuestions
    processes: ProcessService
    files: StagedFiles
    sender: Sender
    devserver: DevserverServices
    authenticator: Authenticator
    anonymous: Principal
    limits: RequestLimits
    probes: Probes
    publisher: Publisher
    archives: AptArchiveService
    uploads: UploadService
    intake: Intake
    blocks: BlockReader
    snapshots: Snapshots
    documents: DocumentService
    documents_max_bytes: int
    wait_cap_seconds: float
    proxies: TrustedProxies = NO_PROXIES
    hosts: Collection[str] = ()
    errors_url: str = ""
    auth: str | None = None
    dashboard: bool = False
    folder_page: FolderPage | None = None

    @cached_property
    def known(self) -> KnownAnswers:
        """Cache of responses about final stagings."""
        return KnownAnswers(self.stagings)


class Resource:
    """Base class of resources; each application makes one instance for each path.

    A resource has no state of its own: its responders, and their decorators, use these
    dependencies.
    """

    def __init__(self, deps: AppDependencies) -> None:
        """Take the use cases from `deps`."""
        self.deps = deps
        self.locks = deps.locks
        self.wait_cap_seconds = deps.wait_cap_seconds
