"""Basic file operations shared by the stores."""

import ctypes
import errno
import fcntl
import logging
import os
import shutil
import stat
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, contextmanager
from pathlib import Path

from staging_api.disk_room import Place, folder_of, full_disk, is_full
from staging_api.errors import NoSpace, StoreDenied, StoreFailed, StoreReadOnly

log = logging.getLogger(__name__)

#: Up to this many files are synced one by one; more, by syncing the whole file system.
_FEW = 8
#: Errors of a disk or network volume that does not respond: neither "absent" nor "wrong".
_NOT_RESPONDING = (
    *(errno.EIO, errno.ESTALE, errno.ENODEV, errno.ENXIO, errno.ENOTCONN, errno.ETIMEDOUT),
    *(errno.EHOSTDOWN, errno.EREMOTEIO, errno.EUCLEAN, errno.EMFILE, errno.ENFILE),
)
_COMPARED_BYTES = 1 << 20
#: Block size of most file systems: fewer zeros save no space.
_HOLE_BYTES = 4 << 10
#: As long as the longest chunk.
_ZEROS = bytes(1 << 20)
_C = ctypes.CDLL(None, use_errno=True)
_SYNC_FILE_RANGE_WRITE = 2


@contextmanager
def disk_failures(place: Place) -> Iterator[None]:
    """Translate errors of a disk: full, read-only, denied, not responding; other errors are kept.

    Args:
        place: a file or folder on the disk, for the error.

    Raises:
        NoSpace: the disk, or a quota on it, is full.
        StoreFailed: the disk is read-only, denies access, or does not respond.
    """
    try:
        yield
    except OSError as error:
        _raise_refusal(error, place)
        raise


def new_file(name: str) -> int:
    """Create a file; return its descriptor.

    Raises:
        NoSpace: the disk is full.
    """
    try:
        return os.open(name, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o640)
    except OSError as error:
        _raise_refusal(error, name)
        raise


def write_all(descriptor: int, chunk: bytes) -> None:
    """Write a whole chunk, because one system call may write less.

    Raises:
        NoSpace: the disk is full.
    """
    try:
        written = os.write(descriptor, chunk)
        while written < len(chunk):
            chunk = chunk[written:]
            written = os.write(descriptor, chunk)
    except OSError as error:
        _raise_refusal(error, descriptor, len(chunk))
        raise


def write_or_skip(descriptor: int, chunk: bytes) -> None:
    """Write a whole chunk; a chunk of zeros becomes a hole, if the file system supports holes.

    Raises:
        NoSpace: the disk is full.
    """
    if len(chunk) < _HOLE_BYTES or chunk != _ZEROS[: len(chunk)]:
        write_all(descriptor, chunk)
        return
    with disk_failures(descriptor):
        # Extend the length at once, because a reader may follow the file.
        os.ftruncate(descriptor, os.lseek(descriptor, len(chunk), os.SEEK_CUR))


def move(old: str, new: str) -> None:
    """Rename a file to its final name, in a folder that may not exist yet."""
    try:
        os.replace(old, new)  # noqa: PTH105 - thousands of times for one artifact
    except FileNotFoundError:
        Path(new).parent.mkdir(parents=True, exist_ok=True)
        Path(old).replace(new)


def write_at(descriptor: int, chunk: bytes, position: int) -> None:
    """Write a whole chunk at its position."""
    written = os.pwrite(descriptor, chunk, position)
    while written < len(chunk):
        chunk, position = chunk[written:], position + written
        written = os.pwrite(descriptor, chunk, position)


def write_back(descriptor: int, start: int, end: int) -> None:
    """Start writing a range to the disk, so that a later sync is short.

    This neither waits nor guarantees anything: the later sync does the rest.
    """
    length = ctypes.c_int64(end - start)
    _C.sync_file_range(descriptor, ctypes.c_int64(start), length, _SYNC_FILE_RANGE_WRITE)


def reserve(descriptor: int, length: int) -> None:
    """Allocate the space for a file before it is written.

    Raises:
        NoSpace: there is not enough space.
    """
    # Checked first, because a failing allocation temporarily fills the disk for all processes.
    room = os.fstatvfs(descriptor)
    if length > room.f_blocks * room.f_frsize:
        raise NoSpace(full_disk(descriptor, needed_bytes=length), retryable=False)
    if length > room.f_bavail * room.f_frsize:
        raise NoSpace(full_disk(descriptor, needed_bytes=length))
    try:
        os.posix_fallocate(descriptor, 0, length)
    except OSError as error:
        # Some network file systems cannot allocate; in that case the writes themselves will fail.
        if is_full(error):
            raise NoSpace(full_disk(descriptor, error, length)) from None


def sync(paths: Sequence[str | Path]) -> None:
    """Write files or folders to the disk; many together, by syncing their file system."""
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
    """Return the entries of a folder; empty if it is not a folder.

    Raises:
        StoreFailed: the folder cannot be read.
    """
    with disk_failures(folder):
        try:
            return list(folder.iterdir())
        except (FileNotFoundError, NotADirectoryError):
            return []


def time_of(folder: Path) -> float:
    """Return the time (seconds, epoch) by the clock that dates the files of a folder's file system.

    That may be the clock of another machine. The folder's own time is updated; this needs no space,
    so it works on a full disk.
    """
    with disk_failures(folder):
        folder.mkdir(parents=True, exist_ok=True)
        os.utime(folder)
        return folder.stat().st_mtime


@contextmanager
def kept_in_use(folder: Path, make: Callable[[Path], None]) -> Iterator[None]:
    """Create a folder with `make`, and protect it from `remove_unused` during the block.

    The protection is a lock, which the kernel releases when the process dies. All processes of a
    machine see it, and with file systems that share locks (such as CephFS) other machines, too. On
    a file system without locks there is no protection.
    """
    while True:
        make(folder)
        try:
            descriptor = os.open(folder, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
        except FileNotFoundError:
            continue  # removed meanwhile
        _lock(descriptor, fcntl.LOCK_SH)
        if folder.exists():
            break
        os.close(descriptor)  # removed while this waited for the lock
    try:
        yield
    finally:
        os.close(descriptor)


@contextmanager
def alone_in(folder: Path) -> Iterator[None]:
    """Exclude other processes and threads that call this for the same folder during the block.

    Between machines this works only on file systems that share locks, like `kept_in_use`.
    """
    descriptor = os.open(folder, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        _lock(descriptor, fcntl.LOCK_EX)
        yield
    finally:
        os.close(descriptor)


def remove_unused(path: Path) -> bool:
    """Remove a file, or a folder with its contents, unless in use; return whether it was removed.

    Raises:
        OSError: a part cannot be removed; the rest is removed.
    """
    with ExitStack() as stack:
        try:
            descriptor = os.open(path, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC)
        except OSError:
            pass  # not a folder, or not readable: so not in use
        else:
            stack.callback(os.close, descriptor)
            if not _lock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB):
                return False
        remove_tree(path)
    return True


def newest_change(folder: Path) -> float:
    """Return the newest time in a folder (seconds, epoch), so that a long download is alive."""
    newest = 0.0
    for path in (folder, *children(folder)):
        try:
            newest = max(newest, path.lstat().st_mtime)
        except FileNotFoundError:
            continue
    return newest


def remove_tree(path: Path) -> None:
    """Remove a file, or a folder with its contents; a link is removed, but not its target.

    Raises:
        OSError: a part cannot be removed; the rest is removed.
    """
    if path.is_dir() and not path.is_symlink():
        shutil.rmtree(path, ignore_errors=True)
        if path.exists():
            shutil.rmtree(path)  # raises the error that names the obstacle
    else:
        path.unlink(missing_ok=True)


def length_of(name: str | Path) -> int | None:
    """Return the length of a regular file; None: there is no regular file at this name."""
    with disk_failures(name):
        try:
            facts = os.lstat(name)
        except (FileNotFoundError, NotADirectoryError):
            return None
    return facts.st_size if stat.S_ISREG(facts.st_mode) else None


def open_file(name: str | Path) -> int | None:
    """Open a regular file for reading; None: there is no regular file at this name."""
    # Do not follow a link, and do not block on a pipe without a writer.
    flags = os.O_RDONLY | os.O_CLOEXEC | os.O_NOFOLLOW | os.O_NONBLOCK
    with disk_failures(name):
        try:
            descriptor = os.open(name, flags)
        except (FileNotFoundError, NotADirectoryError):
            return None
        except OSError as error:
            if error.errno in (errno.ELOOP, errno.ENXIO):
                return None
            raise
    if stat.S_ISREG(os.fstat(descriptor).st_mode):
        return descriptor
    os.close(descriptor)
    return None


def same_bytes(one: str | Path, other: str | Path) -> bool:
    """Return whether two regular files have the same content."""
    with open(one, "rb") as first, open(other, "rb") as second:  # noqa: PTH123
        while True:
            chunk = first.read(_COMPARED_BYTES)
            if chunk != second.read(_COMPARED_BYTES):
                return False
            if not chunk:
                return True


def _lock(descriptor: int, operation: int) -> bool:
    """Lock a folder; False: another process holds the lock.

    True if the file system has no locks.
    """
    try:
        fcntl.flock(descriptor, operation)
    except BlockingIOError:
        return False
    except OSError:
        log.debug(
            "a file system has no locks; folders in use are known by their age only", exc_info=True
        )
    return True


def _raise_refusal(error: OSError, place: Place, needed_bytes: int | None = None) -> None:
    if is_full(error):
        raise NoSpace(full_disk(place, error, needed_bytes)) from None
    if error.errno in (errno.EACCES, errno.EPERM):
        raise StoreDenied(
            f"the store's disk denies access to {error.filename or folder_of(place)}:"
            " its files must belong to the service's user"
        ) from None
    if error.errno == errno.EROFS:
        raise StoreReadOnly(
            f"the store's disk is mounted read-only at {folder_of(place)}: see the kernel's log,"
            " repair and remount it"
        ) from None
    if error.errno in _NOT_RESPONDING:
        raise StoreFailed(
            f"the store's disk does not answer ({error.strerror}): check its volume",
            retry_after_seconds=10,
        ) from None


def _sync_file_system(path: str | Path) -> None:
    descriptor = os.open(path, os.O_RDONLY)
    try:
        if _C.syncfs(descriptor) != 0:
            number = ctypes.get_errno()
            raise OSError(number, os.strerror(number))
    finally:
        os.close(descriptor)
