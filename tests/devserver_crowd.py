"""Many concurrent devserver clients in one thread: each sends a request and waits."""

import selectors
import socket
import threading
import time
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Self


@dataclass
class Caller:
    """One client, and the response that it has received so far."""

    archive_url: str
    sock: socket.socket
    received: bytearray = field(default_factory=bytearray)

    @property
    def status(self) -> int:
        """The status of the response; 0 if there was none."""
        words = bytes(self.received[:64]).split(b" ", 2)
        return int(words[1]) if len(words) > 1 else 0

    @property
    def body(self) -> str:
        """The body of the response."""
        return bytes(self.received).partition(b"\r\n\r\n")[2].decode()


def call(url: str, archive_url: str, query: str = "", version: str = "1.0") -> Caller:
    """Request a build by ``download``, without waiting for the response."""
    host, port = url.removeprefix("http://").split(":")
    sock = socket.create_connection((host, int(port)), timeout=60)
    path = f"/download?archive_url={archive_url}{query}"
    sock.sendall(f"GET {path} HTTP/{version}\r\nHost: {host}\r\n\r\n".encode())
    return Caller(archive_url, sock)


def wait_for_answers(callers: Sequence[Caller], seconds: float) -> None:
    """Return when every connection has ended; at the time limit the others keep the status 0."""
    deadline = time.monotonic() + seconds
    with selectors.DefaultSelector() as ready:
        for caller in callers:
            ready.register(caller.sock, selectors.EVENT_READ, caller)
        while ready.get_map() and time.monotonic() < deadline:
            for key, _ in ready.select(1.0):
                caller = key.data
                try:
                    part = caller.sock.recv(65536)
                except ConnectionError:
                    part = b""
                caller.received += part
                if not part:
                    ready.unregister(caller.sock)
                    caller.sock.close()


class Prober:
    """Client that sends a probe repeatedly, each time on a new connection, as kubelet does."""

    def __init__(self, url: str, path: str = "/livez") -> None:
        self._host, port = url.removeprefix("http://").split(":")
        self._port, self._path = int(port), path
        self._over = threading.Event()
        self._thread = threading.Thread(target=self._run, daemon=True)
        self.seconds: list[float] = []
        self.failures: list[str] = []

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(self, *_error: object) -> None:
        self._over.set()
        self._thread.join()

    def percentile(self, share: float) -> float:
        """Return the time, in seconds, within which this share of the probes was answered."""
        return sorted(self.seconds)[min(len(self.seconds) - 1, int(share * len(self.seconds)))]

    def _run(self) -> None:
        while not self._over.wait(0.02):
            began = time.monotonic()
            try:
                answer = self._ask()
            except OSError as error:
                self.failures.append(repr(error))
            else:
                self.seconds.append(time.monotonic() - began)
                if not answer.startswith(b"HTTP/1.1 200"):
                    self.failures.append(answer.decode())

    def _ask(self) -> bytes:
        with socket.create_connection((self._host, self._port), timeout=10) as sock:
            sock.sendall(f"GET {self._path} HTTP/1.1\r\nHost: {self._host}\r\n\r\n".encode())
            received = b""
            while part := sock.recv(65536):
                received += part
            return received
