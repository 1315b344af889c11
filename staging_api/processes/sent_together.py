"""A writer of responses that takes less work than gunicorn's, from which it inherits.

The head and a short body are sent by one system call: each call gives the interpreter to another
thread, and has to get it back. gunicorn checks the headers; most are the same in many responses, so
the result of each check is cached.
"""

import time
from functools import lru_cache
from typing import Any

from gunicorn import util  # type: ignore[import-untyped]  # has no types
from gunicorn.http.wsgi import Response  # type: ignore[import-untyped]  # has no types

_SENT_TOGETHER = 64 << 10
_KEPT_HEADERS = 4096
_LONGEST_KEPT = 256


class BufferedResponse(Response):  # type: ignore[misc]
    """gunicorn's response, which by itself sends the head in a call of its own."""

    sock: Any
    upgrade: bool

    def process_headers(self, headers: list[tuple[str, str]]) -> None:
        """Check headers and add them to the response.

        Raises:
            gunicorn's errors: a header cannot be sent.
        """
        taken = self.headers
        for name, value in headers:
            short = isinstance(value, str) and len(value) <= _LONGEST_KEPT
            found = _checked(name, value) if short else _check(name, value)
            taken += found.headers
            if found.upgrade:
                self.upgrade = True
            if found.response_length is not None:
                self.response_length = found.response_length

    def default_headers(self) -> list[str]:
        """Return the first lines of the head."""
        major, minor = self.req.version
        connection = "close" if self.should_close() else "keep-alive"
        lines = [
            f"HTTP/{major}.{minor} {self.status}\r\n",
            f"Server: {self.version}\r\n",
            f"Date: {_date(int(time.time()))}\r\n",
            f"Connection: {'upgrade' if self.upgrade else connection}\r\n",
        ]
        if self.chunked:
            lines.append("Transfer-Encoding: chunked\r\n")
        return lines

    def write(self, part: bytes) -> None:
        """Send a part of the body, together with the head unless the head was sent."""
        if self.headers_sent or self.chunked or len(part) > _SENT_TOGETHER:
            super().write(part)
            return
        sock, gathered = self.sock, _SendBuffer()
        self.sock = gathered
        try:
            super().write(part)
        finally:
            self.sock = sock
        sock.sendall(b"".join(gathered.parts))


class _SendBuffer:
    """A stand-in for a socket that collects the sent parts."""

    def __init__(self) -> None:
        self.parts: list[bytes] = []

    def sendall(self, part: bytes) -> None:
        """Append the part."""
        self.parts.append(part)


class _CheckedHeader(Response):  # type: ignore[misc]
    """gunicorn's result of checking one header."""

    def __init__(self) -> None:
        self.headers: list[tuple[str, str]] = []
        self.response_length: int | None = None
        self.upgrade = False


def _check(name: str, value: str) -> _CheckedHeader:
    header = _CheckedHeader()
    Response.process_headers(header, [(name, value)])
    return header


_checked = lru_cache(maxsize=_KEPT_HEADERS)(_check)


@lru_cache(maxsize=2)
def _date(second: int) -> str:
    return str(util.http_date(second))
