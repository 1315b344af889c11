"""gunicorn with our settings: its processes, how they end, and what they let a client do.

gunicorn runs threads (`gthread`): its worker's heart beats beside the requests, so a request may
take as long as its staging takes, and `timeout` ends only a worker that hangs as a whole.

SIGTERM first turns `/readyz`, and the server goes on for ``STAGING_DRAIN_SECONDS``: until the load
balancers have noticed, requests still come. Only then the listening socket is closed and running
requests have ``STAGING_SHUTDOWN_SECONDS`` to end (`staging_api.shutdown`). A second SIGTERM does
not wait.

What if it dies? A process: gunicorn starts another. The parent: the processes see it and end.
"""

import signal
import threading
from collections.abc import Mapping
from contextlib import suppress
from types import FrameType
from typing import Any

from gunicorn import util  # type: ignore[import-untyped]  # has no types
from gunicorn.app.base import BaseApplication  # type: ignore[import-untyped]  # has no types
from gunicorn.glogging import Logger  # type: ignore[import-untyped]  # has no types
from gunicorn.http.errors import (  # type: ignore[import-untyped]  # has no types
    LimitRequestHeaders,
    LimitRequestLine,
)
from gunicorn.workers.gthread import ThreadWorker  # type: ignore[import-untyped]  # has no types
from prometheus_client.multiprocess import mark_process_dead

from staging_api import logs
from staging_api.bootstrap import Services, build
from staging_api.http.problems import refused_before_read
from staging_api.settings import Settings
from staging_api.shutdown import Drain
from staging_api.slow_clients import SlowClients, TimedAnswers, TimedBody

# gunicorn's own lines go where ours go, once.
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
_KEEPALIVE_SECONDS = 15
# gunicorn reads so much of a body that the application refused, and then closes the connection
# unannounced: a client that sent more is told beforehand, and begins its next request on another.
_READ_TO_THE_END = 32 << 10
# Tokens of identity providers can be long; nothing else in a request's head is.
_LONGEST_HEADER = 16 << 10
_MOST_HEADERS = 64
_LONGEST_REQUEST_LINE = 4094
_TOO_LONG: Mapping[type[Exception], tuple[int, str]] = {
    LimitRequestLine: (414, "the request line is too long"),
    LimitRequestHeaders: (431, "the headers are too long, or too many"),
}


class ApiServer(BaseApplication):  # type: ignore[misc]
    """The parent process; each child builds its own services after the fork."""

    def __init__(self, settings: Settings) -> None:
        """Nothing is shared between processes but the listening socket and the `drain`."""
        self.settings = settings
        self.drain = Drain()
        self.services: Services | None = None
        super().__init__()

    def load_config(self) -> None:
        """Translate our settings into gunicorn's."""
        settings = self.settings
        for name, value in {
            "bind": settings.bind,
            "worker_class": _Process,
            "workers": settings.workers,
            "threads": settings.threads,
            "worker_connections": settings.threads * 8,
            "keepalive": _KEEPALIVE_SECONDS,
            "limit_request_line": _LONGEST_REQUEST_LINE,
            "limit_request_fields": _MOST_HEADERS,
            "limit_request_field_size": _LONGEST_HEADER,
            "timeout": 60,
            "graceful_timeout": int(settings.shutdown_seconds),
            "control_socket_disable": True,
            "logconfig_dict": _GUNICORN_LOGS,
            "logger_class": _Lines,
            "when_ready": self._when_ready,
            "worker_exit": lambda _server, _worker: self._close(),
            "child_exit": lambda _server, worker: mark_process_dead(worker.pid),  # type: ignore[no-untyped-call]
        }.items():
            self.cfg.set(name, value)

    def load(self) -> Any:
        """Build the services of one process."""
        self.services = build(self.settings, self.drain)
        return self.services.wsgi()

    def _when_ready(self, arbiter: Any) -> None:
        logs.configure(self.settings.log_format)

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


class _Lines(Logger):  # type: ignore[misc]
    """gunicorn's lines about itself; of requests, only ours tell."""

    def access(self, *_about: object) -> None:
        """Gather nothing: to find all that a line might say takes 20 us a request."""


class _Process(ThreadWorker):  # type: ignore[misc]
    """A child: tells its services when it ends, and lets go of its connections before."""

    app: ApiServer
    slow: SlowClients
    wsgi: Any

    def init_process(self) -> None:
        """Begin, after the fork."""
        settings = self.app.settings
        self.slow = SlowClients(settings.client_seconds, settings.client_bytes_per_second)
        super().init_process()

    def load_wsgi(self) -> None:
        """Build the application; its answers have to be taken in time."""
        super().load_wsgi()
        self.wsgi = TimedAnswers(self.wsgi, self.slow)

    def handle(self, conn: Any) -> Any:
        """Read a request and answer it; its head has to come in time."""
        self.slow.limit_answers(conn.sock)
        self.slow.begin(conn.sock)
        try:
            return super().handle(conn)
        finally:
            self.slow.end(conn.sock)

    def handle_exit(self, sig: int, frame: FrameType | None) -> None:
        """SIGTERM from the parent: end in good order."""
        services = self.app.services
        if services is not None and not services.locks.shutdown.begun:
            give_back_in = services.locks.shutdown.begin(self.app.settings.shutdown_seconds)
            last = threading.Timer(give_back_in, services.locks.give_back)
            last.daemon = True
            last.start()
        super().handle_exit(sig, frame)

    def handle_error(self, req: Any, client: Any, addr: Any, exc: Exception) -> None:
        """Answer what is too long to be a request as everything else is answered."""
        refused = next((told for kind, told in _TOO_LONG.items() if isinstance(exc, kind)), None)
        if refused is None:
            super().handle_error(req, client, addr, exc)
            return
        with suppress(OSError):
            util.write(client, refused_before_read(*refused))

    def handle_request(self, req: Any, conn: Any) -> Any:
        """Answer a request; the last one of its connection once the pod drains."""
        self.slow.end(conn.sock)
        length = next((int(v) for k, v in req.headers if k == "CONTENT-LENGTH"), 0)
        req.body = TimedBody(req.body, conn.sock, self.slow, length)
        if self.app.drain.begun:
            self.cfg.set("keepalive", 0)
        if _body_length(req) > _READ_TO_THE_END:
            req.force_close()
        return super().handle_request(req, conn)


def _body_length(req: Any) -> int:
    """What the request says; as gunicorn has checked it."""
    return next((int(value) for name, value in req.headers if name == "CONTENT-LENGTH"), 0)
