"""Lock an open file until the process ends, on Unix and Windows."""

from typing import BinaryIO

try:
    import fcntl
except ModuleNotFoundError:  # Windows
    import msvcrt

    #: Windows cannot rename a file that a program has open.
    RENAMES_OPEN_FILES = False

    def try_lock(file: BinaryIO) -> bool:
        """Lock the file; return False if another process has locked it."""
        file.seek(0)
        try:
            # The first byte stands for the file. Its holder may still read and write it.
            msvcrt.locking(file.fileno(), msvcrt.LK_NBLCK, 1)  # type: ignore[attr-defined,unused-ignore]
        except OSError:
            return False
        return True

else:
    RENAMES_OPEN_FILES = True

    def try_lock(file: BinaryIO) -> bool:
        """Lock the file; return False if another process has locked it."""
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)  # type: ignore[attr-defined,unused-ignore]
        except BlockingIOError:
            return False
        return True
