"""The dependencies of an application, for tests that serve one without processes."""

from functools import partial

from staging_api.devserver.builds import Builds
from staging_api.devserver.control_files import ControlFiles
from staging_api.devserver.health import ServerHealth
from staging_api.devserver.joining import Joining, WaiterSlots
from staging_api.devserver.services import DevserverServices
from staging_api.http.dependencies import AppDependencies
from staging_api.http.handover import Sender
from staging_api.http.limits import Limits
from staging_api.http.probes import Probes
from staging_api.identity.authenticators import anonymous, authenticator
from staging_api.locks.service import LockService
from staging_api.processes.bootstrap import documents_of
from staging_api.processes.health import readiness_checks, readings
from staging_api.publishing.apt_archives import AptArchiveService
from staging_api.publishing.intake import Intake
from staging_api.publishing.pieces import BlockReader
from staging_api.publishing.snapshots import Snapshots
from staging_api.publishing.uploads import UploadService
from staging_api.settings import Settings
from staging_api.shutdown import Drain
from staging_api.staging.accesses import Accesses
from staging_api.staging.damage import losses_noticed
from staging_api.staging.files import StagedFiles
from staging_api.staging.following import StagingEvents
from staging_api.staging.growing import Growing
from staging_api.staging.service import StagingService
from staging_api.staging.watch import Watch
from tests.publisher import publisher_of


def parts_of(
    stagings: StagingService,
    watch: Watch,
    wait_cap_seconds: float = 1.0,
    accesses: Accesses | None = None,
) -> AppDependencies:
    """Return the dependencies of an application that demands no credential."""
    settings, database, blobs = Settings(), stagings.database, stagings.blobs
    blocks = BlockReader(database)
    publisher = publisher_of(stagings.locks, blobs, blocks)
    files = StagedFiles(database, accesses or Accesses(database), Growing(database, blobs, watch))
    waiter_slots = WaiterSlots(4)
    return AppDependencies(
        stagings=stagings,
        locks=stagings.locks,
        lock_service=LockService(database),
        watch=watch,
        events=StagingEvents(database, watch),
        files=files,
        sender=Sender(blobs, partial(losses_noticed, stagings.upkeep)),
        devserver=DevserverServices(
            joining=Joining(stagings, watch, waiter_slots, 60, refuses=False),
            builds=Builds(stagings),
            controls=ControlFiles(stagings.upkeep),
            health=ServerHealth(database, blobs, waiter_slots),
            files=files,
            symbolication=None,
        ),
        authenticator=authenticator(settings),
        anonymous=anonymous(settings),
        limits=Limits(),
        probes=Probes(readiness_checks(database, blobs, Drain()), readings(database, blobs)),
        publisher=publisher,
        archives=AptArchiveService(database),
        uploads=UploadService(database),
        intake=Intake(database, blobs),
        blocks=blocks,
        snapshots=Snapshots(database, publisher.builder.releaser),
        documents=documents_of(settings, stagings.locks, stagings),
        documents_max_bytes=settings.documents_max_bytes,
        wait_cap_seconds=wait_cap_seconds,
    )
