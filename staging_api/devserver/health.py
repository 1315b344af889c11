"""Load of this server, by which the old clients choose a server."""

from dataclasses import dataclass, field
from typing import Any

from staging_api.db.engine import Database
from staging_api.db.migrate import check_schema
from staging_api.devserver.joining import WaiterSlots
from staging_api.devserver.load import Rates
from staging_api.store.blob_store import BlobStore

_GIGABYTE = 1_000_000_000


@dataclass(frozen=True)
class ServerHealth:
    """Free disk space, requests that stage or wait, and the machine's load."""

    database: Database
    blobs: BlobStore
    waiter_slots: WaiterSlots
    rates: Rates = field(default_factory=Rates)

    def report(self) -> dict[str, Any]:
        """Return the figures under the devserver's names.

        Raises:
            StagingApiError: this server cannot stage, so that clients choose another one.
        """
        check_schema(self.database)
        return {
            "free_disk": round(self.blobs.free_bytes() / _GIGABYTE, 3),
            "staging_thread_count": self.waiter_slots.taken,
            "au_process_count": 0,  # this service updates no devices, but clients need the field
            **self.rates.now(),
        }
