"""The processes of the service: the API, and a worker.

What if one dies? Its locks run out and its work is taken up again (see `staging.service`). An API
worker: gunicorn starts another.
"""

import logging
import os
import threading
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager, suppress
from typing import Any

from staging_api import logs
from staging_api.db.embedded import running
from staging_api.db.engine import open_database
from staging_api.db.migrate import check_schema, migrate
from staging_api.exhaustion import startup_errors
from staging_api.processes.api_server import ApiServer
from staging_api.processes.bootstrap import build
from staging_api.processes.configuration import (
    ProcessKind,
    check_configuration,
    wait_for_addresses,
)
from staging_api.processes.services import Services
from staging_api.processes.signals import on_stop, stop_with_parent
from staging_api.processes.worker_probes import WorkerProbes
from staging_api.settings import Settings

log = logging.getLogger(__name__)

_NOT_FOR_OTHERS = 0o027


@contextmanager
def database_of(settings: Settings) -> Iterator[Settings]:
    """Settings with a database that is there and has the right schema, for the block.

    Without a URL the embedded server is started, or joined, and migrated.

    Raises:
        DatabaseUnusable: the embedded server cannot be used.
        SchemaOutdated: the database of the URL has an older schema.
        Unavailable: it cannot be reached.
    """
    if settings.database_url:
        database = open_database(settings.database_url, 1)
        try:
            check_schema(database)
        finally:
            database.close()
        yield settings
        return
    with running(settings.home, settings.postgres_binaries) as server:
        migrate(server.url)
        yield settings.model_copy(update={"database_url": server.url})


def run_api(settings: Settings) -> None:
    """Serve the API until a signal stops it; does not return.

    Raises:
        Invalid: a setting is wrong.
    """
    keep_from_others()
    ApiServer(settings).run()


def keep_from_others() -> None:
    """Let only this user and its group (a web server in front, say) read files that are made.

    What is staged is served to those who may read it; other users of the machine may not.
    """
    os.umask(os.umask(_NOT_FOR_OTHERS) | _NOT_FOR_OTHERS)


def run_worker(settings: Settings) -> None:
    """Work until a signal stops it, and then at most ``STAGING_SHUTDOWN_SECONDS`` longer.

    Jobs in the middle of an artifact may finish it; locks of unfinished ones are released.
    """
    keep_from_others()
    services = build(settings)
    worker = services.worker()
    if settings.worker_bind:
        with startup_errors():
            WorkerProbes(settings.worker_bind, services.worker_probes(worker)).start()

    def stop() -> None:
        services.drain.begin()
        give_back_in = services.locks.shutdown.begin(settings.shutdown_seconds)
        worker.stop()
        last = threading.Timer(give_back_in, _end_at_once, [services])
        last.daemon = True
        with suppress(RuntimeError):  # no thread is to be had: leases that hang run out
            last.start()

    on_stop(stop)
    log.info("worker %s works on %d stagings at once", services.locks.holder, settings.worker_jobs)
    try:
        with services.renewal().running():
            worker.run()
    finally:
        services.close()
    log.info("worker %s stopped", services.locks.holder)


def _end_at_once(services: Services) -> None:
    """The way out past threads that hang in a read: their leases are released, they are not."""
    log.warning("work did not stop in time; its locks are given back")
    services.locks.release_all()
    os._exit(0)


def run_process(
    run: Callable[[Settings], None], kind: ProcessKind, *, with_parent: bool, **chosen: Any
) -> None:
    """Run one kind of process with its database and logs, if its settings can work.

    Raises:
        Invalid: they cannot; nothing was started.
        AddressTaken: another program listens at one of its addresses.
        Unavailable: the database or the system refuses what it needs to start.
    """
    settings = Settings.from_env(**chosen)
    check_configuration(settings, kind)
    wait_for_addresses(settings, kind)
    logs.configure(settings.log_format)
    with ExitStack() as uses:
        with startup_errors():
            if with_parent:
                stop_with_parent()
            ready = uses.enter_context(database_of(settings))
        run(ready)
