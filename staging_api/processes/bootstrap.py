"""The composition root: the only module that builds long-lived objects."""

import threading

from staging_api.db.engine import Database, open_database
from staging_api.db.timeouts import Timeouts
from staging_api.devserver.joining import Joining, WaiterSlots
from staging_api.documents.builds import DocumentBuilds
from staging_api.documents.contents import Contents
from staging_api.documents.keys import Keys
from staging_api.documents.renderings import Renderings
from staging_api.documents.rules import DeploymentRule
from staging_api.documents.service import DocumentService
from staging_api.documents.validators import Validators, parse_validators
from staging_api.errors import Invalid
from staging_api.formats.model import UnpackLimits
from staging_api.http.probes import Probes
from staging_api.locks.factory import process_name
from staging_api.locks.hold import Locks
from staging_api.locks.keeper import LeaseKeeper
from staging_api.locks.queue import WaitQueue
from staging_api.processes.health import readiness_checks, readings
from staging_api.processes.services import Services
from staging_api.publishing.building import Builder
from staging_api.publishing.indexing import Indexer
from staging_api.publishing.pieces import BlockReader, FileHashes
from staging_api.publishing.releasing import Releaser
from staging_api.publishing.service import Publisher
from staging_api.publishing.signing import SigningKey
from staging_api.publishing.signing_keys import checked
from staging_api.settings import Settings
from staging_api.shutdown import Drain
from staging_api.sources.allowlist import AllowList
from staging_api.sources.opening import import_openers, open_archive
from staging_api.sources.options import options_of
from staging_api.staging.accesses import Accesses
from staging_api.staging.catalogues import Catalogues
from staging_api.staging.download import DownloadSpread
from staging_api.staging.packs import Packs
from staging_api.staging.requirements import Requirements
from staging_api.staging.service import StagingService
from staging_api.staging.upkeep import StoreTerms
from staging_api.staging.uploads import UploadTerms
from staging_api.staging.watch import Watch
from staging_api.store.blob_store import BlobStore
from staging_api.store.opening import open_store
from staging_api.work_slots import WorkSlots

# Longest time in which a server that does not hang reports that it ended a statement.
_HUNG_AFTER_SECONDS = 5.0


def build(settings: Settings, drain: Drain | None = None) -> Services:
    """Build the services, without connecting to anything yet.

    Args:
        drain: drain of the pod, if this is one of several processes.

    Raises:
        CatalogueInvalid: the catalogue file is wrong; says the line and the reason.
        Invalid: a setting is wrong.
    """
    if not settings.database_url:
        raise Invalid.field(
            "STAGING_DATABASE_URL", "must be set here; `staging-api serve` starts the embedded one"
        )
    drain = drain or Drain()
    waiter_slots = threading.BoundedSemaphore(settings.waiters)
    locks = _locks(settings, waiter_slots)
    stagings = _stagings(settings, locks, waiter_slots)
    joining = _joining(settings, stagings)
    accesses = Accesses(locks.database)
    blocks = BlockReader(locks.database)
    probes_database = _opened(settings, pool_size=1)

    def check_threads() -> None:
        for part in (locks, stagings.watch, joining.watch, accesses):
            part.check()

    publisher = _publisher(settings, locks, stagings.blobs, blocks)
    return Services(
        settings,
        stagings=stagings,
        watch=stagings.watch,
        accesses=accesses,
        joining=joining,
        publisher=publisher,
        blocks=blocks,
        documents=documents_of(settings, locks, stagings),
        probes=Probes(
            readiness_checks(probes_database, stagings.blobs, drain),
            readings(
                probes_database,
                stagings.blobs,
                publisher.builder.releaser.key,
                settings.quota_bytes,
            ),
            settings.metrics_dir,
            check_threads,
        ),
        drain=drain,
        probes_database=probes_database,
    )


def documents_of(settings: Settings, locks: Locks, stagings: StagingService) -> DocumentService:
    """Return the document service over the locks and stagings of a process.

    Raises:
        Invalid: a setting is wrong.
    """
    file, token_file = settings.documents_keys_file, settings.documents_validator_token_file
    keys = Keys(locks.database, file)
    if file is not None:
        keys.ring()  # find a wrong file at start, not with the first secret
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
        builds=DocumentBuilds(stagings),
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
    # One object for all archives: it holds the state of failing hosts.
    options = options_of(settings)
    allowed = AllowList.parse(settings.sources)
    import_openers(allowed)
    return StagingService(
        database=locks.database,
        locks=locks,
        catalogues=Catalogues.parse(settings.catalogue),
        allowed=allowed,
        requirements=Requirements.parse(settings.require_verified, settings.verify_keys),
        blobs=open_store(settings.store, settings.home),
        open_archive=lambda url: open_archive(url, allowed, options),
        uploads=UploadTerms(
            settings.upload_wait_seconds, settings.upload_poll_seconds, waiter_slots, options
        ),
        speed=DownloadSpread(settings.sources_connections),
        limits=_limits(settings),
        packs=Packs(settings.packs, settings.pack_file_bytes),
        store=StoreTerms(
            settings.quota_bytes, scrub_bytes_per_second=settings.scrub_bytes_per_second
        ),
        slots=WorkSlots(settings.long_requests or settings.threads // 2),
    )


def _limits(settings: Settings) -> UnpackLimits:
    return UnpackLimits(
        total_bytes=settings.unpack_bytes,
        member_bytes=settings.unpack_member_bytes,
        members=settings.unpack_members,
        ratio=settings.unpack_ratio,
        depth=settings.unpack_depth,
        header_bytes=settings.unpack_header_bytes,
        window_bytes=settings.unpack_window_bytes,
    )


def _joining(settings: Settings, stagings: StagingService) -> Joining:
    # Waiter slots of their own: old clients wait by default, and must not use up those of the API.
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


def _opened(settings: Settings, pool_size: int) -> Database:
    timeouts = Timeouts(
        statement_seconds=settings.statement_seconds,
        idle_seconds=settings.idle_transaction_seconds,
        hung_seconds=settings.statement_seconds + _HUNG_AFTER_SECONDS,
        sent=not settings.database_direct_url,
    )
    return open_database(settings.database_url, pool_size, timeouts)
