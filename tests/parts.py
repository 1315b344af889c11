"""Dependencies of an application, for tests that serve one without processes."""

from dataclasses import replace

from staging_api.devserver.joining import Joining, WaiterSlots
from staging_api.http.dependencies import AppDependencies
from staging_api.http.probes import Probes
from staging_api.processes.application import dependencies_of
from staging_api.processes.bootstrap import documents_of
from staging_api.processes.health import readiness_checks, readings
from staging_api.processes.services import Services
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
) -> AppDependencies:
    """Return the dependencies of an application that demands no credential."""
    settings, database, blobs = Settings(), stagings.database, stagings.blobs
    blocks = BlockReader(database)
    services = Services(
        settings,
        stagings=stagings,
        watch=watch,
        accesses=accesses or Accesses(database),
        joining=Joining(stagings, watch, WaiterSlots(4), 60, refuses=False),
        publisher=publisher_of(stagings.locks, blobs, blocks),
        blocks=blocks,
        documents=documents_of(settings, stagings.locks, stagings),
        probes=Probes(readiness_checks(database, blobs, Drain()), readings(database, blobs)),
        drain=Drain(),
        probes_database=database,
    )
    return replace(dependencies_of(services), wait_cap_seconds=wait_cap_seconds)
