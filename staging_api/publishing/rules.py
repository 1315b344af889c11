"""THE rules for what an archive is called and described with: asked at the door and by the press.

Whatever passes here can be written into a Release, into the path of an index file and into a path
of the pool; nothing else is taken. So a request is refused, and not the next run.
"""

import re
import unicodedata
from collections.abc import Iterator
from contextlib import contextmanager

from staging_api.debian.errors import FormatError
from staging_api.debian.names import is_of_one_machine
from staging_api.errors import Invalid, PackageInvalid

#: The first segment below ``/archive``.
ARCHIVE_NAME = r"^[a-z0-9][a-z0-9.+-]{0,63}$"
#: Names, codenames and aliases of suites: a folder below ``dists``, a word in sources.list.
SUITE_NAME = r"^[a-zA-Z0-9][a-zA-Z0-9.+~_-]{0,127}$"
#: Components, such as main, and architectures.
WORD = r"^[a-z0-9][a-z0-9-]{0,63}$"
MAX_LINE_LENGTH = 500

# Line breaks of any kind write further fields for some reader; surrogates are no text at all.
_NOT_IN_A_LINE = frozenset({"Cc", "Cs", "Zl", "Zp"})


def line(name: str, value: str) -> str:
    """The value as a field of Release shows it, without blanks round it.

    Args:
        name: of the field, for the error.
        value: such as a label.

    Raises:
        Invalid: it has a line break or another control character, or is too long.
    """
    if len(value) > MAX_LINE_LENGTH:
        raise Invalid.field(name, f"may have {MAX_LINE_LENGTH} characters at most")
    if not _NOT_IN_A_LINE.isdisjoint(map(unicodedata.category, value)):
        raise Invalid.field(name, "may have no line break or control character")
    return value.strip()


def component(name: str, value: str) -> str:
    """The value, if it names a component: one short, lower-case path segment.

    Raises:
        Invalid: it does not.
    """
    if not re.fullmatch(WORD.strip("^$"), value):
        raise Invalid.field(name, f"{value[:80]!r} is not a component's name")
    return value


def architecture(name: str, value: str) -> str:
    """The value, if a suite can have it as one of its architectures.

    Raises:
        Invalid: it cannot; says why.
    """
    if not re.fullmatch(WORD.strip("^$"), value):
        raise Invalid.field(name, f"{value[:80]!r} is not an architecture's name")
    if value == "all":
        raise Invalid.field(name, "packages for all are in the index of each architecture")
    if not is_of_one_machine(value):
        raise Invalid.field(name, f"{value!r} is not the architecture of a machine")
    return value


@contextmanager
def package_refusals() -> Iterator[None]:
    """Translate a refusal by the package `staging_api.debian` to an error of the service."""
    try:
        yield
    except FormatError as error:
        raise PackageInvalid(str(error)) from error
