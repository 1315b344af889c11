"""The composition root: the one place that builds the objects that live long."""

import threading
from collections.abc import Callable, Collection
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

import falcon
from sqlalchemy import Engine

from staging_api.artifacts.catalogue import Catalogue
from staging_api.artifacts.opening import open_store
from staging_api.artifacts.store import BlobStore
from staging_api.db.engine import Database, open_database
from staging_api.db.timeouts import Timeouts
from staging_api.devserver.builds import Builds as StagedBuilds
from staging_api.devserver.control_files import ControlFiles
from staging_api.devserver.health import ServerHealth
from staging_api.devserver.joining import Joining, WaiterSlots
from staging_api.devserver.services import DevserverServices
from staging_api.devserver.symbolication import Symbolication
from staging_api.documents.builds import Builds
from staging_api.documents.contents import Contents
from staging_api.documents.keys import Keys
from staging_api.documents.renderings import Renderings
from staging_api.documents.rules import DeploymentRule
from staging_api.documents.service import DocumentService
from staging_api.documents.undoing import undo_overdue
from staging_api.documents.validators import Validators, parse_validators
from staging_api.errors import Invalid
from staging_api.http.addresses import TrustedProxies
from staging_api.http.app import create_app, create_probes, create_worker_probes
from staging_api.http.dependencies import AppDependencies
from staging_api.http.handover import Sender
from staging_api.http.limits import Limits
from staging_api.http.origins import hosts_of
from staging_api.http.probes import Probes
from staging_api.identity.authenticators import anonymous, authenticator
from staging_api.identity.model import Authenticator
from staging_api.locks.factory import process_name
from staging_api.locks.hold import Locks
from staging_api.locks.keeper import LeaseKeeper
from staging_api.locks.queue import WaitQueue
from staging_api.locks.service import LockService
from staging_api.processes.health import readiness_checks, readings
from staging_api.publishing.apt_archives import AptArchiveService
from staging_api.publishing.building import Builder
from staging_api.publishing.indexing import Indexer
from staging_api.publishing.intake import Intake
from staging_api.publishing.pieces import BlockReader, FileHashes
from staging_api.publishing.releasing import Releaser
from staging_api.publishing.renewal import Renewal
from staging_api.publishing.service import Publisher
from staging_api.publishing.signing import SigningKey
from staging_api.publishing.signing_keys import checked
from staging_api.publishing.snapshots import Snapshots
from staging_api.publishing.uploads import UploadService
from staging_api.settings import Settings
from staging_api.shutdown import Drain
from staging_api.sources.allowlist import AllowList
from staging_api.sources.opening import open_archive
from staging_api.sources.options import options_of
from staging_api.staging.accesses import Accesses
from staging_api.staging.damage import losses_noticed
from staging_api.staging.download import Speed
from staging_api.staging.files import StagedFiles
from staging_api.staging.following import StagingEvents
from staging_api.staging.growing import Growing
from staging_api.staging.service import StagingService
from staging_api.staging.upkeep import StoreTerms
from staging_api.staging.uploads import UploadTerms
from staging_api.staging.watch import Watch
from staging_api.staging.worker import Worker
from staging_api.traces import Spans, traced, untraced, work_traced
from staging_api.work_slots import WorkSlots

# What a server that does not hang takes at most to say that it ended a statement.
_HUNG_AFTER_SECONDS = 5.0


@dataclass(frozen=True)
class Services:
    """What a process of this service is made of; build it after any fork, close it at the end."""

    settings: Settings
    locks: Locks
    stagings: StagingService
    watch: Watch
    joining: Joining
    authenticator: Authenticator
    drain: Drain
    accesses: Accesses
    publisher: Publisher
    blocks: BlockReader
    probes_database: Database
    documents: DocumentService

    def app(self, hosts: Collection[str] = ()) -> falcon.App[Any, Any]:
        """The API over these services, for requests to `hosts`; none: to any."""
        stagings, database = self.stagings, self.stagings.database
        noticed = partial(losses_noticed, stagings.upkeep)
        files = StagedFiles(database, self.accesses, Growing(database, stagings.blobs, self.watch))
        return create_app(
            AppDependencies(
                stagings=stagings,
                locks=self.locks,
                lock_service=LockService(database),
                watch=self.watch,
                events=StagingEvents(database, self.watch),
                files=files,
                sender=Sender(stagings.blobs, noticed, self.settings.accel_prefix),
                devserver=self._devserver(files),
                authenticator=self.authenticator,
                anonymous=anonymous(self.settings),
                limits=Limits(
                    per_second=self.settings.rate_per_caller,
                    at_once=self.settings.concurrency_per_caller,
                    body_bytes=self.settings.max_body_bytes,
                    upload_bytes=self.settings.max_upload_bytes,
                    refused_per_second=self.settings.refused_per_address,
                ),
                probes=self._probes(),
                publisher=self.publisher,
                archives=AptArchiveService(database),
                uploads=UploadService(database),
                intake=Intake(self.publisher.database, self.publisher.blobs, self.stagings.upkeep),
                blocks=self.blocks,
                snapshots=Snapshots(database, self.publisher.builder.releaser),
                documents=self.documents,
                documents_max_bytes=self.settings.documents_max_bytes,
                wait_cap_seconds=self.settings.wait_cap_seconds,
                proxies=TrustedProxies.parse(self.settings.trusted_proxies),
                hosts=hosts,
            )
        )

    def _devserver(self, files: StagedFiles) -> DevserverServices:
        program, stagings = self.settings.stackwalk, self.stagings
        symbolication = None
        if program:
            noticed = partial(losses_noticed, stagings.upkeep)
            symbolication = Symbolication(
                program, stagings.database, stagings.blobs, noticed=noticed
            )
        return DevserverServices(
            joining=self.joining,
            builds=StagedBuilds(stagings),
            controls=ControlFiles(stagings.upkeep),
            health=ServerHealth(stagings.database, stagings.blobs, self.joining.waiter_slots),
            files=files,
            symbolication=symbolication,
        )

    def probes(self) -> falcon.App[Any, Any]:
        """What an API process serves at the probes' own address."""
        return create_probes(self._probes())

    def _probes(self) -> Probes:
        database, blobs = self.probes_database, self.stagings.blobs
        return Probes(
            readiness_checks(database, blobs, self.drain),
            readings(database, blobs),
            self.settings.metrics_dir,
            self.check_threads,
        )

    def wsgi(self) -> Callable[..., Any]:
        """The API as a WSGI server runs it: for its own names, and traced, if chosen."""
        given = self.settings
        anybody = given.auth == "none"
        app: Callable[..., Any] = self.app(
            hosts_of(given.hosts, given.bind, anybody_may_call=anybody)
        )
        if self.settings.traces_endpoint:
            app = traced(app, self._engines(), self.settings.traces_endpoint)
        return app

    def worker(self) -> Worker:
        """A worker over these services."""
        spans: Spans = untraced
        if self.settings.traces_endpoint:
            spans = work_traced(self._engines(), self.settings.traces_endpoint)
        return Worker(
            self.stagings,
            self.settings.worker_jobs,
            spans,
            chores={"unconfirmed commits": lambda: undo_overdue(self.documents)},
            jobs_per_caller=self.settings.worker_jobs_per_caller,
        )

    def renewal(self) -> Renewal:
        """What renews Releases beside a worker."""
        return Renewal(self.publisher)

    def _engines(self) -> tuple[Engine, Engine]:
        database = self.stagings.database
        return database.transactions, database.statements

    def worker_probes(self, worker: Worker) -> falcon.App[Any, Any]:
        """Probes and metrics of a worker."""
        alive = {"loop": worker.check, "threads": self.check_threads}
        return create_worker_probes(self._probes(), alive)

    def check_threads(self) -> None:
        """Refuse a process one of whose background threads does not run.

        Raises:
            Unavailable: says which.
        """
        for part in (self.locks, self.watch, self.joining.watch, self.accesses):
            part.check()

    def close(self) -> None:
        """Give back the locks, stop the threads and close the connections."""
        self.locks.release_all()
        self.joining.watch.close()
        self.accesses.close()
        self.watch.close()
        self.locks.close()
        self.locks.database.close()
        self.probes_database.close()


def build(settings: Settings, drain: Drain | None = None) -> Services:
    """Build the services; connects to nothing yet.

    Args:
        drain: of the pod, if this is one of several processes.

    Raises:
        CatalogueInvalid: the catalogue file is wrong; says the line and the reason.
        Invalid: a setting is wrong.
    """
    if not settings.database_url:
        raise Invalid.field(
            "STAGING_DATABASE_URL", "must be set here; `staging-api serve` starts the embedded one"
        )
    waiter_slots = threading.BoundedSemaphore(settings.waiters)
    locks = _locks(settings, waiter_slots)
    stagings = _stagings(settings, locks, waiter_slots)
    blocks = BlockReader(locks.database)
    return Services(
        settings=settings,
        locks=locks,
        stagings=stagings,
        watch=stagings.watch,
        joining=_joining(settings, stagings),
        authenticator=authenticator(settings),
        drain=drain or Drain(),
        accesses=Accesses(locks.database),
        publisher=_publisher(settings, locks, stagings.blobs, blocks),
        blocks=blocks,
        probes_database=_opened(settings, pool_size=1),
        documents=documents_of(settings, locks, stagings),
    )


def _locks(settings: Settings, waiter_slots: threading.BoundedSemaphore) -> Locks:
    database = _opened(settings, settings.database_pool_size)
    direct_url = settings.database_direct_url or settings.database_url
    return Locks(
        database=database,
        keeper=LeaseKeeper(_opened(settings, pool_size=1)),
        queue=WaitQueue(database, direct_url, waiter_slots),
        holder=process_name(),
        lease_seconds=settings.lease_seconds,
    )


def _stagings(
    settings: Settings, locks: Locks, waiter_slots: threading.BoundedSemaphore
) -> StagingService:
    # One for all archives: what is known of hosts that fail is in it.
    options = options_of(settings)
    allowed = AllowList.parse(settings.sources)
    return StagingService(
        database=locks.database,
        locks=locks,
        catalogue=Catalogue.load(Path(settings.catalogue) if settings.catalogue else None),
        allowed=allowed,
        blobs=open_store(settings.store, settings.home),
        open_archive=lambda url: open_archive(url, allowed, options),
        uploads=UploadTerms(
            settings.upload_wait_seconds,
            settings.upload_poll_seconds,
            waiter_slots,
            options,
        ),
        speed=Speed(settings.sources_connections),
        store=StoreTerms(
            settings.quota_bytes, scrub_bytes_per_second=settings.scrub_bytes_per_second
        ),
        slots=WorkSlots(settings.long_requests or max(1, settings.threads // 2)),
    )


def _joining(settings: Settings, stagings: StagingService) -> Joining:
    # WaiterSlots of their own: old clients wait by default, and must not keep the new ones from it.
    waiter_slots = threading.BoundedSemaphore(settings.devserver_waiters)
    return Joining(
        stagings=stagings,
        watch=Watch(stagings.database, waiter_slots, stagings.locks.shutdown),
        waiter_slots=WaiterSlots(settings.devserver_waiters),
        patience_seconds=settings.devserver_wait_seconds,
        refuses=settings.devserver_conflict == "409",
    )


def _publisher(
    settings: Settings, locks: Locks, blobs: BlobStore, blocks: BlockReader
) -> Publisher:
    home, fingerprint = settings.signing_home, settings.signing_key
    if bool(home) != bool(fingerprint):
        raise Invalid.field("STAGING_SIGNING_KEY", "goes with STAGING_SIGNING_HOME: both or none")
    key = checked(SigningKey(home.absolute(), fingerprint)) if home else None
    indexer = Indexer(locks.database, blocks, FileHashes(blocks))
    return Publisher(
        database=locks.database,
        locks=locks,
        blobs=blobs,
        builder=Builder(locks.database, indexer, Releaser(key)),
        hooks=settings.hooks,
        hook_seconds=settings.hook_seconds,
    )


def documents_of(settings: Settings, locks: Locks, stagings: StagingService) -> DocumentService:
    """Documents, over the locks and stagings of a process.

    Raises:
        Invalid: a setting is wrong.
    """
    file, token_file = settings.documents_keys_file, settings.documents_validator_token_file
    keys = Keys(locks.database, file)
    if file is not None:
        keys.ring()  # a wrong file is found at start, not with the first secret
    contents = Contents(locks.database, keys)
    return DocumentService(
        database=locks.database,
        locks=locks,
        contents=contents,
        renderings=Renderings(contents),
        validators=Validators(
            validators=parse_validators(settings.documents_validators),
            seconds=settings.documents_validator_seconds,
            public_url=(settings.public_url or f"http://{settings.bind}").rstrip("/"),
            token_file=token_file,
        ),
        rule=DeploymentRule(settings.documents_deployment_version),
        builds=Builds(stagings),
    )


def _opened(settings: Settings, pool_size: int) -> Database:
    timeouts = Timeouts(
        statement_seconds=settings.statement_seconds,
        idle_seconds=settings.idle_transaction_seconds,
        hung_seconds=settings.statement_seconds + _HUNG_AFTER_SECONDS,
        told=not settings.database_direct_url,
    )
    return open_database(settings.database_url, pool_size, timeouts)
