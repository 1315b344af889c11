"""Rules for names and descriptions of archives and suites.

The API checks requests by these rules. A valid value can be written into a Release, into the path
of an index file and into a path of the pool, so a bad value is refused with its request and does
not fail the next run.
"""

import re
import unicodedata
from collections.abc import Iterator
from contextlib import contextmanager

from staging_api.debian.errors import FormatError
from staging_api.debian.names import is_of_one_machine
from staging_api.errors import Invalid, PackageInvalid

#: Name of an archive: the first path segment below ``/archive``.
ARCHIVE_NAME = r"^[a-z0-9][a-z0-9.+-]{0,63}$"
#: Names, codenames and aliases of suites: folders below ``dists``, words in sources.list.
SUITE_NAME = r"^[a-zA-Z0-9][a-zA-Z0-9.+~_-]{0,127}$"
#: Components: main, mysql-8.0, updates/main. Each segment is a folder below that of the suite.
COMPONENT = r"^[a-zA-Z0-9][a-zA-Z0-9.+~_-]{0,63}(/[a-zA-Z0-9][a-zA-Z0-9.+~_-]{0,63}){0,3}$"
#: Components whose folder would contain other files of the suite, or of a component above.
_TAKEN_FOLDER = re.compile(
    r"^(Release|InRelease|Release\.gpg)(/|$)|/(source|debian-installer|by-hash|binary-[^/]*)(/|$)"
)
#: Architectures, such as amd64.
WORD = r"^[a-z0-9][a-z0-9-]{0,63}$"
MAX_LINE_LENGTH = 500
#: Maximum number of Packages files of an archive: one for each component and architecture of each
#: suite. A generation may have all of them, twice with those for the installer, in four forms. It
#: goes live in one transaction, which may last 15 s at most because of the lock.
MAX_PACKAGES_FILES = 2500

# To some parsers, line breaks of any kind start another field; surrogates are not valid text.
_NOT_IN_A_LINE = frozenset({"Cc", "Cs", "Zl", "Zp"})


def line(name: str, value: str) -> str:
    """Return the value of a Release field without surrounding blanks.

    Args:
        name: name of the field, for the error.
        value: value of the field, such as a label.

    Raises:
        Invalid: the value has a line break or another control character, or is too long.
    """
    if len(value) > MAX_LINE_LENGTH:
        raise Invalid.field(name, f"may have {MAX_LINE_LENGTH} characters at most")
    if not _NOT_IN_A_LINE.isdisjoint(map(unicodedata.category, value)):
        raise Invalid.field(name, "may have no line break or control character")
    return value.strip()


def component(name: str, value: str) -> str:
    """Return the value if it is a component name: up to four short path segments.

    Raises:
        Invalid: the value is not a component name, or its folder would contain other files.
    """
    if not re.fullmatch(COMPONENT.strip("^$"), value):
        raise Invalid.field(name, f"{value[:80]!r} is not a component's name")
    if _TAKEN_FOLDER.search(value):
        raise Invalid.field(name, f"{value[:80]!r} is a folder for other files of a suite")
    return value


def architecture(name: str, value: str) -> str:
    """Return the value if a suite can have it as an architecture.

    Raises:
        Invalid: a suite cannot have it; the message gives the reason.
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
