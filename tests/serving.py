"""The API of a bench, served on loopback by threads of the test's own process."""

import threading
from collections.abc import Iterator
from contextlib import contextmanager
from socketserver import ThreadingMixIn
from wsgiref.simple_server import WSGIRequestHandler, WSGIServer, make_server

from staging_api.http.app import create_app
from staging_api.shutdown import Shutdown
from staging_api.staging.watch import Watch
from tests.parts import parts_of
from tests.stagings import Bench


class Server(ThreadingMixIn, WSGIServer):
    """Server with one thread for each connection."""

    daemon_threads = True
    request_queue_size = 64


class Quiet(WSGIRequestHandler):
    """Request handler without a log."""

    def log_message(self, *_: object) -> None:
        """Write nothing."""


@contextmanager
def serving(at: Bench, waiter_slots: int = 4, wait_cap_seconds: float = 20.0) -> Iterator[str]:
    """Serve the API of this bench; on exit wait until every stream has ended."""
    free = threading.BoundedSemaphore(waiter_slots) if waiter_slots else threading.Semaphore(0)
    watch = Watch(at.database, free, Shutdown())
    app = create_app(parts_of(at.service, watch, wait_cap_seconds))
    server = make_server("127.0.0.1", 0, app, Server, Quiet)
    thread = threading.Thread(target=server.serve_forever, args=(0.01,))
    thread.start()
    try:
        yield f"http://127.0.0.1:{server.server_port}"
    finally:
        watch.close()
        server.shutdown()
        server.server_close()
        thread.join()
