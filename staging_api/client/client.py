"""Client with blocking methods.

Each method is a call from the module in its definition, where its arguments and errors are
described.
"""

from collections.abc import Mapping
from typing import Self
from uuid import UUID, uuid4

from staging_api.client import archives as _archives
from staging_api.client import artifacts as _artifacts
from staging_api.client import document_revisions as _revisions
from staging_api.client import documents as _documents
from staging_api.client import files as _files
from staging_api.client import locks as _locks
from staging_api.client import reports as _reports
from staging_api.client import stagings as _stagings
from staging_api.client.blocking import BlockingConnections
from staging_api.client.calls import Calls
from staging_api.client.methods import Blocking, block, many, once
from staging_api.client.pacing import Pacing
from staging_api.client.transport import Transport


class ArchiveMethods:
    """Methods about APT archives."""

    create = once(_archives.create)
    upload = once(_archives.upload)
    publish = once(_archives.publish)
    publication = once(_archives.publication)
    publications = many(_archives.publications)
    packages = many(_archives.packages)
    remove = once(_archives.remove)
    generations = many(_archives.generations)
    go_back = once(_archives.go_back)
    hold = once(_archives.hold)
    lift = once(_archives.lift)
    export = once(_archives.export)


class DocumentMethods:
    """Methods about configuration documents."""

    create = once(_documents.create)
    empty = once(_documents.empty)
    status = once(_documents.status)
    get = once(_documents.get)
    posted = once(_documents.posted)
    rendered = once(_documents.rendered)
    commit = once(_documents.commit)
    buffer = once(_documents.buffer)
    discard = once(_documents.discard)
    rollback = once(_revisions.rollback)
    confirm = once(_revisions.confirm)
    tag = once(_revisions.tag)
    untag = once(_revisions.untag)
    site_action = once(_revisions.site_action)
    revision = once(_revisions.revision)
    revisions = many(_revisions.revisions)
    explain = once(_revisions.explain)
    differences = once(_revisions.differences)


class ServiceMethods:
    """Methods about stagings, artifacts, locks and the service as a whole."""

    stage = once(_stagings.stage)
    staging = once(_stagings.staging)
    wait = once(_stagings.wait)
    events = many(_stagings.events)
    stagings = many(_stagings.stagings)
    cancel = once(_stagings.cancel)

    artifacts = many(_artifacts.artifacts)
    artifact = once(_artifacts.artifact)
    files = many(_artifacts.files)
    pin = once(_artifacts.pin)
    evict = once(_artifacts.evict)
    catalogues = once(_artifacts.catalogues)
    artifact_names = once(_artifacts.artifact_names)
    check_catalogue = once(_artifacts.check_catalogue)

    locks = many(_locks.locks)
    waiters = many(_locks.waiters)
    break_lock = once(_locks.break_lock)

    about = once(_reports.about)
    me = once(_reports.me)
    builds = many(_reports.builds)
    all_events = many(_reports.all_events)
    counts = once(_reports.counts)
    processes = many(_reports.processes)
    store = once(_reports.store)
    preview_prune = once(_reports.preview_prune)
    prune = once(_reports.prune)
    prunes = many(_reports.prunes)

    fetch = once(_files.fetch)
    get = once(_files.get)
    borrow = block(_files.borrow)
    download = once(_files.download)


class Archives(ArchiveMethods, Blocking):
    """The APT archives that the service publishes: `StagingClient.archives`."""


class Documents(DocumentMethods, Blocking):
    """The configuration documents that the service keeps: `StagingClient.documents`."""


class StagingClient(ServiceMethods, Blocking):
    """Client of a staging service.

    Every method repeats its request, according to the service's Retry-After, while the service is
    locked (409), unavailable (503) or out of reach, and raises the error of
    `staging_api.client.errors` that the last response names. Threads may share a client; forked
    processes may not.

    Attributes:
        url: the address of the service.
        context_marker: UUID that is sent with all requests of this client: the `reference_id` of
            their locks and stagings.
        archives: the APT archives that the service publishes.
        documents: the configuration documents that the service keeps.
    """

    def __init__(
        self,
        base_url: str = "http://127.0.0.1:8080",
        *,
        token: str | None = None,
        timeout: float = 60.0,
        context_marker: UUID | None = None,
        pacing: Pacing | None = None,
    ) -> None:
        """Prepare the client without sending a request.

        Args:
            base_url: address of the service, with the path it is mounted at, if any.
            token: the caller's bearer token.
            timeout: seconds for a call, retries included, for methods without their own.
            context_marker: None makes a new one.
            pacing: parameters of retries.

        Raises:
            Invalid: `base_url` is not an HTTP address.
        """
        self.context_marker = context_marker or uuid4()
        headers = headers_of(token, self.context_marker)
        self._transport = Transport(base_url, headers, pacing or Pacing())
        super().__init__(Calls(BlockingConnections(self._transport), timeout))
        self.url = self._transport.base_url
        self.archives = Archives(self._calls)
        self.documents = Documents(self._calls)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def close(self) -> None:
        """Close the connections."""
        self._transport.close()


def headers_of(token: str | None, context_marker: UUID) -> Mapping[str, str]:
    """Return the headers that a client sends with every request."""
    headers = {"X-Context-Marker": str(context_marker), "Accept": "application/json"}
    if token:
        headers["Authorization"] = f"Bearer {token.strip()}"
    return headers
