"""TCP proxy before PostgreSQL that delays, drops, cuts, and swallows a reply after a commit."""

import selectors
import socket
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress

from sqlalchemy import URL, make_url

_CHUNK = 65536
_QUERY = b"Q"
# ReadyForQuery outside a transaction: the commit is done, and its reply complete.
_COMMITTED = b"Z\x00\x00\x00\x05I"


class Proxy:
    """Proxy whose traffic can be disturbed at any time, from any thread.

    Attributes:
        url: the database through the proxy.
        delay: seconds added to every packet of the server.
        queries: number of round trips so far, in the simple protocol that psycopg2 uses.
    """

    def __init__(self, url: str) -> None:
        """Listen on a port of the loopback interface."""
        self._target = make_url(url)
        self._listener = socket.create_server(("127.0.0.1", 0))
        self.url = _through(self._target, self._listener.getsockname()[1])
        self.delay = 0.0
        self.queries = 0
        self._deaf = False
        self._swallowed: threading.Event | None = None
        self._pairs: list[tuple[socket.socket, socket.socket]] = []
        threading.Thread(target=self._accept, daemon=True).start()

    def swallow_reply(self) -> threading.Event:
        """Cut the next connection that gets the reply to a statement, and drop this reply.

        The event is set when that happened: the statement is committed, unknown to its client.
        """
        self._swallowed = threading.Event()
        return self._swallowed

    def go_deaf(self) -> None:
        """Accept data, forward nothing and close nothing, like a broken network."""
        self._deaf = True

    def hear_again(self) -> None:
        """Forward again; data sent meanwhile is lost, so the affected connections end."""
        self._deaf = False
        self.cut()

    def cut(self) -> None:
        """Close every connection on both sides."""
        for pair in list(self._pairs):
            _end(*pair)

    def close(self) -> None:
        """Stop accepting connections, and close the existing ones."""
        with suppress(OSError):
            self._listener.shutdown(socket.SHUT_RDWR)
        self._listener.close()
        self.cut()

    def _accept(self) -> None:
        with suppress(OSError):
            while True:
                client, _ = self._listener.accept()
                if self._deaf:
                    self._pairs.append((client, client))
                    continue
                try:
                    server = _connect(self._target)
                except OSError:
                    client.close()
                    continue
                self._pairs.append((client, server))
                threading.Thread(target=self._carry, args=(client, server), daemon=True).start()

    def _carry(self, client: socket.socket, server: socket.socket) -> None:
        with suppress(OSError, ValueError), selectors.DefaultSelector() as ready:
            ready.register(client, selectors.EVENT_READ)
            ready.register(server, selectors.EVENT_READ)
            while True:
                for key, _ in ready.select():
                    data = key.fileobj.recv(_CHUNK)  # type: ignore[union-attr]
                    if not data:
                        raise ConnectionError
                    if not self._deaf:
                        self._pass(data, client, server, from_client=key.fileobj is client)
        _end(client, server)

    def _pass(
        self, data: bytes, client: socket.socket, server: socket.socket, *, from_client: bool
    ) -> None:
        if from_client:
            self.queries += data.startswith(_QUERY)
            server.sendall(data)
            return
        if self._swallowed is not None and data.endswith(_COMMITTED):
            swallowed, self._swallowed = self._swallowed, None
            swallowed.set()
            raise ConnectionError
        time.sleep(self.delay)
        client.sendall(data)


@contextmanager
def proxied(url: str) -> Iterator[Proxy]:
    """Run a proxy before the database of `url` for the block."""
    proxy = Proxy(url)
    try:
        yield proxy
    finally:
        proxy.close()


def _through(target: URL, port: int) -> str:
    url = target.set(host="127.0.0.1", port=port, query={})
    return url.render_as_string(hide_password=False)


def _connect(target: URL) -> socket.socket:
    host = target.host or str(target.query.get("host", "127.0.0.1"))
    port = target.port or int(str(target.query.get("port", "5432")))
    if host.startswith("/"):
        server = socket.socket(socket.AF_UNIX)
        server.connect(f"{host}/.s.PGSQL.{port}")
        return server
    return socket.create_connection((host, port))


def _end(*ends: socket.socket) -> None:
    for end in ends:
        with suppress(OSError):
            end.shutdown(socket.SHUT_RDWR)
        end.close()
