"""Download one object, so that no byte that arrived once is fetched again.

Ranges that earlier attempts left under ``parts/`` are read from there, the rest from the source,
and noted as it arrives (`staging_api.store.parts`). A download begins on one connection. If the
source turns out to send slower than `DownloadSpread.slow_bytes_per_second`, the rest is fetched as
ranges over several connections, still handed on in order: many stores limit a connection, few limit
a client. Reads of at most one part, such as a zip's directory, are not kept: they cost less than a
sync.
"""

import hashlib
import threading
import time
from collections import deque
from collections.abc import Callable, Generator, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import closing, contextmanager
from dataclasses import dataclass, field

from staging_api.sources.model import Source, SourceObject
from staging_api.store.parts import PART_BYTES, Journal, Parts

#: The smallest range that is worth a separate request.
PIECE_BYTES = 1 << 20
#: The largest range of one request, which a connection holds in memory.
_LARGEST_PIECE_BYTES = 4 << 20
#: Number of bytes over which the speed of a connection is measured.
_JUDGED_BYTES = 2 << 20


@dataclass(frozen=True)
class DownloadSpread:
    """Limits by which a download is spread over several connections.

    Attributes:
        connections: limit of connections at once; 1 never spreads.
        slow_bytes_per_second: a slower connection is assumed to be limited by the source.
        turn: held while a download is spread, so that of the downloads of one staging only one is,
            and the others stay on one connection each.
    """

    connections: int = 8
    slow_bytes_per_second: float = 48e6
    turn: threading.Lock = field(default_factory=threading.Lock, compare=False)


class Download:
    """The download of one object, which resumes after the ranges that are already in the store."""

    def __init__(
        self,
        source: Source,
        found: SourceObject,
        parts: Parts,
        speed: DownloadSpread,
        *,
        whole: bool = False,
        checkpoint: Callable[[str], None] = lambda _name: None,
    ) -> None:
        """Read `found`; with `whole`, the attempt's own file finally contains all of its bytes."""
        self._source = source
        self._found = found
        self._parts = parts
        self._speed = speed
        self._whole = whole
        self._checkpoint = checkpoint

    @contextmanager
    def open(self, start: int, end: int | None) -> Iterator[Iterator[bytes]]:
        """Stream the bytes from `start` up to, not including, `end`."""
        last = self._found.size_bytes or 0
        last = last if end is None else min(end, last)
        if last - start <= PART_BYTES and not self._whole:
            with self._source.open(self._found, start, end) as chunks:
                yield chunks
            return
        with closing(self._chunks(start, last)) as chunks:
            yield chunks

    def _chunks(self, start: int, end: int) -> Generator[bytes, None, None]:
        while start < end:
            earlier = self._parts.resumed_range_at(start)
            until = min(earlier.end, end) if earlier else self._parts.next_resumed_range(start, end)
            if earlier:
                pieces = self._copied(self._parts.read(earlier, start, until), start)
            else:
                pieces = self._fetched(start, min(until, end))
            with closing(pieces):
                yield from pieces
            start = min(until, end)

    def _copied(
        self, chunks: Generator[bytes, None, None], position: int
    ) -> Generator[bytes, None, None]:
        with closing(chunks):
            for chunk in chunks:
                if self._whole:
                    self._parts.write(position, chunk)
                position += len(chunk)
                yield chunk

    def _fetched(self, start: int, end: int) -> Generator[bytes, None, None]:
        """Fetch a range, on one connection as long as that is fast enough."""
        with Journal(self._parts, self._checkpoint) as journal:
            position, clock, has_turn = start, _Clock(), False
            with closing(self._written(start, end, PART_BYTES // 2, journal)) as chunks:
                for chunk in clock.timed(chunks):
                    position += len(chunk)
                    yield chunk
                    if self._worth_spreading(clock, end - position):
                        has_turn = self._speed.turn.acquire(blocking=False)
                        if has_turn:
                            break
            try:
                if position < end:
                    yield from self._spread(position, end, journal)
            finally:
                if has_turn:
                    self._speed.turn.release()

    def _worth_spreading(self, clock: "_Clock", left: int) -> bool:
        several = self._speed.connections > 1 and left > 2 * PIECE_BYTES
        return several and clock.is_slower_than(self._speed.slow_bytes_per_second)

    def _written(
        self, start: int, end: int, step: int, journal: Journal
    ) -> Generator[bytes, None, None]:
        """Fetch a range on one connection; write it, and add it to the journal after every step."""
        position = noted = start
        with self._source.open(self._found, start, end) as chunks:
            try:
                for chunk in chunks:
                    self._parts.write(position, chunk)
                    position += len(chunk)
                    yield chunk
                    if position - noted >= step:
                        journal.add(noted, position)
                        noted = position
            finally:
                # Bytes that arrived before an error, or before the reader stopped, are added as
                # well.
                if position > noted:
                    journal.add(noted, position)

    def _spread(self, start: int, end: int, journal: Journal) -> Generator[bytes, None, None]:
        """Fetch a range as pieces on several connections; yield them in order."""
        count, stop = self._speed.connections, threading.Event()
        size = max(PIECE_BYTES, min(_LARGEST_PIECE_BYTES, (end - start) // (2 * count)))
        bounds = [(at, min(at + size, end)) for at in range(start, end, size)]
        waiting: deque[Future[list[bytes]]] = deque()
        with ThreadPoolExecutor(count, "download") as threads:
            try:
                for bound in bounds:
                    waiting.append(threads.submit(self._piece, *bound, journal, stop))
                    # One more than there are threads, which bounds the memory.
                    if len(waiting) > count:
                        yield from waiting.popleft().result()
                while waiting:
                    yield from waiting.popleft().result()
            finally:
                # The executor's exit waits for its threads: without this it would wait for whole
                # pieces. Each waiting piece has a thread by now.
                stop.set()

    def _piece(self, start: int, end: int, journal: Journal, stop: threading.Event) -> list[bytes]:
        # All connections together may have at most one part in flight that is not in the journal.
        step, pieces = PART_BYTES // (2 * self._speed.connections), []
        with closing(self._written(start, end, step, journal)) as chunks:
            for chunk in chunks:
                # Incomplete: the result is not read any more.
                if stop.is_set():
                    break
                pieces.append(chunk)
        return pieces


def key_of(found: SourceObject) -> str | None:
    """Return the folder name for the parts of an object version; None if it is not worth one.

    A file of this machine, or of a shared volume, need not be kept; a short object is fetched again
    sooner than it is synced; without a version it is unknown which parts belong together.
    """
    if found.url.startswith("file:") or found.version is None:
        return None
    if found.size_bytes is None or found.size_bytes <= 2 * PART_BYTES:
        return None
    # No URL contains a line feed, so two objects never have the same text.
    text = f"{found.url}\n{found.version}\n{found.size_bytes}"
    return hashlib.sha256(text.encode()).hexdigest()


class _Clock:
    """Measures how long the source makes us wait; the processing of the bytes is not counted."""

    def __init__(self) -> None:
        self._waited = 0.0
        self._bytes = 0

    def timed(self, chunks: Iterator[bytes]) -> Iterator[bytes]:
        waited_from = time.monotonic()
        for chunk in chunks:
            self._waited += time.monotonic() - waited_from
            self._bytes += len(chunk)
            yield chunk
            waited_from = time.monotonic()

    def is_slower_than(self, bytes_per_second: float) -> bool:
        """Return whether the source is slower; False until enough bytes were measured."""
        return self._bytes >= _JUDGED_BYTES and self._bytes < bytes_per_second * self._waited
