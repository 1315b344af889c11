"""Write an answer with less work than gunicorn's writer, which this is.

The head and the body of a short one leave by one call of the kernel: each such call gives the
interpreter to another thread, and has to get it back. Headers are checked by gunicorn as they are
everywhere; but most are the same in many answers, so what it makes of one is kept.
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
    """gunicorn's, which sends the head by itself."""

    sock: Any
    upgrade: bool

    def process_headers(self, headers: list[tuple[str, str]]) -> None:
        """Check and take headers.

        Raises:
            gunicorn's errors: one of them could not be sent.
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
        """The head's first lines."""
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
        """Send a part of the body, behind the head unless that was sent."""
        if self.headers_sent or self.chunked or len(part) > _SENT_TOGETHER:
            super().write(part)
            return
        sock, gathered = self.sock, _Gathered()
        self.sock = gathered
        try:
            super().write(part)
        finally:
            self.sock = sock
        sock.sendall(b"".join(gathered.parts))


class _Gathered:
    """Takes what is sent."""

    def __init__(self) -> None:
        self.parts: list[bytes] = []

    def sendall(self, part: bytes) -> None:
        """Keep it."""
        self.parts.append(part)


class _Header(Response):  # type: ignore[misc]
    """What gunicorn makes of one header."""

    def __init__(self) -> None:
        self.headers: list[tuple[str, str]] = []
        self.response_length: int | None = None
        self.upgrade = False


def _check(name: str, value: str) -> _Header:
    header = _Header()
    Response.process_headers(header, [(name, value)])
    return header


_checked = lru_cache(maxsize=_KEPT_HEADERS)(_check)


@lru_cache(maxsize=2)
def _date(second: int) -> str:
    return str(util.http_date(second))
