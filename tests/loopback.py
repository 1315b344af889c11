"""HTTP server for tests: one thread for each connection, with a long backlog."""

from http.server import ThreadingHTTPServer


class LoopbackServer(ThreadingHTTPServer):
    """Threaded server that many clients can connect to at the same moment.

    Beyond the usual backlog of five the kernel drops connections, and each client tries
    again after 1, 2, 4, ... seconds.
    """

    request_queue_size = 256
