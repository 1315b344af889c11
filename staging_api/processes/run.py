"""Start of every process of the service: checked settings, logs, and a database.

What if a process dies? Its locks expire and its work is resumed elsewhere (see `staging.service`).
gunicorn starts another API worker.
"""

import gc
import logging
import os
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, ExitStack, contextmanager
from typing import Any

from staging_api import about, logs
from staging_api.db.embedded import running, was_made
from staging_api.db.engine import open_database
from staging_api.db.migrate import check_schema, migrate
from staging_api.errors import DatabaseUnusable
from staging_api.exhaustion import startup_errors
from staging_api.processes.configuration import ProcessKind, check_configuration, wait_for_addresses
from staging_api.processes.signals import stop_with_parent
from staging_api.settings import Settings

log = logging.getLogger(__name__)

_NOT_FOR_OTHERS = 0o027


@contextmanager
def database_of(settings: Settings) -> Iterator[Settings]:
    """Yield settings with a database that answers and has the right schema.

    Without a URL, the embedded server is started, or joined, and migrated.

    Raises:
        DatabaseUnusable: the embedded server cannot be used.
        SchemaOutdated: the database of the URL has an older schema.
        Unavailable: the database cannot be reached.
    """
    if settings.database_url:
        database = open_database(settings.database_url, 1)
        try:
            check_schema(database)
        finally:
            database.close()
        yield settings
        return
    with _checked_database_of(settings) as found:
        migrate(found.database_url)
        yield found


@contextmanager
def known_database_of(settings: Settings) -> Iterator[Settings]:
    """Yield settings as `database_of` does, for verbs that need an existing database.

    Raises:
        DatabaseUnusable: there is no URL, and no service ever ran with this STAGING_HOME.
    """
    if not settings.database_url and not was_made(settings.home):
        raise DatabaseUnusable(
            f"there is no database in {settings.home}: set STAGING_DATABASE_URL, or STAGING_HOME,"
            " as for the service"
        )
    with database_of(settings) as found:
        yield found


def keep_from_others() -> None:
    """Restrict new files to this user and its group (a web server in front, say).

    Callers get staged files by their roles; other users of the machine must not read them.
    """
    os.umask(os.umask(_NOT_FOR_OTHERS) | _NOT_FOR_OTHERS)


def prepare_forks() -> None:
    """Do once what each child would do for itself, so that children share the memory.

    A child that reads the files of the package itself takes 2 MB and 0.05 s of CPU for that.
    """
    about.package_version()
    about.build()
    gc.collect()  # the objects that the check of the configuration built
    gc.freeze()  # pages that the collector does not touch stay shared


def run_process(
    run: Callable[[Settings], None], kind: ProcessKind, *, with_parent: bool, **chosen: Any
) -> None:
    """Run one kind of process with its database and logs, after checking its settings.

    Raises:
        Invalid: a setting is wrong; nothing was made, and no process of the service was started.
        AddressTaken: another program listens at one of the addresses of the process.
        Unavailable: the database does not answer, or the system refuses a thread or file.
    """
    settings = Settings.from_env(**chosen)
    check_configuration(settings, kind)
    wait_for_addresses(settings, kind)
    logs.configure(settings.log_format)
    if with_parent:
        with startup_errors():
            stop_with_parent()
    _run_with(database_of(settings), run)


def run_below(run: Callable[[Settings], None], settings: Settings) -> None:
    """Run in a child of a process that has already checked or migrated the database.

    The child registers its own use of the embedded server: if that server has ended, this starts it
    again.

    Raises:
        DatabaseUnusable: the embedded server cannot be used.
        Unavailable: the database does not answer, or the system refuses a thread or file.
    """
    _run_with(_checked_database_of(settings), run)


@contextmanager
def _checked_database_of(settings: Settings) -> Iterator[Settings]:
    if settings.database_url:
        yield settings
        return
    with running(settings.home, settings.postgres_binaries) as server:
        yield settings.model_copy(update={"database_url": server.url})


def _run_with(database: AbstractContextManager[Settings], run: Callable[[Settings], None]) -> None:
    with ExitStack() as uses:
        with startup_errors():
            ready = uses.enter_context(database)
        run(ready)
