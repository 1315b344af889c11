"""Loopback server that begins its response, and then sends one byte at a time."""

import socket
import threading
from collections.abc import Iterator
from contextlib import contextmanager, suppress

_PAUSE_SECONDS = 0.05
#: Long enough that every time limit of a test is over before the end.
_MOST_BYTES = 900


@contextmanager
def dripping(beginning: bytes) -> Iterator[str]:
    """Respond slowly to one request, as long as its client stays; yield the address."""
    left = threading.Event()
    with socket.create_server(("127.0.0.1", 0)) as listening:
        answering = threading.Thread(target=_answer, args=(listening, beginning, left))
        answering.start()
        try:
            yield f"http://127.0.0.1:{listening.getsockname()[1]}"
        finally:
            left.set()
            answering.join()


def _answer(listening: socket.socket, beginning: bytes, left: threading.Event) -> None:
    connection, _ = listening.accept()
    with connection, suppress(OSError):
        connection.recv(1 << 16)
        connection.sendall(beginning)
        for _ in range(_MOST_BYTES):
            connection.sendall(b" ")
            if left.wait(_PAUSE_SECONDS):
                return
