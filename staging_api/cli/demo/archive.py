"""A build archive on loopback: serves a folder over HTTP, slowly enough to watch."""

import re
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from functools import partial
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import BinaryIO

_RANGE = re.compile(r"bytes=(\d+)-(\d*)")
_CHUNK_BYTES = 64 << 10


@contextmanager
def serving(
    root: Path, bytes_per_second: float = 1e12, port: int = 0
) -> Iterator[tuple[str, list[str]]]:
    """Serve `root` for the block, on any port if 0; yield its URL and the list of objects read."""
    read: list[str] = []
    handler = partial(_Archive, root=root, read=read, bytes_per_second=bytes_per_second)
    server = ThreadingHTTPServer(("127.0.0.1", port), handler)
    thread = threading.Thread(target=server.serve_forever, daemon=True)
    thread.start()
    try:
        yield f"http://127.0.0.1:{server.server_port}", read
    finally:
        server.shutdown()
        server.server_close()
        thread.join()


class _Archive(BaseHTTPRequestHandler):
    """HTTP handler for GET and HEAD with ranges and ETags; records the objects that it sent."""

    protocol_version = "HTTP/1.1"

    def __init__(self, *args: object, root: Path, read: list[str], bytes_per_second: float) -> None:
        self._root, self._read, self._pace = root, read, bytes_per_second
        super().__init__(*args)  # type: ignore[arg-type]  # what socketserver passes

    def do_HEAD(self) -> None:
        """Describe an object."""
        self._answer(body=False)

    def do_GET(self) -> None:
        """Send an object."""
        self._answer(body=True)

    def log_message(self, format: str, *args: object) -> None:  # noqa: A002 - its name there
        """Log nothing: the list has the objects that were read."""

    def _answer(self, *, body: bool) -> None:
        path = self._root / self.path.lstrip("/")
        if ".." in path.parts or not path.is_file():
            self.send_response(404)
            self.send_header("Content-Length", "0")
            self.end_headers()
            return
        size = path.stat().st_size
        asked = _RANGE.fullmatch(self.headers.get("Range", ""))
        start = int(asked[1]) if asked else 0
        end = min(int(asked[2]) + 1, size) if asked and asked[2] else size
        self.send_response(206 if asked else 200)
        if asked:
            self.send_header("Content-Range", f"bytes {start}-{end - 1}/{size}")
        self.send_header("Content-Length", str(end - start))
        self.send_header("ETag", f'"{path.stat().st_mtime_ns:x}-{size:x}"')
        self.end_headers()
        if body:
            self._read.append(self.path)
            with path.open("rb") as file:
                file.seek(start)
                self._send(file, end - start)

    def _send(self, file: BinaryIO, length: int) -> None:
        while length > 0:
            chunk = file.read(min(_CHUNK_BYTES, length))
            self.wfile.write(chunk)
            length -= len(chunk)
            time.sleep(len(chunk) / self._pace)
