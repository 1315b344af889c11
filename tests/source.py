"""Archive source on loopback with configurable faults: slow, held, cut, failing, false versions.

It records every GET with the number of bytes sent, so that a test can check "each object once".
"""

import hashlib
import re
import threading
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from functools import partial
from http.server import BaseHTTPRequestHandler

from tests.loopback import LoopbackServer

_RANGE = re.compile(r"bytes=(\d+)-(\d*)")
_CHUNK_BYTES = 16 << 10
#: Time limit of waiting for a condition; then the test fails.
PATIENCE_SECONDS = 60.0


@dataclass
class Stop:
    """Offset in a body at which sending pauses until the test releases it."""

    after_bytes: int
    reached: threading.Event = field(default_factory=threading.Event)
    released: threading.Event = field(default_factory=threading.Event)

    def wait_until_reached(self) -> None:
        """Wait until a download has reached this offset."""
        assert self.reached.wait(PATIENCE_SECONDS), "no download came to the place to stop at"

    def release(self) -> None:
        """Let the download continue."""
        self.released.set()


@dataclass(frozen=True)
class Trick:
    """Fault of one response to a GET; each trick is used once.

    Attributes:
        stop: where to pause.
        cut_after_bytes: offset at which to close the connection.
        bytes_per_second: rate of sending.
        status: respond with this status and no body.
        etag: send this version instead.
    """

    stop: Stop | None = None
    cut_after_bytes: int | None = None
    bytes_per_second: float | None = None
    status: int = 200
    etag: str | None = None


@dataclass
class Read:
    """One GET that was answered."""

    path: str
    start: int
    sent_bytes: int = 0


class ArchiveSource:
    """Objects by path; objects and tricks can be added at any time."""

    def __init__(self, url: str) -> None:
        self.url = url
        self.objects: dict[str, bytes] = {}
        self.reads: list[Read] = []
        self._tricks: dict[str, list[Trick]] = {}
        self._stops: list[Stop] = []
        self._mutex = threading.Lock()

    def add(self, path: str, objects: Mapping[str, bytes]) -> str:
        """Add an archive; return its URL."""
        self.objects.update({f"/{path}/{name}": content for name, content in objects.items()})
        return f"{self.url}/{path}"

    def play(self, archive_url: str, name: str, trick: Trick) -> None:
        """Use a trick for the next GET of an object, after the tricks added before."""
        if trick.stop is not None:
            self._stops.append(trick.stop)
        self._tricks.setdefault(self._path(archive_url, name), []).append(trick)

    def hold(self, archive_url: str, name: str, after_bytes: int = 0) -> Stop:
        """Pause the next download of an object at an offset, until it is released."""
        stop = Stop(after_bytes)
        self.play(archive_url, name, Trick(stop=stop))
        return stop

    def read_of(self, archive_url: str) -> dict[str, int]:
        """Return how often each object of an archive was read."""
        paths = [read.path for read in list(self.reads)]
        below = self._path(archive_url, "")
        return {p.removeprefix(below): paths.count(p) for p in paths if p.startswith(below)}

    def begun(self, archive_url: str) -> dict[str, int]:
        """Return how often each object was read from its start; further ranges are not counted.

        The manifest is left out, because it is read for each list of the objects.
        """
        below = self._path(archive_url, "")
        paths = [read.path for read in list(self.reads) if read.start == 0]
        names = [path.removeprefix(below) for path in paths if path.startswith(below)]
        return {name: names.count(name) for name in names if name != "UPLOADED"}

    def release_all(self) -> None:
        """Let every download continue, so that the server can stop."""
        for stop in self._stops:
            stop.release()

    def next_trick(self, path: str) -> Trick:
        """Return the trick for this GET."""
        with self._mutex:
            left = self._tricks.get(path)
            return left.pop(0) if left else Trick()

    def _path(self, archive_url: str, name: str) -> str:
        return f"{archive_url.removeprefix(self.url)}/{name}"


class _Answer(BaseHTTPRequestHandler):
    """Handler for GET with ranges and for HEAD, with the version and length of the object."""

    protocol_version = "HTTP/1.1"

    def __init__(self, *args: object, source: list[ArchiveSource]) -> None:
        self._source = source[0]
        super().__init__(*args)  # type: ignore[arg-type]  # what socketserver passes

    def handle(self) -> None:
        # A killed or cancelled client does not close its connection properly.
        with suppress(ConnectionError):
            super().handle()

    def do_HEAD(self) -> None:
        content = self._source.objects.get(self.path)
        self._head(404 if content is None else 200, content or b"", 0, None)

    def do_GET(self) -> None:
        content = self._source.objects.get(self.path)
        trick = self._source.next_trick(self.path)
        if content is None or trick.status != 200:
            self._head(404 if content is None else trick.status, b"", 0, None)
            return
        asked = _RANGE.fullmatch(self.headers.get("Range", ""))
        start = int(asked[1]) if asked else 0
        end = min(int(asked[2]) + 1, len(content)) if asked and asked[2] else len(content)
        read = Read(self.path, start)
        self._source.reads.append(read)
        self._head(206 if asked else 200, content[:end], start, trick.etag, len(content))
        self._send(content[start:end], read, trick)

    def _head(
        self, status: int, content: bytes, start: int, etag: str | None, total: int = 0
    ) -> None:
        self.send_response(status)
        if status == 206:
            self.send_header("Content-Range", f"bytes {start}-{len(content) - 1}/{total}")
        self.send_header("Content-Length", str(len(content) - start))
        whole = self._source.objects.get(self.path, b"")
        self.send_header("ETag", etag or f'"{hashlib.md5(whole).hexdigest()}"')
        self.end_headers()

    def _send(self, body: bytes, read: Read, trick: Trick) -> None:
        stop_at = None if trick.stop is None else trick.stop.after_bytes
        places = [place for place in (stop_at, trick.cut_after_bytes) if place is not None]
        while read.sent_bytes < len(body):
            upto = read.sent_bytes + _CHUNK_BYTES
            for place in places:
                if place > read.sent_bytes:
                    upto = min(upto, place)
            if trick.stop is not None and read.sent_bytes == trick.stop.after_bytes:
                trick.stop.reached.set()
                trick.stop.released.wait(PATIENCE_SECONDS)
            if read.sent_bytes == trick.cut_after_bytes:
                self.close_connection = True
                return
            chunk = body[read.sent_bytes : upto]
            self.wfile.write(chunk)
            read.sent_bytes += len(chunk)
            if trick.bytes_per_second is not None:
                time.sleep(len(chunk) / trick.bytes_per_second)

    def log_message(self, format: str, *args: object) -> None:  # noqa: A002 - its name there
        """Write no log: the list has all reads."""


@contextmanager
def archive_source() -> Iterator[ArchiveSource]:
    """Yield an empty source."""
    made: list[ArchiveSource] = []
    server = LoopbackServer(("127.0.0.1", 0), partial(_Answer, source=made))
    source = ArchiveSource(f"http://127.0.0.1:{server.server_port}")
    made.append(source)
    thread = threading.Thread(target=server.serve_forever, args=(0.05,))
    thread.start()
    try:
        yield source
    finally:
        source.release_all()
        server.shutdown()
        server.server_close()
        thread.join()
