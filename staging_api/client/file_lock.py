"""A lock on an open file that the operating system drops with the process, on Unix and Windows."""

from typing import BinaryIO

try:
    import fcntl
except ModuleNotFoundError:  # Windows
    import msvcrt

    #: Windows renames no file that a program has open.
    RENAMES_OPEN_FILES = False

    def try_lock(file: BinaryIO) -> bool:
        """Lock the file unless another process has it locked; False if it has."""
        file.seek(0)
        try:
            # The first byte stands for the file. The process that has the lock reads and writes it.
            msvcrt.locking(file.fileno(), msvcrt.LK_NBLCK, 1)  # type: ignore[attr-defined,unused-ignore]
        except OSError:
            return False
        return True

else:
    RENAMES_OPEN_FILES = True

    def try_lock(file: BinaryIO) -> bool:
        """Lock the file unless another process has it locked; False if it has."""
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)  # type: ignore[attr-defined,unused-ignore]
        except BlockingIOError:
            return False
        return True
