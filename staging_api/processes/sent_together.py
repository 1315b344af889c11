"""Send the head of an answer and its body by one call of the kernel, if they are short.

Each such call gives the interpreter to another thread, and has to get it back.
"""

from typing import Any

from gunicorn.http.wsgi import Response  # type: ignore[import-untyped]  # has no types

_SENT_TOGETHER = 64 << 10


class BufferedResponse(Response):  # type: ignore[misc]
    """gunicorn's, which sends the head by itself."""

    sock: Any

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
