"""Loopback HTTP server that serves given objects, and misbehaves as configured."""

import hashlib
import re
import socket
import ssl
import struct
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from functools import lru_cache
from http.server import BaseHTTPRequestHandler
from urllib.parse import unquote

from tests.loopback import LoopbackServer

_RANGE = re.compile(r"bytes=(\d+)-(\d*)")


@dataclass
class Request:
    """A received request: tests count requests and look at their headers."""

    method: str
    path: str
    headers: dict[str, str]
    sent_bytes: int = 0


@dataclass
class Misbehaviour:
    """Faults of the next responses; each number counts the responses to spoil.

    Attributes:
        refuse: close the connection without a response.
        fail: answer 503.
        cut_after: send this many bytes of the body, then cut; for `cuts` responses.
        stall: send half the body, then wait until the test ends.
        etags: the ETags of the next responses, in order.
        lie: number added to the Content-Length.
        no_length: omit the Content-Length and close the connection at the end.
        no_ranges: ignore Range.
        no_validators: send neither ETag nor Last-Modified.
        redirect: where to send every request.
        status: answer everything with this status.
    """

    refuse: int = 0
    fail: int = 0
    cut_after: int = 0
    cuts: int = 0
    stall: bool = False
    etags: list[str] = field(default_factory=list)
    lie: int = 0
    no_length: bool = False
    no_ranges: bool = False
    no_validators: bool = False
    no_head: bool = False
    chunked: bool = False
    redirect: Callable[[str], str] | None = None
    status: int = 0
    headers: dict[str, str] = field(default_factory=dict)


@dataclass
class Served:
    """A running server: its objects by path, its faults, and the received requests."""

    url: str
    objects: dict[str, bytes]
    wrong: Misbehaviour = field(default_factory=Misbehaviour)
    requests: list[Request] = field(default_factory=list)
    ended: threading.Event = field(default_factory=threading.Event)

    def asked(self, method: str, path: str) -> list[Request]:
        """Return the requests with one method for one path."""
        return [each for each in self.requests if (each.method, each.path) == (method, path)]


@contextmanager
def http_server(
    objects: dict[str, bytes], context: ssl.SSLContext | None = None
) -> Iterator[Served]:
    """Serve objects by path on a free loopback port."""
    server = _Server(("127.0.0.1", 0), _Answer)
    scheme = "http"
    if context is not None:
        server.socket = context.wrap_socket(server.socket, server_side=True)
        scheme = "https"
    server.served = served = Served(f"{scheme}://127.0.0.1:{server.server_port}", objects)
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
    thread.start()
    try:
        yield served
    finally:
        served.ended.set()
        server.shutdown()
        thread.join()
        server.server_close()


@lru_cache
def _etag(data: bytes) -> str:
    return f'"{hashlib.md5(data).hexdigest()}"'


class _Server(LoopbackServer):
    daemon_threads = True
    served: Served

    def handle_error(self, *_):
        """Ignore the error: many tests are about clients that hang up."""


class _Answer(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"

    server: _Server

    @property
    def served(self) -> Served:
        return self.server.served

    def do_HEAD(self):
        self._answer(with_body=False)

    def do_GET(self):
        self._answer(with_body=True)

    def log_message(self, *_):
        pass

    def _answer(self, with_body):
        wrong = self.served.wrong
        headers = {name.lower(): value for name, value in self.headers.items()}
        self._noted = Request(self.command, self.path, headers)
        self.served.requests.append(self._noted)
        if wrong.refuse > 0:
            wrong.refuse -= 1
            self._cut()
        elif wrong.fail > 0:
            wrong.fail -= 1
            self._say(503)
        elif wrong.redirect is not None:
            self._say(302, Location=wrong.redirect(self.path))
        elif wrong.status:
            self._say(wrong.status)
        elif wrong.no_head and not with_body:
            self._say(405)
        elif (path := unquote(self.path)) not in self.served.objects:
            self._say(404)
        else:
            self._send_object(self.served.objects[path], with_body)

    def _send_object(self, data, with_body):
        wrong = self.served.wrong
        etag = _etag(data)
        if wrong.etags:
            etag = wrong.etags.pop(0) if len(wrong.etags) > 1 else wrong.etags[0]
        wanted = _RANGE.fullmatch(self.headers.get("Range", ""))
        if self.headers.get("If-Match", etag) != etag:
            self._say(412)
            return
        headers = {} if wrong.no_validators else {"ETag": etag}
        headers.update(wrong.headers)
        if wanted and not wrong.no_ranges:
            start = int(wanted[1])
            end = min(int(wanted[2]) + 1 if wanted[2] else len(data), len(data))
            if start >= len(data):
                self._say(416)
                return
            headers["Content-Range"] = f"bytes {start}-{end - 1}/{len(data)}"
            self._head(206, headers, end - start)
            data = data[start:end]
        else:
            self._head(200, headers, len(data))
        if with_body:
            self._body(data)

    def _head(self, status, headers, length):
        wrong = self.served.wrong
        self.send_response(status)
        for name, value in headers.items():
            self.send_header(name, value)
        if wrong.chunked:
            self.send_header("Transfer-Encoding", "chunked")
        elif wrong.no_length:
            self.close_connection = True
        else:
            self.send_header("Content-Length", str(length + wrong.lie))
        self.end_headers()

    def _body(self, data):
        wrong = self.served.wrong
        if wrong.cuts > 0:
            wrong.cuts -= 1
            self._write(data[: wrong.cut_after])
            # Closed, not reset: all sent bytes arrive, only their number shows that they are cut.
            self.close_connection = True
        elif wrong.stall:
            self._write(data[: len(data) // 2])
            self.served.ended.wait()
            self._cut()
        else:
            self._write(data)
            if wrong.lie > 0:
                self._cut()
            if wrong.chunked:
                self.wfile.write(b"0\r\n\r\n")

    def _write(self, data):
        try:
            for at in range(0, len(data), 1 << 16):
                piece = data[at : at + (1 << 16)]
                if self.served.wrong.chunked:
                    self.wfile.write(b"%x\r\n%b\r\n" % (len(piece), piece))
                else:
                    self.wfile.write(piece)
                self._noted.sent_bytes += len(piece)
        except OSError:
            self.close_connection = True

    def _say(self, status, **headers):
        self.send_response(status)
        for name, value in {**self.served.wrong.headers, **headers}.items():
            self.send_header(name, value)
        self.send_header("Content-Length", "0")
        self.end_headers()

    def _cut(self):
        """Reset the connection, so that the client cannot take the cut for the end of a body."""
        self.close_connection = True
        self.connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        self.wfile.flush()
        self.connection.shutdown(socket.SHUT_RDWR)
