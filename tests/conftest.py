"""A real PostgreSQL for every test that requests it: migrated once, emptied between tests."""

import os
import signal
from collections.abc import Iterator
from contextlib import nullcontext, suppress

import pytest
from hypothesis import HealthCheck, settings
from sqlalchemy import make_url, text

from staging_api.database_url import normalized
from staging_api.db.engine import Database, open_database
from staging_api.db.migrate import migrate
from staging_api.errors import ConnectionLost
from tests.databases import Migrated, Schemas, earlier_schemas, new_database, run_alone
from tests.emptying import Emptying
from tests.server_in_memory import place, started

pytest_plugins = ["tests.suites"]

_TEMPLATE = "staging_template"
#: Environment variable that exists where several processes run the tests.
_SEVERAL = "PYTEST_XDIST_WORKER"

# A shell's background process ignores Ctrl-C, and so would every process that it starts.
signal.signal(signal.SIGINT, signal.default_int_handler)

# No test is timed: a busy machine must not make one fail. In CI the examples are always the same.
settings.register_profile(
    "ours",
    deadline=None,
    suppress_health_check=[HealthCheck.too_slow],
    derandomize="CI" in os.environ,
)
settings.load_profile("ours")


@pytest.fixture(scope="session")
def _databases(
    request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[tuple[str, str]]:
    """Yield the URL of the migrated database, and the name of a template without any connection."""
    given = os.environ.get("STAGING_TEST_DATABASE_URL")
    if given:
        several = _SEVERAL in os.environ
        given = normalized(given)
        with new_database(given) if several else nullcontext(given) as url:
            migrate(url)
            name = make_url(url).database
            assert name
            with new_database(url, name) as copy:
                template = make_url(copy).database
                assert template
                yield url, template
        return
    # The folder of this process is inside the folder of the run.
    shared = tmp_path_factory.getbasetemp().parent if _SEVERAL in os.environ else None
    # Databases of long-running proofs may grow.
    long = any(each.get_closest_marker("prove") for each in request.session.items)
    folder = nullcontext(tmp_path_factory.mktemp("postgres")) if long else place()
    with folder as home, started(home, shared, _make) as url:
        yield url, _TEMPLATE


def _make(url: str) -> None:
    """Migrate the database of a new server, and create the template."""
    migrate(url)
    run_alone(url, f"CREATE DATABASE {_TEMPLATE} TEMPLATE {make_url(url).database}")


@pytest.fixture(scope="session")
def database_url(_databases: tuple[str, str]) -> str:
    """Yield a migrated database: STAGING_TEST_DATABASE_URL, or an embedded one for this run.

    Tests empty it; so if several processes run tests, each creates a database beside the given one.
    """
    return _databases[0]


@pytest.fixture(scope="session")
def _pools(database_url: str) -> Iterator[Database]:
    pools = open_database(database_url, pool_size=40)
    yield pools
    pools.close()


@pytest.fixture(scope="session")
def emptying(database_url: str) -> Iterator[Emptying]:
    """Return the helper that empties that database, for a test that does this in its middle."""
    emptying = Emptying(database_url)
    yield emptying
    emptying.close()


@pytest.fixture
def database(_pools: Database, emptying: Emptying) -> Database:
    """Return an empty database."""
    emptying.run()
    # A test may have ended connections from outside; the first failure renews the whole pool.
    with suppress(ConnectionLost), _pools.begin() as conn:
        conn.execute(text("SELECT 1"))
    return _pools


@pytest.fixture(scope="session")
def migrated(_databases: tuple[str, str]) -> Migrated:
    """Return a factory of migrated databases for one test: copying a template is much cheaper."""
    url, template = _databases
    return lambda: new_database(url, template)


@pytest.fixture(scope="session")
def schemas(database_url: str) -> Iterator[Schemas]:
    """Return a factory of databases with the schema of an earlier revision."""
    with earlier_schemas(database_url) as made:
        yield made


@pytest.fixture
def own_url(migrated: Migrated) -> Iterator[str]:
    """Yield the URL of a database for one test, so that no other process takes up its leftovers."""
    with migrated() as url:
        yield url
