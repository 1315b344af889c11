"""Forty clients, four pods, two deaths: objects are fetched once, and responses are true.

`make prove` has a thousand clients and six deaths.
"""

from collections.abc import Iterator
from pathlib import Path

import pytest

from staging_api.db.engine import Database, open_database
from tests.herd import Herd
from tests.service import service
from tests.source import ArchiveSource


@pytest.fixture
def own_rows(own_url: str) -> Iterator[Database]:
    """Its tables."""
    pools = open_database(own_url, pool_size=2)
    yield pools
    pools.close()


@pytest.mark.timeout(300)
def test_of_a_herd_whose_pods_die_everybody_gets_what_was_fetched_once(
    own_url: str, own_rows: Database, source: ArchiveSource, tmp_path: Path
) -> None:
    with service(
        tmp_path, own_url, f"{source.url}/", sources_connections="1", lease_seconds="5"
    ) as pods:
        herd = Herd(pods, source, own_rows, kills=2)
        herd.api += pods.api(2)
        herd.workers += [pods.worker(), pods.worker()]
        herd.run(clients=40)
        herd.check()
