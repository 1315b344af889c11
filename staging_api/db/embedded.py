"""Adapt the embedded PostgreSQL to this service: its database, and settings in error messages."""

from collections.abc import Iterator
from contextlib import AbstractContextManager, contextmanager
from dataclasses import replace
from pathlib import Path

from staging_api.database_url import normalized
from staging_api.embedded_postgres import server
from staging_api.embedded_postgres.errors import EmbeddedPostgresError, ProgramsNotInstalled
from staging_api.embedded_postgres.server import EmbeddedServer
from staging_api.errors import DatabaseUnusable

_DATABASE = "staging"


@contextmanager
def running(
    home: Path, binaries: Path | None = None, *, durable: bool = True
) -> Iterator[EmbeddedServer]:
    """Run, or join, the embedded PostgreSQL during the block.

    Args:
        home: STAGING_HOME; data is kept in its folder ``postgresql``.
        binaries: STAGING_POSTGRES_BINARIES; by default the programs of the extra ``embedded``.
        durable: False trades safety against a loss of power for speed; for tests only.

    Raises:
        DatabaseUnusable: the server cannot be used; says why, and which setting to change.
    """
    with _settings_named():
        found = server.acquire(home, binaries, database=_DATABASE, durable=durable)
    try:
        yield replace(found, url=normalized(found.url))
    finally:
        found.close()


def starting(home: Path, binaries: Path | None = None) -> AbstractContextManager[None]:
    """Start the embedded PostgreSQL in the background, while the block runs up to its first use.

    Nothing is made, raised or waited for here: `running` does that. If the block does not use the
    server that was started for it, the server stops after the block.

    Args:
        home: STAGING_HOME.
        binaries: STAGING_POSTGRES_BINARIES.
    """
    return server.starting(home, binaries, database=_DATABASE)


def was_made(home: Path) -> bool:
    """Return whether an embedded PostgreSQL has ever run for this STAGING_HOME."""
    return (home / server.DATA_FOLDER).exists()


def find_binaries() -> Path:
    """Return the folder of PostgreSQL's programs that the extra ``embedded`` installs.

    Raises:
        DatabaseUnusable: the extra is not installed.
    """
    with _settings_named():
        return server.find_binaries()


@contextmanager
def _settings_named() -> Iterator[None]:
    """Translate an error of the embedded server, naming the settings that help."""
    try:
        yield
    except ProgramsNotInstalled as error:
        raise DatabaseUnusable(
            f"{error}: run pip install 'staging_api[embedded]', or set STAGING_DATABASE_URL to a"
            " PostgreSQL of your own"
        ) from error
    except EmbeddedPostgresError as error:
        raise DatabaseUnusable(
            f"{error}; its folder is in STAGING_HOME, and STAGING_DATABASE_URL names a PostgreSQL"
            " of your own instead"
        ) from error
