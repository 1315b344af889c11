"""The server of a worker's probes, on their own address; a worker serves nothing else.

As in a process of the API, one thread polls the connections and reads the heads of requests, and
each probe has a thread of its own. So incomplete heads occupy no thread, and a probe that hangs, or
whose response is not read, delays no other.

What if the polling thread dies? It begins again after an error. If it has ended for good, no probe
is answered, and kubelet ends the process; its locks expire, and its work is resumed elsewhere.
"""

import logging
from collections.abc import Callable
from functools import partial
from typing import Any

from gunicorn.config import Config  # type: ignore[import-untyped]  # has no types
from gunicorn.http import get_parser  # type: ignore[import-untyped]  # has no types
from gunicorn.http.wsgi import create  # type: ignore[import-untyped]  # has no types

from staging_api.background import BackgroundThread
from staging_api.processes.api_worker import PROBES
from staging_api.processes.listening import listener
from staging_api.processes.request_heads import Connection, ConnectionLimits, RequestHeads
from staging_api.processes.request_threads import RequestThreads
from staging_api.processes.slow_clients import SlowClients, TimedAnswers

log = logging.getLogger(__name__)

# For a probe's head, which is one small packet.
_HEAD_SECONDS = 5.0
# kubelets, load balancers, Prometheus; above this, the oldest incomplete head is closed.
_MOST_CONNECTIONS = 256
_LEAST_BYTES_PER_SECOND = 16 << 10
_TURN_SECONDS = 1.0


class WorkerProbes:
    """A server of one small application, for as long as its process lives."""

    def __init__(self, bind: str, app: Callable[..., Any]) -> None:
        """Listen at the address.

        Args:
            bind: ``address:port`` or ``unix:/path``.
            app: the WSGI application.

        Raises:
            OSError: the address cannot be listened on.
        """
        slow = SlowClients(_HEAD_SECONDS, _LEAST_BYTES_PER_SECOND)
        self._slow = slow
        self._app = TimedAnswers(app, slow)
        self._cfg = Config()
        self._threads = {path: RequestThreads(1, 0) for path in PROBES}
        self._heads = RequestHeads(
            ConnectionLimits(_HEAD_SECONDS, _HEAD_SECONDS, _MOST_CONNECTIONS),
            self._dispatch,
            all_dispatched=lambda: None,
        )
        self._heads.listen(listener(bind), for_probes=True)
        self._thread = BackgroundThread("worker-probes", self._run)

    def start(self) -> None:
        """Start the threads that answer probes.

        Raises:
            RuntimeError: the system refuses a thread of a probe.
            Unavailable: the system refuses another thread.
        """
        for threads in self._threads.values():
            threads.start()
        self._slow.start()
        self._thread.ensure()

    def _run(self) -> None:
        while True:
            self._heads.turn(_TURN_SECONDS)

    def _dispatch(self, connection: Connection) -> None:
        threads = self._threads.get(connection.path, self._threads[PROBES[0]])
        threads.submit(partial(self._serve, connection))

    def _serve(self, connection: Connection) -> None:
        self._slow.limit_answers(connection.sock)
        try:
            self._answer(connection)
        except Exception as error:  # noqa: BLE001 - its connection is closed, whatever it sent
            log.debug("a probe was not answered: %r", error)
        finally:
            self._slow.end(connection.sock)
            self._heads.done(connection, keep=False)

    def _answer(self, connection: Connection) -> None:
        parser = get_parser(self._cfg, connection.sock, connection.address)
        parser.unreader.unread(bytes(connection.head))
        resp, environ = create(
            next(parser), connection.sock, connection.address, connection.server, self._cfg
        )
        resp.force_close()
        body = self._app(environ, resp.start_response)
        for part in body:
            resp.write(part)
        resp.close()
