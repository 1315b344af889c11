"""Batch of new content for a store: written to files first, then committed or discarded."""

import hashlib
import itertools
import os
import threading
from collections.abc import Callable, Iterable, Mapping
from pathlib import Path
from typing import Protocol

from staging_api.errors import NotFound
from staging_api.store.blobs import Blob, Checkpoint, Reserve, no_stop
from staging_api.store.disk import (
    disk_failures,
    new_file,
    reserve,
    write_all,
    write_back,
    write_or_skip,
)
from staging_api.store.pack_writer import PackWriter

#: For smaller files, reserving the space first costs more than it saves.
_WORTH_RESERVING = 1 << 20
#: Number of bytes after which the disk begins to write them, while more arrive.
_WRITE_BACK_BYTES = 8 << 20


class BatchStore(Protocol):
    """The methods of a store that a batch calls."""

    def mark_used(self, blob: Blob) -> bool:
        """Return whether the blob exists with this length; set its last use to now."""

    def take(self, files: Mapping[Blob, str], checkpoint: Checkpoint) -> None:
        """Make these files durable, and only then give them their names.

        A blob that already exists is only marked as used; a different file in its place is
        replaced.
        """


class Batch:
    """Blobs that become visible together, after all their bytes are durable.

    An archive may have a hundred thousand small files. Therefore paths are plain strings here, and
    a small file costs no more system calls than creating it requires.
    """

    def __init__(self, keeper: BatchStore, folder: Path, reserve: Reserve) -> None:
        self._keeper = keeper
        self._folder = str(folder)
        self._reserve = reserve
        self._written: dict[Blob, str] = {}
        self._pack: PackWriter | None = None
        self._lock = threading.Lock()
        # Its `next` is one bytecode, so two threads never get the same number.
        self._numbers = itertools.count()

    @property
    def folder(self) -> Path:
        """Folder of the batch's files until they have their final names."""
        return Path(self._folder)

    def new_file(self) -> Path:
        """Return a path for one stream; a reader may follow the bytes written to it."""
        return Path(self._new_name())

    def keep(
        self,
        chunks: Iterable[bytes],
        expected_bytes: int | None = None,
        file: Path | None = None,
        *,
        sparse: bool = False,
    ) -> Blob:
        """Write and hash one stream; safe to call from several threads.

        Args:
            chunks: the stream, read to its end.
            expected_bytes: its length if known, to detect a full disk before writing.
            file: a path from `new_file` to write to; None: any.
            sparse: whether chunks of zeros become holes. The quota counts them nevertheless: a copy
                in a bucket, or on a disk without holes, contains their bytes.

        Raises:
            NoSpace: the disk or its quota is full.
        """
        name = self._new_name() if file is None else str(file)
        self._reserve(expected_bytes or 0)
        descriptor = new_file(name)
        try:
            # Reserving the space on the disk would fill the holes.
            if not sparse and expected_bytes and expected_bytes >= _WORTH_RESERVING:
                reserve(descriptor, expected_bytes)
            write = write_or_skip if sparse else write_all
            blob = _write(descriptor, chunks, expected_bytes, self._reserve, write)
        finally:
            # A network file system may report only now that the disk or its quota is full.
            with disk_failures(name):
                os.close(descriptor)
        return self._written_as(blob, name)

    def keep_small(self, content: bytes) -> tuple[bytes, int]:
        """Add a small content to the pack of this batch; not thread-safe.

        Returns:
            Its digest, and its offset in the pack that `seal_pack` returns.

        Raises:
            NoSpace: the disk or its quota is full.
        """
        if self._pack is None:
            self._pack = PackWriter(self._new_name(), self._reserve)
        return self._pack.add(content)

    def seal_pack(self) -> Blob | None:
        """Finish the pack; None: there are so few contents that each becomes a separate blob.

        Raises:
            NoSpace: the disk or its quota is full.
        """
        pack, self._pack = self._pack, None
        if pack is None:
            return None
        if (few := pack.few()) is not None:
            for content in few:
                self.keep([content], len(content))
            return None
        return self._written_as(Blob(*pack.seal()), pack.file)

    def close(self) -> None:
        """Close open files; the files are removed with their folder."""
        if self._pack is not None:
            self._pack.close()

    def adopt(self, path: Path, chunks: Iterable[bytes]) -> Blob:
        """Add a file of this store's parts that is no longer written.

        Args:
            path: the file.
            chunks: its bytes, to be hashed.
        """
        digest, size = hashlib.sha256(), 0
        for chunk in chunks:
            digest.update(chunk)
            size += len(chunk)
        temporary = self.new_file()
        with disk_failures(path):
            os.truncate(path, size)
            # A second name instead of a move: until the row is written the parts must stay
            # complete.
            temporary.hardlink_to(path)
        return self._written_as(Blob(digest.hexdigest(), size), str(temporary))

    def reuse(self, blob: Blob) -> None:
        """Mark a blob of the store as used, so that garbage collection does not remove it.

        Raises:
            NotFound: the blob was removed or truncated since it was found.
        """
        if not self._keeper.mark_used(blob):
            raise NotFound(f"the store has no blob {blob.sha256} of {blob.size_bytes} bytes")

    def commit(self, checkpoint: Checkpoint = no_stop) -> None:
        """Make all kept content durable, then give it its names.

        Raises:
            NoSpace: the disk or its quota is full.
        """
        checkpoint("batch written")
        with disk_failures(self._folder):
            self._keeper.take(self._written, checkpoint)
        self._written.clear()

    def _new_name(self) -> str:
        return f"{self._folder}/{next(self._numbers)}"

    def _written_as(self, blob: Blob, name: str) -> Blob:
        with self._lock:
            kept = self._written.setdefault(blob, name)
        # An archive may contain the same file twice, or the same archive twice: one copy is enough.
        if kept is not name:
            os.unlink(name)  # noqa: PTH108
        return blob


def _write(
    descriptor: int,
    chunks: Iterable[bytes],
    expected_bytes: int | None,
    reserve_quota: Reserve,
    write: Callable[[int, bytes], None],
) -> Blob:
    """Write and hash a stream; the quota for the expected bytes is already reserved."""
    digest, size, sent, reserved = hashlib.sha256(), 0, 0, expected_bytes or 0
    for chunk in chunks:
        size += len(chunk)
        if size > reserved:
            reserve_quota(size - reserved)
            reserved = size
        digest.update(chunk)
        write(descriptor, chunk)
        if size - sent >= _WRITE_BACK_BYTES:
            write_back(descriptor, sent, size)
            sent = size
    # Release reserved space that was not needed.
    if expected_bytes is not None and expected_bytes > size:
        os.truncate(descriptor, size)
    return Blob(digest.hexdigest(), size)
