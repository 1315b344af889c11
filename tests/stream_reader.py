"""Reader of a socket whose peer sends at intervals."""

import socket

_MOST_BYTES = 1 << 16


class StreamReader:
    """Reader of one connection.

    Attributes:
        sock: the connection.
    """

    sock: socket.socket

    def read_until(self, end: bytes) -> bytes:
        """Read up to and including these bytes."""
        got = b""
        while not got.endswith(end):
            # Further bytes stay in the socket.
            seen = got + self.sock.recv(_MOST_BYTES, socket.MSG_PEEK)
            assert seen != got, f"ended after {got!r}"
            at = seen.find(end, max(0, len(got) - len(end) + 1))
            till = len(seen) if at < 0 else at + len(end)
            got += self.sock.recv(till - len(got))
        return got

    def rest(self) -> bytes:
        """Read until the end of the stream."""
        got = b""
        while part := self.sock.recv(4096):
            got += part
        return got
