"""A process that serves the API: gunicorn's parent starts it, this module runs its connections.

gunicorn's own worker with threads (`gthread`) gives a thread to each new connection, which reads
the head of the request there; so incomplete heads occupy all threads, and probes queue behind work.
Here

    RequestHeads      one thread polls all connections, and reads heads
    probe threads     one each for /livez, /readyz and /metrics, on any address
    RequestThreads    all other requests; a waiting request gives its place to another
    OpenStreams       one thread for all connections that only send change notices

gunicorn provides the parent process, and the parser and writer of HTTP. Of its worker class only
the required parts are used: `init_process`, `run` and the signal handlers.

What if this process dies? Its connections end, its locks expire; the parent starts another process.
"""

import errno
import os
import resource
import sys
import threading
import time
from collections.abc import Iterable
from contextlib import suppress
from functools import partial
from types import FrameType
from typing import Any

from gunicorn import util  # type: ignore[import-untyped]  # has no types
from gunicorn.http.errors import (  # type: ignore[import-untyped]  # has no types
    LimitRequestHeaders,
    LimitRequestLine,
    NoMoreData,
    UnsupportedTransferCoding,
)
from gunicorn.workers.base import Worker  # type: ignore[import-untyped]  # has no types

from staging_api import logs
from staging_api.clients import ENVIRON_KEY, ConnectedClient, DisconnectWatcher
from staging_api.errors import StagingApiError
from staging_api.exhaustion import startup_errors
from staging_api.heartbeats.model import ProcessLoad
from staging_api.http.problems import refused_before_read
from staging_api.open_stream import OpenStream
from staging_api.processes.request_heads import Connection, ConnectionLimits, RequestHeads
from staging_api.processes.request_threads import RequestThreads
from staging_api.processes.requests_of_connection import RequestsOfConnection, length_of
from staging_api.processes.slow_clients import SlowClients, TimedAnswers, TimedBody

PROBES = (b"/livez", b"/readyz", b"/metrics")
# Tokens of identity providers can be long; no other part of a request's head is.
LONGEST_HEADER = 16 << 10
MOST_HEADERS = 64
LONGEST_REQUEST_LINE = 4094
IDLE_SECONDS = 15.0
# When SIGTERM comes, a client may be sending its next request already.
_LAST_IDLE_SECONDS = 2.0
_TURN_SECONDS = 1.0
# Pause before the parent may start another process after one that could not start.
_PAUSE_SECONDS = 1.0
# Connections of a process, most of them idle. Files and sources need descriptors, too.
_MOST_CONNECTIONS = 4096
_OTHER_DESCRIPTORS = 512
# Less than a huge page: the kernel would give a whole one to each thread for its first few kB.
_STACK_BYTES = (2 << 20) - (64 << 10)
_CLIENT_IS_GONE = frozenset({errno.EPIPE, errno.ECONNRESET, errno.ENOTCONN, errno.EBADF})
# Time to read the part of a body that the application left, to find the next request behind it.
_REST_SECONDS = 1.0
_OK = 200
# At most this much of a body is read; the response to a longer one announces that the connection
# ends.
_READ_TO_THE_END = 32 << 10


class ApiWorker(Worker):  # type: ignore[misc]
    """gunicorn worker whose connections are polled by one thread."""

    app: Any  # an `ApiServer`, which imports this module
    wsgi: Any

    def init_process(self) -> None:
        """Start, after the fork, the threads needed before the first request; then serve.

        If the system refuses a thread, this process exits, and the parent starts another, which
        tries again. An exception would make the parent end all its processes.
        """
        try:
            with startup_errors():
                self._begin()
        except StagingApiError as error:
            if self.booted:
                raise
            self.log.error("%s", error)  # noqa: TRY400 - one line says it
            time.sleep(_PAUSE_SECONDS)
            sys.exit(1)

    def load_wsgi(self) -> None:
        """Build the applications of the API and of the probes; start the threads that run them."""
        super().load_wsgi()
        self.wsgi = TimedAnswers(self.wsgi, self._slow)
        self._probes = TimedAnswers(self.app.probes(), self._slow)
        for threads in (self._threads, *self._probe_threads.values()):
            threads.start()
        self._disconnects.start()
        self._slow.start()
        logs.write_together()
        if self.app.services is not None:
            streams = self.app.services.changes.streams
            streams.most = min(streams.most, self._heads.limits.most // 2)
            self.app.services.begin_heartbeat(
                "api", self._threads.most, self.app.settings.bind, self._load
            )

    def run(self) -> None:
        """Serve until the parent stops this process, or has ended."""
        last = len(self.sockets) - 1 if self.app.settings.probes_bind else None
        for number, listener in enumerate(self.sockets):
            self._heads.listen(listener, for_probes=number == last)
        notify_at = 0.0
        while self.alive and self.ppid == os.getppid():
            if (now := time.monotonic()) >= notify_at:
                self.notify()
                notify_at = now + _TURN_SECONDS
            self._heads.turn(_TURN_SECONDS)
        self._end()

    def handle_exit(self, sig: int, frame: FrameType | None) -> None:
        """Begin the shutdown on SIGTERM from the parent: release all locks before its deadline."""
        services = self.app.services
        if services is not None and not services.locks.shutdown.begun:
            give_back_in = services.locks.shutdown.begin(self.app.settings.shutdown_seconds)
            last = threading.Timer(give_back_in, services.locks.release_all)
            last.daemon = True
            with suppress(RuntimeError):  # no thread available: the remaining leases expire
                last.start()
        super().handle_exit(sig, frame)
        self._heads.wake()

    def _begin(self) -> None:
        settings = self.app.settings
        threading.stack_size(_STACK_BYTES)
        self._slow = SlowClients(settings.client_seconds, settings.client_bytes_per_second)
        self._threads = RequestThreads(
            settings.threads, settings.waiters + settings.devserver_waiters
        )
        # One thread for each probe on each address: a probe that hangs, or whose response is not
        # read, delays no other.
        self._probe_threads = {
            (at_own_address, path): RequestThreads(1, 0)
            for at_own_address in (True, False)
            for path in PROBES
        }
        self._given_work: set[RequestThreads] = set()
        self._disconnects = DisconnectWatcher()
        limits = ConnectionLimits(settings.client_seconds, IDLE_SECONDS, _most_connections())
        self._heads = RequestHeads(limits, self._dispatch, self._hand_out)
        super().init_process()

    def _load(self) -> ProcessLoad:
        return ProcessLoad(self._threads.running, self._threads.waiting)

    def _end(self) -> None:
        """Refuse new requests, and answer running requests until the deadline."""
        self._heads.stop_listening(idle_seconds=_LAST_IDLE_SECONDS)
        if self.app.services is not None:
            self.app.services.changes.close()
        deadline = time.monotonic() + self.cfg.graceful_timeout
        while self._heads.waited_for and time.monotonic() < deadline:
            self.notify()
            self._heads.turn(0.2)

    def _dispatch(self, connection: Connection) -> None:
        """Give the request whose head is complete to a thread."""
        probes, path = self._probe_threads, connection.path
        if connection.is_for_probes and path not in PROBES:
            path = PROBES[0]  # answered there with 404
        threads = probes.get((connection.is_for_probes, path), self._threads)
        connection.sock.parked = threads.parked
        threads.add(partial(self._serve, connection))
        self._given_work.add(threads)

    def _hand_out(self) -> None:
        while self._given_work:
            self._given_work.pop().hand_out()

    def _serve(self, connection: Connection) -> None:
        keep = False
        try:
            keep = self._answer(connection)
        finally:
            self._slow.end(connection.sock)
            if connection.stream is not None:
                self.app.services.changes.streams.begin(connection.stream)
            else:
                self._heads.done(connection, keep=keep)

    def _answer(self, connection: Connection) -> bool:
        """Answer one request; return whether the connection may have another."""
        sock, req = connection.sock, None
        if connection.requests is None:  # first request of the connection
            self._slow.limit_answers(sock)
            connection.requests = RequestsOfConnection(
                self.cfg, sock, connection.address, connection.server
            )
        try:
            if connection.is_too_long:
                line_ends = b"\n" in connection.head[: LONGEST_REQUEST_LINE + 2]
                _refuse(sock, LimitRequestHeaders if line_ends else LimitRequestLine)
                return False
            received = bytes(connection.head)
            connection.head.clear()
            req = connection.requests.next(received)
            return self._run_application(req, connection) and _reach_next(connection)
        except (StopIteration, NoMoreData):
            self.log.debug("a connection ended")
        except OSError as error:
            if error.errno not in _CLIENT_IS_GONE:
                self.log.exception("an answer could not be sent")
        except (LimitRequestLine, LimitRequestHeaders, UnsupportedTransferCoding) as error:
            _refuse(sock, type(error))
        except Exception as error:  # noqa: BLE001 - whatever it is, the client gets an answer
            self.handle_error(req, sock, connection.address, error)
        return False

    def _run_application(self, req: Any, connection: Connection) -> bool:
        sock = connection.sock
        length = length_of(req)
        req.body = TimedBody(req.body, sock, self._slow, length)
        resp, environ = connection.requests.exchange(req)
        environ["wsgi.multithread"] = True
        client = ConnectedClient(
            sock, self._disconnects, sock.parked, skips_continue=req.version >= (1, 1)
        )
        environ[ENVIRON_KEY] = client

        def start_response(status: str, headers: list[tuple[str, str]], *error: Any) -> Any:
            client.begin_answer()
            if client.left_to is not None:
                resp.force_close()
            return resp.start_response(status, headers, *error)

        # A probe's thread must never wait for a client that has not read the last response.
        is_probe = connection.is_for_probes or req.path.encode("latin-1", "replace") in PROBES
        if is_probe or length > _READ_TO_THE_END or self.app.drain.begun or not self.alive:
            resp.force_close()
        app = self._probes if connection.is_for_probes else self.wsgi
        is_sent = False
        try:
            is_sent = self._send(app(environ, start_response), resp, environ, client)
        finally:
            if client.left_to is not None:
                self._leave(connection, client.left_to, resp, is_sent=is_sent)
        return is_sent and not resp.should_close()

    def _send(
        self, body: Iterable[bytes], resp: Any, environ: Any, client: ConnectedClient
    ) -> bool:
        """Send a response, or the first part of a stream; return False if it broke off."""
        try:
            if isinstance(body, environ["wsgi.file_wrapper"]):
                resp.write_file(body)
            else:
                for part in body:
                    resp.write(part)
            if client.left_to is None:
                resp.close()
        except Exception as error:
            if isinstance(error, OSError) or not resp.headers_sent:
                raise
            # The head is sent, so no error response is possible; the client sees a truncated
            # response.
            self.log.exception("an answer broke off")
            return False
        finally:
            if hasattr(body, "close"):
                body.close()
        return True

    def _leave(
        self, connection: Connection, stream: OpenStream, resp: Any, *, is_sent: bool
    ) -> None:
        """Hand the connection to a stream whose first part is sent."""
        if not is_sent or resp.status_code != _OK:
            self.app.services.changes.streams.refuse(stream)
            return
        given_back = partial(self._heads.done, connection, keep=False)
        stream.connect(connection.sock, chunked=resp.chunked, given_back=given_back)
        connection.stream = stream


def _reach_next(connection: Connection) -> bool:
    """Return whether the connection is positioned at its next request, behind the last body."""
    rest = connection.requests.reach_next(time.monotonic() + _REST_SECONDS)
    if rest is None:
        return False
    connection.head += rest
    return True


def _refuse(sock: Any, reason: type[Exception]) -> None:
    """Send an error response for bytes that are no request, in the format of all other errors."""
    status, detail = 431, "the headers are too long, or too many"
    if reason is LimitRequestLine:
        status, detail = 414, "the request line is too long"
    elif reason is UnsupportedTransferCoding:
        status, detail = 501, "of transfer codings, only chunked is supported"
    with suppress(OSError):
        util.write(sock, refused_before_read(status, detail))


def _most_connections() -> int:
    """Return how many connections the limit of descriptors allows, after raising that limit."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    wanted = _MOST_CONNECTIONS + _OTHER_DESCRIPTORS
    if soft != resource.RLIM_INFINITY and soft < wanted:
        soft = wanted if hard == resource.RLIM_INFINITY else min(wanted, hard)
        resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))
    if soft == resource.RLIM_INFINITY:
        return _MOST_CONNECTIONS
    return max(64, min(_MOST_CONNECTIONS, soft - _OTHER_DESCRIPTORS))
