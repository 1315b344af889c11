"""Shared fixtures of the acceptance tests: a source of archives, and a service on its own database.

Its two API pods and its worker run as long as these tests; each test has archives of its own.
"""

from collections.abc import Iterator

import pytest

from staging_api.db.engine import Database, open_database
from tests.databases import Migrated
from tests.service import Client, Pod, Service, service
from tests.source import ArchiveSource, archive_source


@pytest.fixture(scope="package")
def _source() -> Iterator[ArchiveSource]:
    with archive_source() as found:
        yield found


@pytest.fixture
def source(_source: ArchiveSource) -> Iterator[ArchiveSource]:
    """Yield the source of archives; afterwards release the transfers that a test left stopped."""
    yield _source
    _source.release_all()


@pytest.fixture(scope="package")
def second_source() -> Iterator[ArchiveSource]:
    """Yield a second source, on another host."""
    with archive_source() as found:
        yield found


@pytest.fixture(scope="package")
def cluster_url(migrated: Migrated) -> Iterator[str]:
    """Yield the URL of the service's database."""
    with migrated() as url:
        yield url


@pytest.fixture(scope="package")
def cluster(
    cluster_url: str,
    _source: ArchiveSource,
    second_source: ArchiveSource,
    tmp_path_factory: pytest.TempPathFactory,
) -> Iterator[Service]:
    """Yield the service, without pods yet."""
    sources = (f"{_source.url}/", f"{second_source.url}/")
    with service(tmp_path_factory.mktemp("service"), cluster_url, *sources) as found:
        yield found


@pytest.fixture(scope="package")
def pods(cluster: Service) -> list[Pod]:
    """Return two API pods; a worker runs beside them."""
    cluster.worker()
    return cluster.api(2)


@pytest.fixture
def client(pods: list[Pod]) -> Client:
    """A client of the first pod."""
    return pods[0].client


@pytest.fixture(scope="package")
def rows(cluster_url: str) -> Iterator[Database]:
    """The tables of the service."""
    pools = open_database(cluster_url, pool_size=5)
    yield pools
    pools.close()
