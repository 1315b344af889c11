"""Small text files that settings name: tokens, keys, credentials."""

import errno
import os
import stat
from pathlib import Path

from staging_api.errors import Invalid

_MOST_BYTES = 16 << 20


def read_small_file(path: Path) -> str:
    """Return the text of a file of at most 16 MiB, without a byte order mark.

    Named pipes and devices are not opened: reading one could block or never end.

    Raises:
        OSError: the file cannot be read, is not a regular file, is too long, or is not UTF-8.
    """
    facts = path.stat()
    if not stat.S_ISREG(facts.st_mode):
        raise OSError(errno.EINVAL, "is not a file")
    if facts.st_size > _MOST_BYTES:
        raise OSError(errno.EFBIG, f"has more than {_MOST_BYTES} bytes")
    try:
        return path.read_text(encoding="utf-8-sig")
    except UnicodeDecodeError:
        raise OSError(errno.EILSEQ, "is not text in UTF-8") from None


#: Changes with the file; None while the file cannot be accessed.
FileVersion = tuple[int, int, int, int] | None


def file_version(path: Path) -> FileVersion:
    """Return what changes with the file, also when a Secret's symbolic link is switched."""
    try:
        found = os.stat(path)  # noqa: PTH116 - runs on each request; Path.stat costs twice as much
    except OSError:
        return None
    return found.st_mtime_ns, found.st_ctime_ns, found.st_ino, found.st_size


def read_file_of(setting: str, path: Path) -> str:
    """Return the text of a small file that a setting names.

    Raises:
        Invalid: the file cannot be read; the error names the setting.
    """
    try:
        return read_small_file(path)
    except OSError as error:
        raise Invalid.field(setting, f"{path} cannot be read: {error.strerror}") from None


def check_authorities(setting: str, path: Path) -> None:
    """Check the CA certificates in the file that a setting names.

    Raises:
        Invalid: there is no such file, or no certificate in it; the error names the setting.
    """
    import ssl  # the import takes 10 ms, which most verbs of documents need not spend

    try:
        ssl.create_default_context(cafile=str(path))
    except OSError:
        raise Invalid.field(setting, f"{path} has no certificates that can be read") from None
