"""The processes of the service: the API, a worker, and both together.

What if it dies? `serve` itself, by any signal: its children see their standard input end, and stop
as if told to. A child: it is started again. An API worker: gunicorn starts another. In each case
the locks of the dead run out and their work is taken up again (see `staging.service`).
"""

import logging
import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from socketserver import ThreadingMixIn
from typing import Any
from wsgiref.simple_server import WSGIRequestHandler, WSGIServer, make_server

from staging_api import logs
from staging_api.api_server import ApiServer
from staging_api.bootstrap import Services, build
from staging_api.configuration import Part, check_configuration
from staging_api.db.embedded import running
from staging_api.db.engine import open_database
from staging_api.db.migrate import check_schema, migrate
from staging_api.settings import Settings

log = logging.getLogger(__name__)

_RESTART_SECONDS = 1.0
_NOT_FOR_OTHERS = 0o027
#: How a process ends that cannot work with its settings; see ``cli/exits.py``.
REFUSED_STATUS = 4


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
    """Serve the API until told to stop; does not return.

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
    """Work until told to stop, and then at most ``STAGING_SHUTDOWN_SECONDS`` longer.

    What is in the middle of an artifact may finish it; what is not done in time is given back.
    """
    keep_from_others()
    services = build(settings)
    worker = services.worker()

    def stop() -> None:
        services.drain.begin()
        give_back_in = services.locks.shutdown.begin(settings.shutdown_seconds)
        last = threading.Timer(give_back_in, _end_at_once, [services])
        last.daemon = True
        last.start()
        worker.stop()

    _on_stop(stop)
    if settings.worker_bind:
        _serve_probes(settings.worker_bind, services.worker_probes(worker))
    log.info("worker %s works on %d stagings at once", services.locks.holder, settings.worker_jobs)
    try:
        with services.renewal().running():
            worker.run()
    finally:
        services.close()
    log.info("worker %s stopped", services.locks.holder)


def _serve_probes(bind: str, app: Callable[..., Any]) -> None:
    """Answer probes from a thread: a few small requests a minute need no server of their own."""
    host, _, port = bind.rpartition(":")
    server = make_server(host, int(port), app, _Probes, _Silent)
    threading.Thread(target=server.serve_forever, name="probes", daemon=True).start()


class _Probes(ThreadingMixIn, WSGIServer):
    daemon_threads = True


class _Silent(WSGIRequestHandler):
    def log_message(self, format: str, *args: object) -> None:  # noqa: A002 - its name there
        """Say nothing: a line a probe would bury all others."""


def _end_at_once(services: Services) -> None:
    """The way out past threads that hang in a read: their leases are released, they are not."""
    log.warning("work did not stop in time; its locks are given back")
    services.locks.give_back()
    os._exit(0)


@dataclass
class Children:
    """Programs that run as long as this one, each started again should it end.

    One that refuses its settings would do so each time: then all of them end, and so does this.
    """

    commands: Sequence[Sequence[str]]
    _running: dict[int, "subprocess.Popen[bytes]"] = field(default_factory=dict)
    _stopping: threading.Event = field(default_factory=threading.Event)
    _refused: bool = False

    def run(self) -> None:
        """Run them until a signal says stop, then stop them all and wait."""
        _on_stop(self._stopping.set)
        try:
            while not self._stopping.wait(0.2):
                for number, command in enumerate(self.commands):
                    self._keep(number, command)
        finally:
            for child in self._running.values():
                child.terminate()
            for child in self._running.values():
                child.wait()
        if self._refused:
            raise SystemExit(REFUSED_STATUS)

    def _keep(self, number: int, command: Sequence[str]) -> None:
        child = self._running.get(number)
        if child is not None:
            if child.poll() is None:
                return
            if child.returncode == REFUSED_STATUS:
                self._refused = True
                self._stopping.set()
                return
            log.warning(
                "%s ended with status %s; it is started again", command[-2], child.returncode
            )
            time.sleep(_RESTART_SECONDS)
        # The pipe says nothing: its end tells the child that this process is gone.
        self._running[number] = subprocess.Popen(command, stdin=subprocess.PIPE)


def _on_stop(stop: Callable[[], None]) -> None:
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, lambda *_: stop())


def child_command(verb: str) -> list[str]:
    """The command that runs one of our verbs as a child of `Children`."""
    return [sys.executable, "-m", "staging_api", verb, "--with-parent"]


def stop_with_parent() -> None:
    """Stop this process, as by SIGTERM, when the parent's end of standard input is closed."""

    def watch() -> None:
        while os.read(0, 4096):
            pass
        os.kill(os.getpid(), signal.SIGTERM)

    threading.Thread(target=watch, name="parent-watch", daemon=True).start()


def in_child(
    run: Callable[[Settings], None], part: Part, *, with_parent: bool, **chosen: Any
) -> None:
    """Run one kind of process with its database and logs, if its settings can work.

    Raises:
        Invalid: they cannot; nothing was started.
    """
    settings = Settings.from_env(**chosen)
    check_configuration(settings, part)
    logs.configure(settings.log_format)
    if with_parent:
        stop_with_parent()
    with database_of(settings) as ready:
        run(ready)
