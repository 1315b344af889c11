"""Small steps on files that the stores share."""

import ctypes
import errno
import os
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path

from staging_api.errors import NoSpace

#: Up to this many files are synced one by one; above it, the file system as a whole.
_FEW = 8
_FULL = (errno.ENOSPC, errno.EDQUOT)
_C = ctypes.CDLL(None, use_errno=True)
_SYNC_FILE_RANGE_WRITE = 2


@contextmanager
def full_disk_told() -> Iterator[None]:
    """Tell a full disk, or a full quota, as `NoSpace`."""
    try:
        yield
    except OSError as error:
        _tell_full(error)
        raise


def new_file(name: str) -> int:
    """Make a file; gives its descriptor.

    Raises:
        NoSpace: the disk is full.
    """
    try:
        return os.open(name, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o640)
    except OSError as error:
        _tell_full(error)
        raise


def write_all(descriptor: int, chunk: bytes) -> None:
    """Write a chunk whole: one call may write less.

    Raises:
        NoSpace: the disk is full.
    """
    try:
        written = os.write(descriptor, chunk)
        while written < len(chunk):
            chunk = chunk[written:]
            written = os.write(descriptor, chunk)
    except OSError as error:
        _tell_full(error)
        raise


def move(old: str, new: str) -> None:
    """Give a file its name, in a folder that may not be there yet."""
    try:
        os.replace(old, new)  # noqa: PTH105 - thousands of times for one artifact
    except FileNotFoundError:
        Path(new).parent.mkdir(parents=True, exist_ok=True)
        Path(old).replace(new)


def write_at(descriptor: int, chunk: bytes, position: int) -> None:
    """Write a chunk whole, at its place."""
    written = os.pwrite(descriptor, chunk, position)
    while written < len(chunk):
        chunk, position = chunk[written:], position + written
        written = os.pwrite(descriptor, chunk, position)


def write_back(descriptor: int, start: int, end: int) -> None:
    """Have what was written to a range brought to the disk soon, so that a later sync is short.

    Waits for nothing and promises nothing: where it cannot be done, the sync does it all.
    """
    length = ctypes.c_int64(end - start)
    _C.sync_file_range(descriptor, ctypes.c_int64(start), length, _SYNC_FILE_RANGE_WRITE)


def reserve(descriptor: int, length: int) -> None:
    """Take the space for a file before it is written.

    Raises:
        NoSpace: there is not so much left.
    """
    # Asked first, because a reservation that fails has by then filled the disk for everybody.
    room = os.fstatvfs(descriptor)
    if length > room.f_bavail * room.f_frsize:
        raise NoSpace(f"the store has no room for {length} bytes")
    try:
        os.posix_fallocate(descriptor, 0, length)
    except OSError as error:
        # Some network file systems cannot reserve; then the writes themselves will tell.
        if error.errno in _FULL:
            raise NoSpace(f"the store has no room for {length} bytes") from None


def sync(paths: Sequence[str | Path]) -> None:
    """Bring files or folders to the disk; many at once by syncing their file system."""
    if len(paths) > _FEW:
        _sync_file_system(paths[0])
        return
    for path in paths:
        descriptor = os.open(path, os.O_RDONLY)
        try:
            os.fsync(descriptor)
        finally:
            os.close(descriptor)


def children(folder: Path) -> list[Path]:
    """What is in a folder; nothing if it is none."""
    try:
        return list(folder.iterdir())
    except (FileNotFoundError, NotADirectoryError):
        return []


def newest_change(folder: Path) -> float:
    """The newest time in a folder (seconds, epoch), so that one long download counts as alive."""
    newest = 0.0
    for path in (folder, *children(folder)):
        with suppress(FileNotFoundError):
            newest = max(newest, path.stat().st_mtime)
    return newest


def _tell_full(error: OSError) -> None:
    if error.errno in _FULL:
        raise NoSpace("the store is full") from None


def _sync_file_system(path: str | Path) -> None:
    descriptor = os.open(path, os.O_RDONLY)
    try:
        if _C.syncfs(descriptor) != 0:
            number = ctypes.get_errno()
            raise OSError(number, os.strerror(number))
    finally:
        os.close(descriptor)
