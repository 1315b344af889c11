"""What an application is made of, for tests that serve one without processes."""

from staging_api.bootstrap import documents_of
from staging_api.devserver.joining import Joining, WaiterSlots
from staging_api.http.app import Parts
from staging_api.http.limits import Limits
from staging_api.http.probes import Probes
from staging_api.http.resources.devserver.routes import DevserverParts
from staging_api.identity.authenticators import anonymous, authenticator
from staging_api.publishing.intake import Intake
from staging_api.publishing.pieces import BlockReader
from staging_api.settings import Settings
from staging_api.shutdown import Drain
from staging_api.staging.accesses import Accesses
from staging_api.staging.service import StagingService
from staging_api.staging.watch import Watch
from tests.publisher import publisher_of


def parts_of(
    stagings: StagingService,
    watch: Watch,
    wait_cap_seconds: float = 1.0,
    accesses: Accesses | None = None,
) -> Parts:
    """What an application is made of that asks nobody for a credential."""
    settings = Settings()
    blocks = BlockReader(stagings.database)
    publisher = publisher_of(stagings.locks, stagings.blobs, blocks)
    return Parts(
        stagings=stagings,
        locks=stagings.locks,
        watch=watch,
        devserver=DevserverParts(Joining(stagings, watch, WaiterSlots(4), 60, refuses=False), None),
        authenticator=authenticator(settings),
        anonymous=anonymous(settings),
        limits=Limits(),
        probes=Probes(stagings.database, stagings.blobs, Drain()),
        accesses=accesses or Accesses(stagings.database),
        publisher=publisher,
        intake=Intake(stagings.database, stagings.blobs),
        blocks=blocks,
        documents=documents_of(settings, stagings.locks, stagings),
        documents_max_bytes=settings.documents_max_bytes,
        wait_cap_seconds=wait_cap_seconds,
    )
