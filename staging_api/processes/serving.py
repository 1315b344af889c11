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
from contextlib import ExitStack, contextmanager, suppress
from dataclasses import dataclass, field
from typing import Any

from staging_api import logs
from staging_api.db.embedded import running
from staging_api.db.engine import open_database
from staging_api.db.migrate import check_schema, migrate
from staging_api.exhaustion import startup_errors
from staging_api.processes.api_server import ApiServer
from staging_api.processes.bootstrap import Services, build
from staging_api.processes.configuration import Part, check_configuration, wait_for_addresses
from staging_api.processes.worker_probes import WorkerProbes
from staging_api.settings import Settings

log = logging.getLogger(__name__)

_RESTART_SECONDS = 1.0
_LONGEST_PAUSE_SECONDS = 30.0
# So long a life is no failure to start.
_LONG_LIFE_SECONDS = 30.0
_NOT_FOR_OTHERS = 0o027
#: How a process ends that cannot work with its settings, or whose address another program has; see
#: ``cli/exits.py``.
REFUSED_STATUS, TAKEN_STATUS = 4, 9
_FINAL_STATUSES = frozenset({REFUSED_STATUS, TAKEN_STATUS})


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

    _on_stop(stop)
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


@dataclass
class _Life:
    """One run of a child's program, and when the next one begins should it end."""

    process: "subprocess.Popen[bytes]"
    began_at: float
    pause_seconds: float
    again_at: float | None = None


@dataclass
class Children:
    """Programs that run as long as this one, each started again should it end.

    One that cannot work as things are would end each time: then all of them end, and so does this,
    with the same status. One that ends soon after its start for another reason is started again
    after a pause, which grows each time.
    """

    commands: Sequence[Sequence[str]]
    _lives: dict[int, _Life] = field(default_factory=dict)
    _stopping: threading.Event = field(default_factory=threading.Event)
    _status: int = 0

    def run(self) -> None:
        """Run them until a signal says stop, then stop them all and wait.

        Raises:
            SystemExit: one of them cannot work; with its status.
        """
        _on_stop(self._stopping.set)
        try:
            while not self._stopping.wait(0.2):
                for number, command in enumerate(self.commands):
                    self._keep(number, command)
        finally:
            for life in self._lives.values():
                life.process.terminate()
            for life in self._lives.values():
                life.process.wait()
        if self._status:
            raise SystemExit(self._status)

    def _keep(self, number: int, command: Sequence[str]) -> None:
        life = self._lives.get(number)
        if life is None:
            self._start(number, command, _RESTART_SECONDS)
        elif life.again_at is not None:
            if time.monotonic() >= life.again_at:
                self._start(number, command, life.pause_seconds)
        elif life.process.poll() is not None:
            self._note_end(life, command)

    def _start(self, number: int, command: Sequence[str], pause_seconds: float) -> None:
        # The pipe says nothing: its end tells the child that this process is gone.
        process = subprocess.Popen(command, stdin=subprocess.PIPE)
        self._lives[number] = _Life(process, time.monotonic(), pause_seconds)

    def _note_end(self, life: _Life, command: Sequence[str]) -> None:
        status = life.process.returncode
        if life.process.stdin is not None:
            life.process.stdin.close()
        if status in _FINAL_STATUSES:
            self._status = status
            self._stopping.set()
            return
        now, pause = time.monotonic(), life.pause_seconds
        is_late = now - life.began_at >= _LONG_LIFE_SECONDS
        if is_late:
            pause = _RESTART_SECONDS
        log.warning(
            "%s ended with status %s; it is started again in %.0f s", command[-2], status, pause
        )
        life.again_at = now + pause
        life.pause_seconds = pause if is_late else min(2 * pause, _LONGEST_PAUSE_SECONDS)


def _on_stop(stop: Callable[[], None]) -> None:
    """Run it in a thread of its own, once for each SIGTERM or SIGINT.

    A handler would run it in the middle of whatever the main thread does, which may hold the very
    lock that `threading.Event.set` or a thread's start needs, and then nothing would ever stop.
    """
    reading, writing = os.pipe()
    os.set_blocking(writing, False)
    numbers = {signal.SIGTERM, signal.SIGINT}

    def watch() -> None:
        while got := os.read(reading, 1):
            if got[0] in numbers:
                stop()

    threading.Thread(target=watch, name="signals", daemon=True).start()
    # The interpreter's own handler writes the signal's number there.
    signal.set_wakeup_fd(writing, warn_on_full_buffer=False)
    for number in numbers:
        signal.signal(number, lambda *_: None)


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
        AddressTaken: another program listens at one of its addresses.
        Unavailable: the database or the system refuses what it needs to start.
    """
    settings = Settings.from_env(**chosen)
    check_configuration(settings, part)
    wait_for_addresses(settings, part)
    logs.configure(settings.log_format)
    with ExitStack() as uses:
        with startup_errors():
            if with_parent:
                stop_with_parent()
            ready = uses.enter_context(database_of(settings))
        run(ready)
