"""Loopback HTTP server whose responses are computed by the test: a function of the request."""

import re
import threading
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler

from tests.loopback import LoopbackServer

_RANGE = re.compile(r"bytes=(\d+)-(\d*)")


@dataclass(frozen=True)
class Asked:
    """A request; `path` has the octets of the request line, `connection` is the client's port."""

    method: str
    path: str
    headers: Mapping[str, str]
    connection: int

    @property
    def part(self) -> tuple[int, int | None] | None:
        """Return the requested range: its first byte, and the first byte after it."""
        found = _RANGE.fullmatch(self.headers.get("range", ""))
        return (int(found[1]), int(found[2]) + 1 if found[2] else None) if found else None


@dataclass(frozen=True)
class Reply:
    """A response.

    Attributes:
        has_length: whether to send a Content-Length of the whole body.
        send_bytes: number of body bytes to send before the connection is closed; None: all.
        hang_up: close the connection without a response.
        interim: statuses of interim responses, sent before this one.
    """

    status: int = 200
    body: bytes = b""
    headers: Mapping[str, str] = field(default_factory=dict)
    has_length: bool = True
    send_bytes: int | None = None
    hang_up: bool = False
    interim: Sequence[int] = ()


Script = Callable[[Asked], Reply]


@dataclass
class Scripted:
    """A running server: its address, and the received requests."""

    url: str
    asked: list[Asked] = field(default_factory=list)


@contextmanager
def scripted_http(script: Script) -> Iterator[Scripted]:
    """Serve the responses of `script` on a free loopback port."""

    class Answer(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"
        wbufsize = 1 << 16  # head and body in one packet

        def handle(self):
            with suppress(ConnectionError):
                super().handle()

        def answer(self):
            self.rfile.read(int(self.headers.get("Content-Length", 0)))
            headers = {name.lower(): value for name, value in self.headers.items()}
            asked = Asked(self.command, self.path, headers, self.client_address[1])
            scripted.asked.append(asked)
            reply = script(asked)
            if reply.hang_up:
                self.close_connection = True
                return
            _send_interim(self, reply.interim)
            self.send_response_only(reply.status)
            for name, value in reply.headers.items():
                self.send_header(name, value)
            if reply.has_length and "Content-Length" not in reply.headers:
                self.send_header("Content-Length", str(len(reply.body)))
            has_end = reply.has_length or "Content-Length" in reply.headers
            if not has_end:
                self.send_header("Connection", "close")
            self.end_headers()
            if self.command != "HEAD":
                self.wfile.write(reply.body[: reply.send_bytes])
            if reply.send_bytes is not None or not has_end:
                self.close_connection = True

        do_HEAD = do_GET = do_POST = do_CONNECT = answer

        def log_message(self, *_):
            pass

    server = LoopbackServer(("127.0.0.1", 0), Answer)
    server.daemon_threads = True
    scripted = Scripted(f"http://127.0.0.1:{server.server_port}")
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
    thread.start()
    try:
        yield scripted
    finally:
        server.shutdown()
        thread.join()
        server.server_close()


def served(body: bytes, asked: Asked, **headers: str) -> Reply:
    """Respond as an ordinary server does: with the whole body, or the requested range."""
    if asked.part is None:
        return Reply(200, body, headers)
    start, end = asked.part
    if start >= len(body):
        return Reply(416, headers={"Content-Range": f"bytes */{len(body)}"})
    part = body[start:end]
    spoken = f"bytes {start}-{start + len(part) - 1}/{len(body)}"
    return Reply(206, part, {**headers, "Content-Range": spoken})


def _send_interim(handler: BaseHTTPRequestHandler, statuses: Sequence[int]) -> None:
    for status in statuses:
        handler.send_response_only(status)
        handler.send_header("Link", "</style.css>")
        handler.end_headers()
