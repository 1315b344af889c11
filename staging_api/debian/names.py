"""Names by Debian's policy: of packages, of architectures, of files in a pool."""

import re

from staging_api.debian.errors import FormatError

#: Bounds that keep file names and index rows within what file systems and PostgreSQL take.
MAX_NAME_LENGTH = 128
#: What file systems allow for one name, in bytes; our names are ASCII.
MAX_FILE_NAME_LENGTH = 255

_PACKAGE_NAME = re.compile(r"[a-z0-9][a-z0-9+.-]+")
_ARCHITECTURE = re.compile(r"[a-z0-9][a-z0-9-]*")
_NOT_OF_ONE_MACHINE = frozenset({"any", "source"})
_FILE_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9+.~_-]*")


def package_name(value: str) -> str:
    """The value, if it is a package's name by Debian policy 5.6.1.

    Raises:
        FormatError: it is not, or longer than `MAX_NAME_LENGTH`.
    """
    if len(value) > MAX_NAME_LENGTH or not _PACKAGE_NAME.fullmatch(value):
        raise FormatError(f"{value[:80]!r} is not a package name")
    return value


def binary_architecture(value: str) -> str:
    """The value, if one binary package can be built for it: ``amd64`` or ``all``, not ``any``.

    Raises:
        FormatError: it cannot.
    """
    valid = len(value) <= MAX_NAME_LENGTH and _ARCHITECTURE.fullmatch(value)
    if not valid or not is_of_one_machine(value):
        raise FormatError(f"Architecture: {value[:80]!r} is not the architecture of a binary")
    return value


def is_of_one_machine(value: str) -> bool:
    """Whether a package can be built for this architecture, or for all: not ``any``, not a source.

    Any part of it counts: ``linux-any`` is as little one machine.
    """
    return _NOT_OF_ONE_MACHINE.isdisjoint(value.split("-"))


def safe_file_name(value: str) -> str:
    """The value, if it can be a file's name in the pool: no folder, nothing hidden, ASCII.

    Raises:
        FormatError: it can not.
    """
    if len(value) > MAX_FILE_NAME_LENGTH or not _FILE_NAME.fullmatch(value):
        raise FormatError(f"{value[:80]!r} can not be the name of a file in the pool")
    return value
