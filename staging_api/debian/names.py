"""Names by Debian policy: of packages, of architectures, of files in a pool."""

import re

from staging_api.debian.errors import FormatError

#: Keeps file names and index rows within the limits of file systems and PostgreSQL.
MAX_NAME_LENGTH = 128
#: Limit of file systems for one name, in bytes; the names here are ASCII.
MAX_FILE_NAME_LENGTH = 255

_PACKAGE_NAME = re.compile(r"[a-z0-9][a-z0-9+.-]+")
_ARCHITECTURE = re.compile(r"[a-z0-9][a-z0-9-]*")
_NOT_OF_ONE_MACHINE = frozenset({"any", "source"})
_FILE_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9+.~_-]*")


def package_name(value: str) -> str:
    """Return the value if it is a package name by Debian policy 5.6.1.

    Raises:
        FormatError: the value is not a package name, or longer than `MAX_NAME_LENGTH`.
    """
    if len(value) > MAX_NAME_LENGTH or not _PACKAGE_NAME.fullmatch(value):
        raise FormatError(f"{value[:80]!r} is not a package name")
    return value


def binary_architecture(value: str) -> str:
    """Return the value if a binary can have this architecture: ``amd64`` or ``all``, not ``any``.

    Raises:
        FormatError: a binary package cannot have this architecture.
    """
    valid = len(value) <= MAX_NAME_LENGTH and _ARCHITECTURE.fullmatch(value)
    if not valid or not is_of_one_machine(value):
        raise FormatError(f"Architecture: {value[:80]!r} is not the architecture of a binary")
    return value


def is_of_one_machine(value: str) -> bool:
    """Return whether one build can have this architecture, or ``all``: not ``any``, not ``source``.

    Each part of the value counts: ``linux-any`` is not a single architecture either.
    """
    return _NOT_OF_ONE_MACHINE.isdisjoint(value.split("-"))


def safe_file_name(value: str) -> str:
    """Return the value if it can be a file name in the pool: no folder, not hidden, ASCII.

    Raises:
        FormatError: the value cannot be a file name in the pool.
    """
    if len(value) > MAX_FILE_NAME_LENGTH or not _FILE_NAME.fullmatch(value):
        raise FormatError(f"{value[:80]!r} can not be the name of a file in the pool")
    return value
