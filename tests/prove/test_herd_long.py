"""A thousand clients, and pods that die under them: the acceptance test of the herd, larger."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from staging_api.db.engine import Database, open_database
from tests.herd import Herd
from tests.service import service
from tests.source import archive_source


@pytest.fixture
def own_rows(own_url: str) -> Iterator[Database]:
    """Its tables."""
    pools = open_database(own_url, pool_size=2)
    yield pools
    pools.close()


@pytest.mark.prove
@pytest.mark.timeout(900)
def test_of_a_thousand_clients_each_gets_what_was_fetched_once_while_pods_die(
    own_url: str, own_rows: Database, tmp_path: Path
) -> None:
    with (
        archive_source() as source,
        # Longer leases than in other tests, since so many clients on few cores delay renewals.
        service(
            tmp_path, own_url, f"{source.url}/", sources_connections="1", lease_seconds="15"
        ) as pods,
    ):
        herd = Herd(pods, source, own_rows, kills=6)
        herd.api += pods.api(3)
        herd.workers += [pods.worker(), pods.worker()]
        herd.run(clients=1000)
        herd.check()
        print(
            f"answers {dict(herd.answers)}, refused {dict(herd.refused)},"
            f" killed {dict(herd.killed)}"
        )
