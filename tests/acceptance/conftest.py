"""A source of archives for each test, and a service of two API pods and a worker for a module."""

from collections.abc import Iterator

import pytest

from staging_api.db.engine import Database
from tests.conftest import empty
from tests.service import Client, Pod, Service, service
from tests.source import ArchiveSource, archive_source


@pytest.fixture(scope="module")
def _source() -> Iterator[ArchiveSource]:
    with archive_source() as found:
        yield found


@pytest.fixture
def source(_source: ArchiveSource) -> Iterator[ArchiveSource]:
    """Where archives come from; what a test left held is let go."""
    yield _source
    _source.release_all()


@pytest.fixture(scope="module")
def second_source() -> Iterator[ArchiveSource]:
    """Another host that archives come from."""
    with archive_source() as found:
        yield found


@pytest.fixture(scope="module")
def cluster(
    _pools: Database,
    database_url: str,
    _source: ArchiveSource,
    second_source: ArchiveSource,
    tmp_path_factory: pytest.TempPathFactory,
) -> Iterator[Service]:
    """One database and one store, empty at the start of the module; no pods yet."""
    empty(_pools)
    sources = (f"{_source.url}/", f"{second_source.url}/")
    with service(tmp_path_factory.mktemp("service"), database_url, *sources) as found:
        yield found


@pytest.fixture(scope="module")
def pods(cluster: Service) -> list[Pod]:
    """Two API pods, and a worker beside them."""
    cluster.worker()
    return cluster.api(2)


@pytest.fixture
def client(pods: list[Pod]) -> Client:
    """A client of the first pod."""
    return pods[0].client


@pytest.fixture
def rows(_pools: Database) -> Database:
    """The tables, as they are: with the rows of the tests before, on archives of their own."""
    return _pools
