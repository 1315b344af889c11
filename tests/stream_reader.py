"""Reads of a socket whose other end sends now and then."""

import socket


class StreamReader:
    """What comes from one connection.

    Attributes:
        sock: the connection.
    """

    sock: socket.socket

    def read_until(self, end: bytes) -> bytes:
        """Read until these bytes."""
        got = b""
        while not got.endswith(end):
            part = self.sock.recv(1)
            assert part, f"ended after {got!r}"
            got += part
        return got

    def rest(self) -> bytes:
        """Read until the end."""
        got = b""
        while part := self.sock.recv(4096):
            got += part
        return got
