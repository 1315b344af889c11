"""Proxy before an S3 server that refuses, delays and cuts requests as configured."""

import http.client
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from urllib.parse import urlsplit

_HOP_BY_HOP = {"connection", "transfer-encoding", "content-length", "date", "server"}


@dataclass(frozen=True)
class Fault:
    """Fault of one response.

    Attributes:
        status: respond with this status and an error document, without forwarding; 0: forward.
        code: error code in that document.
        delay: seconds before the response.
        cut: close the connection in the middle of the body.
    """

    status: int = 0
    code: str = ""
    delay: float = 0.0
    cut: bool = False


@dataclass
class FaultyBucket:
    """The proxy: its address, its current fault, and the requests that it received."""

    endpoint: str
    clock_is_ahead_seconds: float = 0.0
    fault_of: Callable[[str, str], Fault | None] = lambda _method, _path: None
    requests: list[tuple[str, str]] = field(default_factory=list)

    def refuse(self, status: int, code: str) -> None:
        """Refuse every request in this way from now on."""
        self.fault_of = lambda _method, _path: Fault(status, code)

    def behave(self) -> None:
        """Forward every request from now on."""
        self.fault_of = lambda _method, _path: None

    def asked(self, method: str) -> list[str]:
        """Return the paths of the requests with one method."""
        return [path for name, path in list(self.requests) if name == method]


@contextmanager
def faulty_bucket(endpoint: str) -> Iterator[FaultyBucket]:
    """Run the proxy before the server at `endpoint`, on a loopback port."""
    server = _Server(("127.0.0.1", 0), _Handler)
    server.daemon_threads = True
    server.upstream = urlsplit(endpoint).netloc
    server.proxy = FaultyBucket(f"http://127.0.0.1:{server.server_port}")
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
    thread.start()
    try:
        yield server.proxy
    finally:
        server.shutdown()
        thread.join()
        server.server_close()


class _Server(ThreadingHTTPServer):
    upstream: str
    proxy: FaultyBucket

    def handle_error(self, *_: object) -> None:
        """Ignore the error: some tests are about clients that hang up."""


class _Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    server: _Server

    def log_message(self, *_: object) -> None:
        """Write no log."""

    def date_time_string(self, timestamp: float | None = None) -> str:
        """Return the Date header by the clock of the bucket."""
        ahead = self.server.proxy.clock_is_ahead_seconds
        return super().date_time_string((timestamp or time.time()) + ahead)

    def _answer(self) -> None:
        body = self.rfile.read(int(self.headers.get("Content-Length") or 0))
        self.server.proxy.requests.append((self.command, self.path))
        fault = self.server.proxy.fault_of(self.command, self.path) or Fault()
        time.sleep(fault.delay)
        if fault.status:
            document = f"<Error><Code>{fault.code}</Code></Error>".encode()
            self._send(fault.status, {"Content-Type": "application/xml"}, document, cut=False)
            return
        upstream = http.client.HTTPConnection(self.server.upstream, timeout=60)
        with suppress(OSError):
            upstream.request(self.command, self.path, body, dict(self.headers))
            got = upstream.getresponse()
            content = got.read()
            headers = {k: v for k, v in got.getheaders() if k.lower() not in _HOP_BY_HOP}
            length = got.getheader("Content-Length") if self.command == "HEAD" else None
            self._send(got.status, headers, content, cut=fault.cut, length=length)
        upstream.close()

    def _send(
        self,
        status: int,
        headers: dict[str, str],
        content: bytes,
        *,
        cut: bool,
        length: str | None = None,
    ) -> None:
        self.send_response(status)
        for name, value in headers.items():
            self.send_header(name, value)
        self.send_header("Content-Length", length or str(len(content)))
        self.end_headers()
        if self.command == "HEAD":
            return
        if cut and content:
            self.wfile.write(content[: len(content) // 2])
            self.wfile.flush()
            self.connection.close()
            self.close_connection = True
            return
        self.wfile.write(content)

    do_GET = do_HEAD = do_PUT = do_POST = do_DELETE = _answer
