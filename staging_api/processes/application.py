"""The dependencies of the API, over the services of a process."""

from functools import partial

from staging_api.devserver.builds import Builds
from staging_api.devserver.control_files import ControlFiles
from staging_api.devserver.health import ServerHealth
from staging_api.devserver.joining import Joining
from staging_api.devserver.services import DevserverServices
from staging_api.devserver.symbolication import Symbolication
from staging_api.documents.service import DocumentService
from staging_api.http.addresses import TrustedProxies
from staging_api.http.dependencies import AppDependencies
from staging_api.http.handover import Sender
from staging_api.http.limits import Limits
from staging_api.http.probes import Probes
from staging_api.identity.authenticators import anonymous, authenticator
from staging_api.locks.service import LockService
from staging_api.publishing.apt_archives import AptArchiveService
from staging_api.publishing.intake import Intake
from staging_api.publishing.pieces import BlockReader
from staging_api.publishing.service import Publisher
from staging_api.publishing.snapshots import Snapshots
from staging_api.publishing.uploads import UploadService
from staging_api.settings import Settings
from staging_api.staging.accesses import Accesses
from staging_api.staging.damage import losses_noticed
from staging_api.staging.event_stream import EventStream
from staging_api.staging.files import StagedFiles
from staging_api.staging.partial_files import PartialFiles
from staging_api.staging.service import StagingService
from staging_api.staging.watch import Watch


def dependencies_of(
    settings: Settings,
    *,
    stagings: StagingService,
    watch: Watch,
    accesses: Accesses,
    joining: Joining,
    publisher: Publisher,
    blocks: BlockReader,
    documents: DocumentService,
    probes: Probes,
) -> AppDependencies:
    """Return what the API is made of.

    Raises:
        Invalid: a setting is wrong.
    """
    database, blobs = stagings.database, stagings.blobs
    files = StagedFiles(database, accesses, PartialFiles(database, blobs, watch))
    noticed = partial(losses_noticed, stagings.upkeep)
    return AppDependencies(
        stagings=stagings,
        locks=stagings.locks,
        lock_service=LockService(database),
        watch=watch,
        events=EventStream(database, watch),
        files=files,
        sender=Sender(blobs, noticed, settings.accel_prefix),
        devserver=_devserver(settings, joining, files),
        authenticator=authenticator(settings),
        anonymous=anonymous(settings),
        limits=Limits(
            per_second=settings.rate_per_caller,
            at_once=settings.concurrency_per_caller,
            body_bytes=settings.max_body_bytes,
            upload_bytes=settings.max_upload_bytes,
            refused_per_second=settings.refused_per_address,
        ),
        probes=probes,
        publisher=publisher,
        archives=AptArchiveService(database),
        uploads=UploadService(database),
        intake=Intake(database, blobs, stagings.upkeep),
        blocks=blocks,
        snapshots=Snapshots(database, publisher.builder.releaser),
        documents=documents,
        documents_max_bytes=settings.documents_max_bytes,
        wait_cap_seconds=settings.wait_cap_seconds,
        proxies=TrustedProxies.parse(settings.trusted_proxies),
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
