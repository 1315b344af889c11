"""A real PostgreSQL for every test that asks for one: migrated once, emptied between tests."""

import os
import signal
from collections.abc import Iterator
from contextlib import contextmanager, nullcontext

import pytest
from hypothesis import HealthCheck, settings
from sqlalchemy import make_url, text

from staging_api.database_url import normalized
from staging_api.db.embedded import running
from staging_api.db.engine import Database, open_database
from staging_api.db.migrate import migrate
from staging_api.db.tables import metadata
from staging_api.errors import ConnectionLost
from tests.databases import Migrated, new_database

pytest_plugins = ["tests.suites"]

# Begun in the background of a shell, this process ignores Ctrl-C, and so would all that it starts.
signal.signal(signal.SIGINT, signal.default_int_handler)

# No test is timed: a busy machine must not make one fail. In CI the examples are always the same.
settings.register_profile(
    "ours",
    deadline=None,
    suppress_health_check=[HealthCheck.too_slow],
    derandomize="CI" in os.environ,
)
settings.load_profile("ours")

# With its indexes: a table of which so much was written is made anew.
_LARGE_BYTES = 1 << 20


@pytest.fixture(scope="session")
def _databases(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[str, str]]:
    """The URL of the migrated database, and the name of one to copy, to which nobody connects."""
    with _server(tmp_path_factory) as url:
        migrate(url)
        name = make_url(url).database
        assert name
        with new_database(url, name) as copy:
            template = make_url(copy).database
            assert template
            yield url, template


@contextmanager
def _server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    given = os.environ.get("STAGING_TEST_DATABASE_URL")
    if given:
        several = "PYTEST_XDIST_WORKER" in os.environ
        given = normalized(given)
        with new_database(given) if several else nullcontext(given) as url:
            yield url
        return
    with running(tmp_path_factory.mktemp("postgres"), durable=False) as server:
        yield server.url


@pytest.fixture(scope="session")
def database_url(_databases: tuple[str, str]) -> str:
    """A migrated database: that of STAGING_TEST_DATABASE_URL, or an embedded one for this run.

    Tests empty it; so where several processes run them, each makes its own beside the given one.
    """
    return _databases[0]


@pytest.fixture(scope="session")
def _pools(database_url: str) -> Iterator[Database]:
    pools = open_database(database_url, pool_size=40)
    yield pools
    pools.close()


@pytest.fixture
def database(_pools: Database) -> Database:
    """An empty database."""
    try:
        empty(_pools)
    except ConnectionLost:
        # A test has ended connections from outside; now all are made anew.
        empty(_pools)
    return _pools


@pytest.fixture(scope="session")
def migrated(_databases: tuple[str, str]) -> Migrated:
    """Makes migrated databases that no other test uses: copies of one, which is much cheaper."""
    url, template = _databases
    return lambda: new_database(url, template)


@pytest.fixture
def own_url(migrated: Migrated) -> Iterator[str]:
    """A database of one test: no process of another takes up what is left in it."""
    with migrated() as url:
        yield url


def empty(database: Database) -> None:
    """Forget every row, as before the first request, once no session has a transaction open.

    To truncate every table takes a hundred times as long as to delete the rows of a test.
    """
    names = [table.name for table in metadata.sorted_tables]
    used = " UNION ALL ".join(
        f"SELECT '{name}', pg_total_relation_size('{name}') > {_LARGE_BYTES}"
        f" WHERE EXISTS (SELECT FROM {name})"
        for name in names
    )
    with database.begin() as conn:
        # A superuser's way past the trigger that keeps the record of events, and foreign keys.
        conn.execute(text("SET LOCAL session_replication_role = 'replica'"))
        conn.execute(text(f"LOCK TABLE {', '.join(names)}"))
        for name, is_large in conn.execute(text(used)).all():
            conn.execute(text(f"TRUNCATE {name} CASCADE" if is_large else f"DELETE FROM {name}"))
