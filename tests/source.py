"""An archive source on loopback that does as it is told: slow, held, cut, failing or lying.

It logs every GET with the bytes that it really sent, so a test can say "each object once".
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
#: A wait for a condition gives up after this long, and its test fails.
PATIENCE_SECONDS = 60.0


@dataclass
class Stop:
    """A place in a body where sending stops until the test lets it go on."""

    after_bytes: int
    reached: threading.Event = field(default_factory=threading.Event)
    released: threading.Event = field(default_factory=threading.Event)

    def wait_until_reached(self) -> None:
        """Return once a download has come so far."""
        assert self.reached.wait(PATIENCE_SECONDS), "no download came to the place to stop at"

    def release(self) -> None:
        """Let the download go on."""
        self.released.set()


@dataclass(frozen=True)
class Trick:
    """What is wrong with one answer to a GET; each trick is played once.

    Attributes:
        stop: where to stop sending.
        cut_after_bytes: close the connection there.
        bytes_per_second: how fast to send.
        status: answer with this status and no body.
        etag: claim this version.
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
    """Objects by path; add to them, and arm tricks, at any time."""

    def __init__(self, url: str) -> None:
        self.url = url
        self.objects: dict[str, bytes] = {}
        self.reads: list[Read] = []
        self._tricks: dict[str, list[Trick]] = {}
        self._stops: list[Stop] = []
        self._mutex = threading.Lock()

    def add(self, path: str, objects: Mapping[str, bytes]) -> str:
        """Put an archive there; gives its URL."""
        self.objects.update({f"/{path}/{name}": content for name, content in objects.items()})
        return f"{self.url}/{path}"

    def play(self, archive_url: str, name: str, trick: Trick) -> None:
        """Play a trick on the next GET of an object that has none left to play before it."""
        if trick.stop is not None:
            self._stops.append(trick.stop)
        self._tricks.setdefault(self._path(archive_url, name), []).append(trick)

    def hold(self, archive_url: str, name: str, after_bytes: int = 0) -> Stop:
        """Hold the next download of an object at a place, until it is released."""
        stop = Stop(after_bytes)
        self.play(archive_url, name, Trick(stop=stop))
        return stop

    def read_of(self, archive_url: str) -> dict[str, int]:
        """How often each object of an archive was read."""
        paths = [read.path for read in list(self.reads)]
        below = self._path(archive_url, "")
        return {p.removeprefix(below): paths.count(p) for p in paths if p.startswith(below)}

    def begun(self, archive_url: str) -> dict[str, int]:
        """How often each object was read from its start; a slow one is read on by further ranges.

        Without the manifest, which is read for each list of the objects.
        """
        below = self._path(archive_url, "")
        paths = [read.path for read in list(self.reads) if read.start == 0]
        names = [path.removeprefix(below) for path in paths if path.startswith(below)]
        return {name: names.count(name) for name in names if name != "UPLOADED"}

    def release_all(self) -> None:
        """Let every download go on, so that the server can end."""
        for stop in self._stops:
            stop.release()

    def next_trick(self, path: str) -> Trick:
        """The trick for this GET."""
        with self._mutex:
            left = self._tricks.get(path)
            return left.pop(0) if left else Trick()

    def _path(self, archive_url: str, name: str) -> str:
        return f"{archive_url.removeprefix(self.url)}/{name}"


class _Answer(BaseHTTPRequestHandler):
    """Answers GET with ranges and HEAD, with the version and length of the object."""

    protocol_version = "HTTP/1.1"

    def __init__(self, *args: object, source: list[ArchiveSource]) -> None:
        self._source = source[0]
        super().__init__(*args)  # type: ignore[arg-type]  # what socketserver passes

    def handle(self) -> None:
        # A client that was killed or cancelled does not say goodbye.
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
        """Say nothing: what was read is in the list."""


@contextmanager
def archive_source() -> Iterator[ArchiveSource]:
    """A source with nothing in it yet, for the block."""
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
