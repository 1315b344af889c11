"""The stanzas of Packages and Sources, each with the key that sorts it, and the files' names.

A stanza is what its maker wrote, word for word, and then what only the archive knows: where the
file lies, its size and its SHA-256. Weaker hashes are left out; apt needs none of them.
"""

import re
from dataclasses import dataclass
from functools import lru_cache

from staging_api.debian import control
from staging_api.debian.dsc import SourceFile
from staging_api.debian.version import parse_version

# Hashes of the .dsc's own making are replaced by ours, which count the .dsc itself as well.
_REPLACED_IN_SOURCES = frozenset(
    {"source", "package", "directory", "files", "checksums-sha1", "checksums-sha256"}
)
_KEY_FIELD = re.compile(
    r"^(Package|Version|Architecture):[ \t]*(.*)$", re.MULTILINE | re.IGNORECASE
)

#: Where the index files of the packages for the installer lie, in the folder of their component.
INSTALLER_FOLDER = "debian-installer"


@dataclass(frozen=True)
class IndexEntry:
    """One stanza of an index file.

    Attributes:
        key: what sorts it: package, version in Debian's order, architecture; as bytes.
        stanza: its UTF-8 text, with the blank line that ends it.
    """

    key: bytes
    stanza: bytes


def index_key(package: str, version_key: str, architecture: str) -> bytes:
    """The sort key of an entry; the same columns sorted under ``COLLATE "C"`` give this order.

    Args:
        package: the package's name.
        version_key: `Version.sort_key`.
        architecture: as its stanza has it; "" if it has none.
    """
    # NUL is in none of the three and sorts first, so ``a`` with any version comes before ``a-b``.
    return f"{package}\0{version_key}\0{architecture}".encode()


def binary_entry(text: str, path: str, size_bytes: int, sha256: str) -> IndexEntry:
    """The entry of a .deb or .udeb in a Packages file.

    Args:
        text: its control file.
        path: relative to the archive's root.
        size_bytes: of the package file.
        sha256: of the package file, in hex.
    """
    return _entry(f"{text}\nFilename: {path}\nSize: {size_bytes}\nSHA256: {sha256}")


def source_entry(
    text: str, folder: str, dsc: SourceFile, files: tuple[SourceFile, ...]
) -> IndexEntry:
    """The entry of a source package in a Sources file.

    Args:
        text: the stanza of its .dsc.
        folder: where all its files lie, relative to the archive's root.
        dsc: the .dsc itself.
        files: those that the .dsc lists.
    """
    package = control.parse_stanza(text)["source"]
    kept = control.without_fields(text, _REPLACED_IN_SOURCES)
    lines = "".join(f"\n {file.sha256} {file.size_bytes} {file.name}" for file in (dsc, *files))
    return _entry(f"Package: {package}\n{kept}\nDirectory: {folder}\nChecksums-Sha256:{lines}")


def entries_of(plain: bytes) -> list[IndexEntry]:
    """The entries of an index file, or of a piece of one, that we wrote."""
    return [_entry(stanza) for stanza in control.split_stanzas(plain.decode())]


def packages_path(component: str, architecture: str, *, installer: bool = False) -> str:
    """Where a Packages file lies under its suite, without the ending of its form.

    Args:
        component: such as ``main``.
        architecture: such as ``amd64``.
        installer: for the Packages file of the .udebs.
    """
    folder = f"{component}/{INSTALLER_FOLDER}" if installer else component
    return f"{folder}/binary-{architecture}/Packages"


def sources_path(component: str) -> str:
    """Where a Sources file lies under its suite, without the ending of its form."""
    return f"{component}/source/Sources"


@lru_cache(maxsize=16_384)
def _version_key(version: str) -> str:
    """Return the sort key; packages of one source share their version."""
    return parse_version(version).sort_key


def _entry(stanza: str) -> IndexEntry:
    # What came in was parsed by then. A block is read again for each change, stanza by stanza, so
    # only the fields of the key are looked for.
    fields = {name.lower(): value.rstrip() for name, value in _KEY_FIELD.findall(stanza)}
    version_key = _version_key(fields["version"])
    key = index_key(fields["package"], version_key, fields.get("architecture", ""))
    return IndexEntry(key, f"{stanza}\n\n".encode())
