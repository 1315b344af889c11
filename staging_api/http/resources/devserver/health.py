"""``check_health``: the load of this server, by which clients choose among theirs."""

import falcon

from staging_api.artifacts.store import BlobStore
from staging_api.db.engine import Database
from staging_api.db.migrate import check_schema
from staging_api.devserver.joining import WaiterSlots
from staging_api.devserver.load import Rates

_GIGABYTE = 1_000_000_000


class CheckHealth:
    """Free disk (GB) and load of this server, as JSON."""

    usage = "check_health"

    def __init__(self, database: Database, blobs: BlobStore, waiter_slots: WaiterSlots) -> None:
        """Take what the responder needs."""
        self._database = database
        self._blobs = blobs
        self._waiter_slots = waiter_slots
        self._rates = Rates()

    def on_get(self, _req: falcon.Request, resp: falcon.Response) -> None:
        """Tell the load; an error if nothing can be staged, so that clients choose another."""
        check_schema(self._database)
        resp.media = {
            "free_disk": round(self._blobs.free_bytes() / _GIGABYTE, 3),
            "staging_thread_count": self._waiter_slots.taken,
            "au_process_count": 0,
            **self._rates.now(),
        }
