"""Fetched parts of objects, stored so that the next attempt, on any pod, resumes from them.

Each object version has a folder under ``parts/``, and each attempt two files in it: the bytes, at
their own offsets, and a journal of the ranges that are durable. An attempt writes only its own
files and reads those of all, so concurrent attempts, even one that was presumed dead, never
overwrite each other's bytes. Each range has a checksum: bytes that were damaged meanwhile are
fetched again.

What happens if the process dies, or the machine loses power:

- while a part is written: the journal does not name it; its bytes are fetched again, at most
  `PART_BYTES` and the bytes in transit.
- after the bytes are synced, before the journal names them: the same.
- in the middle of a journal line: a line without its end is ignored.
- after the artifact is staged, before `PartStore.forget`: `Spool.sweep` removes the parts later.
"""

import logging
import os
import shutil
import threading
from collections.abc import Callable, Generator, Iterable, Iterator
from contextlib import ExitStack, contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from secrets import token_hex
from typing import Self

from isal.isal_zlib import crc32

from staging_api.errors import NoSpace, StoreFailed
from staging_api.store.disk import disk_failures, kept_in_use, open_file, write_at

log = logging.getLogger(__name__)

#: The journal is written after this many bytes: the most that a crash loses and one sync writes.
PART_BYTES = 8 << 20
_MAX_LINE_BYTES = 80
_READ_BYTES = 1 << 20


@dataclass(frozen=True)
class ResumedRange:
    """A range of an object that an earlier attempt left on the disk.

    Attributes:
        checksum: CRC-32 of its bytes; None: the previous version of the service did not write it.
    """

    start: int
    end: int
    descriptor: int
    checksum: int | None = None


class PartStore:
    """The folders of all objects that are being fetched, or were."""

    def __init__(self, root: Path) -> None:
        self._root = root

    @contextmanager
    def open(self, key: str, size_bytes: int) -> Iterator["Parts"]:
        """Open a new attempt for one object version.

        Args:
            key: name of the version: a word that is safe as a file name.
            size_bytes: length of the object.

        Raises:
            NoSpace: the disk is full.
        """
        folder = self._root / key
        with ExitStack() as stack:
            with disk_failures(folder):
                # This prevents a sweep from removing the folder, however old its files seem.
                stack.enter_context(kept_in_use(folder, _make_folder))
                earlier = [
                    each
                    for journal in sorted(folder.glob("*.done"))
                    for each in _ranges_in(journal, size_bytes, stack)
                ]
                own = folder / token_hex(8)
                data = _opened(own.with_suffix(".data"), stack)
                done = _opened(own.with_suffix(".done"), stack)
            yield Parts(own.with_suffix(".data"), data, done, earlier)

    def forget(self, key: str) -> None:
        """Remove the parts of a version that is staged, or never will be."""
        shutil.rmtree(self._root / key, ignore_errors=True)


class Parts:
    """One attempt for one object version, with the ranges of earlier attempts."""

    def __init__(self, path: Path, data: int, done: int, earlier: list[ResumedRange]) -> None:
        #: File of the attempt's own bytes; a whole object only if every byte was written here.
        self.path = path
        self._data = data
        self._done = done
        self._resumable = earlier
        self._whole: set[ResumedRange] = set()
        #: Whether bytes of an earlier attempt were read.
        self.resumed = False

    def resumed_range_at(self, position: int) -> ResumedRange | None:
        """Return the range of an earlier attempt that extends furthest from this position.

        A range whose bytes changed on the disk is dropped: many sources declare no digest that
        would detect it.
        """
        found = [each for each in self._resumable if each.start <= position < each.end]
        for earlier in sorted(found, key=lambda each: each.end, reverse=True):
            if earlier in self._whole or self._is_whole(earlier):
                self._whole.add(earlier)
                return earlier
            start, end = earlier.start, earlier.end
            log.warning("bytes %d to %d of %s are damaged", start, end, self.path.parent)
            self._resumable.remove(earlier)
        return None

    def next_resumed_range(self, position: int, end: int) -> int:
        """Return the start of the next earlier range after this position, or `end`."""
        return min((each.start for each in self._resumable if each.start > position), default=end)

    def read(self, earlier: ResumedRange, start: int, end: int) -> Generator[bytes, None, None]:
        """Yield the bytes of an earlier range from `start` up to `end`.

        Raises:
            StoreFailed: the bytes can no longer be read; the next attempt fetches them again.
        """
        self.resumed = True
        while start < end:
            with disk_failures(self.path):
                chunk = os.pread(earlier.descriptor, min(_READ_BYTES, end - start), start)
            if not chunk:
                raise StoreFailed(
                    "a part of an earlier attempt was cut; it is fetched again",
                    retry_after_seconds=1,
                )
            start += len(chunk)
            yield chunk

    def write(self, position: int, chunk: bytes) -> None:
        """Write bytes at their position in the attempt's own file.

        Raises:
            NoSpace: the disk is full.
        """
        with disk_failures(self.path):
            write_at(self._data, chunk, position)

    def note(self, ranges: Iterable[tuple[int, int]]) -> None:
        """Sync written ranges and record them in the journal; from one thread at a time.

        Raises:
            NoSpace: the disk is full.
        """
        with disk_failures(self.path):
            # Data before its journal line, because a line promises that the bytes are durable.
            os.fdatasync(self._data)
            lines = (b"%d %d %d\n" % (*each, _checksum(self._data, *each)) for each in ranges)
            os.write(self._done, b"".join(lines))

    @staticmethod
    def _is_whole(earlier: ResumedRange) -> bool:
        with disk_failures(earlier.descriptor):
            actual = _checksum(earlier.descriptor, earlier.start, earlier.end)
        return earlier.checksum in (None, actual)


class Journal:
    """Syncs and records the ranges that arrive, in a separate thread.

    While one half of a part is synced, the other half may arrive; after that the download waits for
    the disk. This costs nothing, because at the end of the download all bytes must be on the disk
    anyway, and it limits the loss by a crash to one part.
    """

    def __init__(self, parts: Parts, checkpoint: Callable[[str], None]) -> None:
        self._parts = parts
        self._checkpoint = checkpoint
        self._ranges: list[tuple[int, int]] = []
        self._unsafe = 0
        self._changed = threading.Condition()
        self._closed = False
        self._thread = threading.Thread(target=self._work, name="journal", daemon=True)

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        with self._changed:
            self._closed = True
            self._changed.notify_all()
        self._thread.join()

    def add(self, start: int, end: int) -> None:
        """Schedule a written range to be synced and recorded; from any thread.

        Waits while more than half a part is not durable yet. A larger range is accepted only alone.
        """
        length = end - start
        with self._changed:
            self._changed.wait_for(
                lambda: not self._unsafe or self._unsafe + length <= PART_BYTES // 2
            )
            self._ranges.append((start, end))
            self._unsafe += length
            self._changed.notify_all()

    def _work(self) -> None:
        while ranges := self._next():
            # A journal that cannot be written costs the next attempt time, but this one nothing.
            with suppress(OSError, NoSpace, StoreFailed):
                self._parts.note(ranges)
            self._checkpoint("part noted")
            with self._changed:
                self._unsafe -= sum(end - start for start, end in ranges)
                self._changed.notify_all()

    def _next(self) -> list[tuple[int, int]]:
        with self._changed:
            self._changed.wait_for(lambda: self._ranges or self._closed)
            ranges, self._ranges = self._ranges, []
            return ranges


def _opened(path: Path, stack: ExitStack) -> int:
    flags = os.O_RDWR | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC
    descriptor = os.open(path, flags, 0o640)
    stack.callback(os.close, descriptor)
    return descriptor


def _ranges_in(journal: Path, size_bytes: int, stack: ExitStack) -> list[ResumedRange]:
    """Return the ranges that the journal of an earlier attempt names and that its file contains."""
    noted, descriptor = open_file(journal), open_file(journal.with_suffix(".data"))
    for each in (noted, descriptor):
        if each is not None:
            stack.callback(os.close, each)
    if noted is None or descriptor is None:
        return []
    end = min(size_bytes, os.fstat(descriptor).st_size)
    with open(noted, "rb", closefd=False) as lines:
        ranges = [_range_of(line) for line in lines]
    return [
        ResumedRange(first, last, descriptor, checksum)
        for first, last, checksum in filter(None, ranges)
        if last <= end
    ]


def _make_folder(folder: Path) -> None:
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except FileExistsError:
        folder.unlink()  # neither a folder nor ours
        folder.mkdir(exist_ok=True)


def _range_of(line: bytes) -> tuple[int, int, int | None] | None:
    """Return start, end and checksum; journals of the previous version have no checksum."""
    # `int` refuses thousands of digits, which only a damaged line has.
    words = line.split() if len(line) <= _MAX_LINE_BYTES else []
    if not line.endswith(b"\n") or len(words) not in (2, 3) or not all(map(bytes.isdigit, words)):
        return None
    start, end, *more = map(int, words)
    return (start, end, more[0] if more else None) if start < end else None


def _checksum(descriptor: int, start: int, end: int) -> int:
    """Compute the CRC-32 of a range of a file, or of its existing part."""
    checksum = 0
    while start < end and (chunk := os.pread(descriptor, min(_READ_BYTES, end - start), start)):
        checksum = crc32(chunk, checksum)
        start += len(chunk)
    return checksum
