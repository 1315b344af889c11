"""``/check_health``: figures by which the devserver's clients choose a server."""

from typing import cast

import pytest

from staging_api.db.engine import Database, open_database
from staging_api.devserver.health import ServerHealth
from staging_api.devserver.joining import WaiterSlots
from staging_api.devserver.load import Rates
from staging_api.errors import Unavailable
from staging_api.store.blob_store import BlobStore


class _Disk:
    """Stand-in for a store, of which only the free space is read."""

    def free_bytes(self) -> int:
        return 12_345_678_901


def test_the_figures_have_the_units_and_names_that_the_clients_know(database: Database) -> None:
    slots = WaiterSlots(3)
    health = ServerHealth(database, cast(BlobStore, _Disk()), slots)
    with slots.one():
        shown = health.report()
    assert shown["free_disk"] == 12.346
    assert (shown["staging_thread_count"], shown["au_process_count"]) == (1, 0)
    assert set(shown) > set(Rates().now())


def test_a_server_that_could_stage_nothing_reports_no_load(database: Database) -> None:
    """Clients therefore choose another server."""
    slots = WaiterSlots(3)
    away = open_database("postgresql+psycopg2://nobody@127.0.0.1:1/none", pool_size=1)
    try:
        with pytest.raises(Unavailable):
            ServerHealth(away, cast(BlobStore, _Disk()), slots).report()
    finally:
        away.close()
    assert "free_disk" in ServerHealth(database, cast(BlobStore, _Disk()), slots).report()
