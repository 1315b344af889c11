"""Free space of the disk on which a file lies, in the words of an error."""

import errno
import os
import shutil
from pathlib import Path

_FULL = frozenset({errno.ENOSPC, errno.EDQUOT})

#: A file or folder, by its path or an open descriptor.
Place = str | Path | int


def is_full(error: OSError) -> bool:
    """Return whether a disk, or a quota on it, has no space left."""
    return error.errno in _FULL


def folder_of(place: Place) -> Path:
    """Return the nearest folder that exists, above a file or the folder itself."""
    path = Path(place) if not isinstance(place, int) else _path_of(place)
    # Not by Path.is_dir(), which raises errors of folders that deny access.
    folders = (each for each in (path, *path.absolute().parents) if os.path.isdir(each))  # noqa: PTH112
    return next(folders, path)


def full_disk(place: Place, error: OSError | None = None, needed_bytes: int | None = None) -> str:
    """Return a sentence that names the folder of a full disk, what is free and what is needed.

    Args:
        place: what could not be written.
        error: the refusal; None: the space is known to be too little.
        needed_bytes: bytes that were to be written; None: unknown.
    """
    folder = folder_of(place)
    quota = " quota" if error is not None and error.errno == errno.EDQUOT else ""
    state = "has too little space" if error is None else "is full"
    needed = "" if needed_bytes is None else f"{needed_bytes} bytes are needed, and "
    return (
        f"the disk{quota} of {folder} {state}: {needed}{free_space(folder)};"
        " free space on it, or enlarge it"
    )


def free_space(folder: Path) -> str:
    """Return how many bytes of a disk are free, and whether it can have no more files."""
    try:
        room = shutil.disk_usage(folder)
        # Many file systems have a fixed number of inodes. Windows has none.
        inodes = os.statvfs(folder) if hasattr(os, "statvfs") else None
    except OSError as error:
        return f"its free space cannot be read ({error.strerror})"
    free = f"{room.free} of its {room.total} bytes are free"
    if inodes is not None and inodes.f_files and not inodes.f_favail:
        free += f", but none of its {inodes.f_files} inodes, so it can have no more files"
    return free


def _path_of(descriptor: int) -> Path:
    try:
        return Path(f"/proc/self/fd/{descriptor}").readlink()
    except OSError:  # no /proc
        return Path.cwd()
