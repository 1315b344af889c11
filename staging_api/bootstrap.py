"""The composition root: the one place that builds the objects that live long."""

import os
import socket
import threading
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import falcon

from staging_api.artifacts.catalogue import Catalogue
from staging_api.artifacts.store import BlobStore
from staging_api.db.engine import open_database
from staging_api.errors import Invalid
from staging_api.http.app import Parts, create_app
from staging_api.locks.hold import Locks
from staging_api.locks.keeper import LeaseKeeper
from staging_api.locks.model import new_id
from staging_api.locks.queue import WaitQueue
from staging_api.publishing.building import Builder
from staging_api.publishing.indexing import Indexer
from staging_api.publishing.intake import Intake
from staging_api.publishing.pieces import BlockReader, FileHashes
from staging_api.publishing.releasing import Releaser
from staging_api.publishing.service import Publisher
from staging_api.publishing.signing import SigningKey
from staging_api.settings import Settings
from staging_api.sources.allowlist import AllowList
from staging_api.sources.model import SourceOptions
from staging_api.sources.opening import open_archive
from staging_api.staging.service import StagingService
from staging_api.staging.watch import Watch
from staging_api.staging.worker import Worker


@dataclass(frozen=True)
class Services:
    """What a process of this service is made of; build it after any fork, close it at the end."""

    settings: Settings
    locks: Locks
    stagings: StagingService
    watch: Watch
    publisher: Publisher
    blocks: BlockReader

    def app(self) -> falcon.App[Any, Any]:
        """The API over these services."""
        return create_app(
            Parts(
                stagings=self.stagings,
                locks=self.locks,
                watch=self.watch,
                publisher=self.publisher,
                intake=Intake(self.publisher.database, self.publisher.blobs),
                blocks=self.blocks,
                wait_cap_seconds=self.settings.wait_cap_seconds,
                metrics_dir=self.settings.metrics_dir,
            )
        )

    def worker(self) -> Worker:
        """A worker over these services."""
        return Worker(self.stagings, self.settings.worker_jobs)

    def close(self) -> None:
        """Stop the threads and close the connections."""
        self.watch.close()
        self.locks.close()
        self.locks.database.close()


def build(settings: Settings) -> Services:
    """Build the services; connects to nothing yet.

    Raises:
        CatalogueInvalid: the catalogue file is wrong; says the line and the reason.
        Invalid: a setting is wrong.
    """
    if not settings.database_url:
        raise Invalid.field(
            "STAGING_DATABASE_URL", "must be set here; `staging-api serve` starts the embedded one"
        )
    database = open_database(settings.database_url, settings.database_pool_size)
    seats = threading.BoundedSemaphore(settings.waiters)
    locks = Locks(
        database=database,
        keeper=LeaseKeeper(open_database(settings.database_url, pool_size=1)),
        queue=WaitQueue(settings.database_direct_url or settings.database_url, seats),
        holder=process_name(),
        lease_seconds=settings.lease_seconds,
    )
    allowed = AllowList.parse(settings.sources)
    stagings = StagingService(
        database=database,
        locks=locks,
        catalogue=Catalogue.load(Path(settings.catalogue) if settings.catalogue else None),
        allowed=allowed,
        blobs=BlobStore(settings.store_folder),
        open_archive=lambda url: open_archive(url, allowed, SourceOptions()),
    )
    blocks = BlockReader(database)
    publisher = _publisher(settings, locks, stagings.blobs, blocks)
    return Services(settings, locks, stagings, Watch(database, seats), publisher, blocks)


def _publisher(
    settings: Settings, locks: Locks, blobs: BlobStore, blocks: BlockReader
) -> Publisher:
    home, fingerprint = settings.signing_home, settings.signing_key
    if bool(home) != bool(fingerprint):
        raise Invalid.field("STAGING_SIGNING_KEY", "goes with STAGING_SIGNING_HOME: both or none")
    key = SigningKey(home.absolute(), fingerprint) if home else None
    indexer = Indexer(locks.database, blocks, FileHashes(blocks))
    return Publisher(
        database=locks.database,
        locks=locks,
        blobs=blobs,
        builder=Builder(locks.database, indexer, Releaser(key)),
        hooks=settings.hooks,
        hook_seconds=settings.hook_seconds,
    )


def process_name() -> str:
    """This process, for good: a pid comes again, this name does not."""
    return f"{socket.gethostname()}:{os.getpid()}:{new_id()[-8:]}"
