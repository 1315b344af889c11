"""The API server: gunicorn with the settings of the service.

A process (`api_worker`) answers requests in threads, and its heartbeat runs beside the requests. So
a request may take as long as its staging takes; gunicorn's `timeout` ends only a process that hangs
as a whole.

On SIGTERM, `/readyz` fails first, while the server goes on for ``STAGING_DRAIN_SECONDS``: until the
load balancers have noticed, requests still arrive. Only then every process closes the listening
socket, so that new connections are refused at once, and running requests have
``STAGING_SHUTDOWN_SECONDS`` to end (`staging_api.shutdown`). A second SIGTERM skips the drain.

What if a process dies? gunicorn starts another. What if the parent dies? Its processes notice, and
end.
"""

import logging
import os
import signal
import time
from types import FrameType
from typing import Any

from gunicorn.app.base import BaseApplication  # type: ignore[import-untyped]  # has no types
from gunicorn.arbiter import Arbiter  # type: ignore[import-untyped]  # has no types
from gunicorn.glogging import Logger  # type: ignore[import-untyped]  # has no types
from prometheus_client.multiprocess import mark_process_dead

from staging_api import logs
from staging_api.http.probe_apps import create_probes
from staging_api.processes.api_worker import (
    LONGEST_HEADER,
    LONGEST_REQUEST_LINE,
    MOST_HEADERS,
    ApiWorker,
)
from staging_api.processes.application import wsgi_of
from staging_api.processes.bootstrap import build
from staging_api.processes.run import keep_from_others, prepare_forks
from staging_api.processes.services import Services
from staging_api.settings import Settings
from staging_api.shutdown import Drain

log = logging.getLogger(__name__)

# Pause between two attempts to start a process.
_PAUSE_SECONDS = 1.0
# gunicorn's own log lines go to the handlers of the service, once.
_GUNICORN_LOGS = {
    "version": 1,
    "disable_existing_loggers": False,
    "root": {"level": "INFO", "handlers": []},
    "loggers": {
        "gunicorn.error": {"level": "INFO", "handlers": [], "propagate": True},
    },
    "handlers": {},
    "formatters": {},
}


def run_api(settings: Settings) -> None:
    """Serve the API until a signal stops it; does not return.

    Raises:
        Invalid: a setting is wrong.
    """
    keep_from_others()
    prepare_forks()
    ApiServer(settings).run()


class ApiServer(BaseApplication):  # type: ignore[misc]
    """gunicorn's parent process; each child builds its own services after the fork."""

    def __init__(self, settings: Settings) -> None:
        """Create the `drain`; the processes share only this and the listening socket."""
        self.settings = settings
        self.drain = Drain()
        self.services: Services | None = None
        super().__init__()

    def load_config(self) -> None:
        """Translate the settings of the service into gunicorn's."""
        settings = self.settings
        for name, value in {
            # The address of the probes comes last; the processes recognize it by that position.
            "bind": [*settings.bind.split(","), *filter(None, [settings.probes_bind])],
            "worker_class": ApiWorker,
            "workers": settings.workers,
            # By default, gunicorn takes these headers from local clients: any program of this
            # machine could rewrite the path of its request.
            "forwarder_headers": "",
            "limit_request_line": LONGEST_REQUEST_LINE,
            "limit_request_fields": MOST_HEADERS,
            "limit_request_field_size": LONGEST_HEADER,
            "timeout": 60,
            "graceful_timeout": int(settings.shutdown_seconds),
            "control_socket_disable": True,
            "logconfig_dict": _GUNICORN_LOGS,
            "logger_class": _GunicornLogger,
            "when_ready": self._when_ready,
            # On SIGHUP gunicorn configures its own logging again, which removes the handlers set
            # here.
            "on_reload": lambda _arbiter: logs.configure(self.settings.log_format),
            "worker_exit": lambda _server, _worker: self._close(),
            "child_exit": lambda _server, worker: mark_process_dead(worker.pid),  # type: ignore[no-untyped-call]
        }.items():
            self.cfg.set(name, value)

    def load(self) -> Any:
        """Build the services of one process."""
        self.services = build(self.settings, self.drain)
        return wsgi_of(self.services)

    def probes(self) -> Any:
        """Return the application for the probes' address, over the services of this process."""
        if self.services is None:
            raise AssertionError("called before `load`")
        return create_probes(self.services.probes)

    def run(self) -> None:
        """Run the parent process; does not return."""
        _Parent(self).run()

    def _when_ready(self, arbiter: Any) -> None:
        logs.configure(self.settings.log_format)
        if address := address_of_pages(self.settings):
            log.info("open %s in a browser to see what goes on", address)

        def terminate(_number: int, frame: FrameType | None) -> None:
            seconds = 0.0 if self.drain.begun else self.settings.drain_seconds
            self.drain.begin()
            if seconds:
                signal.setitimer(signal.ITIMER_REAL, seconds)
            else:
                arbiter.signal(signal.SIGTERM, frame)

        signal.signal(signal.SIGTERM, terminate)
        signal.signal(signal.SIGALRM, terminate)

    def _close(self) -> None:
        if self.services is not None:
            self.services.close()
        logs.flush()


def address_of_pages(settings: Settings) -> str:
    """Return the URL of the dashboard; empty if there is none, or only behind a Unix socket."""
    first = settings.bind.partition(",")[0]
    if not settings.dashboard or first.startswith("unix:"):
        return ""
    return (settings.public_url or f"http://{first}").rstrip("/") + "/"


class _Parent(Arbiter):  # type: ignore[misc]
    """gunicorn's parent, which without this class ends all processes if a fork is refused."""

    def spawn_worker(self) -> Any:
        """Start a process; if the system refuses the fork, the next turn of the loop tries again.

        In the new process this never returns: the frames further up the stack belong to the parent.
        If they were unwound here, they would remove the metrics folder and release the database,
        which other processes still use.
        """
        parent = os.getpid()
        try:
            return super().spawn_worker()
        except OSError as error:
            self.log.error("no process can be started: %s", error)  # noqa: TRY400 - one line says it
            time.sleep(_PAUSE_SECONDS)
        except SystemExit as ended:
            if os.getpid() == parent:
                raise
            logs.flush()
            os._exit(ended.code if isinstance(ended.code, int) else 1)


class _GunicornLogger(Logger):  # type: ignore[misc]
    """gunicorn's log lines about itself; the API logs the requests."""

    def access(self, *_about: object) -> None:
        """Gather nothing: collecting all fields of an access log line takes 20 us a request."""
