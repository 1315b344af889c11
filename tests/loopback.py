"""The HTTP server of tests: a thread for each connection, however many come at once."""

from http.server import ThreadingHTTPServer


class LoopbackServer(ThreadingHTTPServer):
    """One that a crowd can reach at once.

    Beyond the usual five that wait to be accepted the kernel drops connections, and each tries
    again after 1, 2, 4, ... seconds.
    """

    request_queue_size = 256
