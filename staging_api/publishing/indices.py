"""Stanzas of Packages and Sources files, their sort keys, and the paths of these files.

A stanza is the text of the package's maintainer, unchanged, followed by fields that only the
archive knows: path, size and SHA-256 of the file. Weaker hashes are left out; apt does not need
them.
"""

import re
from dataclasses import dataclass
from functools import lru_cache

from staging_api.debian import control
from staging_api.debian.dsc import SourceFile
from staging_api.debian.version import parse_version

# The hashes in the .dsc are replaced by new ones, which include the .dsc itself.
_REPLACED_IN_SOURCES = frozenset(
    {"source", "package", "directory", "files", "checksums-sha1", "checksums-sha256"}
)
_KEY_FIELD = re.compile(
    r"^(Package|Version|Architecture):[ \t]*(.*)$", re.MULTILINE | re.IGNORECASE
)

#: Folder of the index files for installer packages, in the folder of their component.
INSTALLER_FOLDER = "debian-installer"


@dataclass(frozen=True)
class IndexEntry:
    """A stanza of an index file.

    Attributes:
        key: sort key: package, version in Debian's order, architecture; as bytes.
        stanza: UTF-8 text, with the blank line that ends it.
    """

    key: bytes
    stanza: bytes


def index_key(package: str, version_key: str, architecture: str) -> bytes:
    """Return the sort key of an entry; the same columns under ``COLLATE "C"`` have this order.

    Args:
        package: name of the package.
        version_key: `Version.sort_key`.
        architecture: architecture in the stanza; "" if it has none.
    """
    # None of the three contains NUL, which sorts first, so ``a`` with any version comes before
    # ``a-b``.
    return f"{package}\0{version_key}\0{architecture}".encode()


def binary_entry(text: str, path: str, size_bytes: int, sha256: str) -> IndexEntry:
    """Return the entry of a .deb or .udeb in a Packages file.

    Args:
        text: control file of the package.
        path: path of the package file, relative to the archive's root.
        size_bytes: size of the package file.
        sha256: digest of the package file, in hex.
    """
    return _entry(f"{text}\nFilename: {path}\nSize: {size_bytes}\nSHA256: {sha256}")


def source_entry(
    text: str, folder: str, dsc: SourceFile, files: tuple[SourceFile, ...]
) -> IndexEntry:
    """Return the entry of a source package in a Sources file.

    Args:
        text: stanza of the .dsc.
        folder: folder of all files of the source, relative to the archive's root.
        dsc: the .dsc itself.
        files: the files listed in the .dsc.
    """
    package = control.parse_stanza(text)["source"]
    kept = control.without_fields(text, _REPLACED_IN_SOURCES)
    lines = "".join(f"\n {file.sha256} {file.size_bytes} {file.name}" for file in (dsc, *files))
    return _entry(f"Package: {package}\n{kept}\nDirectory: {folder}\nChecksums-Sha256:{lines}")


def entries_of(plain: bytes) -> list[IndexEntry]:
    """Parse the entries of an index file written by this service, or of a part of one."""
    return [_entry(stanza) for stanza in control.split_stanzas(plain.decode())]


def packages_path(component: str, architecture: str, *, installer: bool = False) -> str:
    """Return the path of a Packages file below its suite, without the suffix of its form.

    Args:
        component: component, such as ``main``.
        architecture: architecture, such as ``amd64``.
        installer: whether it is the Packages file of the .udebs.
    """
    folder = f"{component}/{INSTALLER_FOLDER}" if installer else component
    return f"{folder}/binary-{architecture}/Packages"


def sources_path(component: str) -> str:
    """Return the path of a Sources file below its suite, without the suffix of its form."""
    return f"{component}/source/Sources"


@lru_cache(maxsize=16_384)
def _version_key(version: str) -> str:
    """Return the sort key, cached because packages of one source share their version."""
    return parse_version(version).sort_key


def _entry(stanza: str) -> IndexEntry:
    # The input was checked at its intake. A block is parsed again for each change, stanza by
    # stanza, so only the fields of the key are extracted.
    fields = {name.lower(): value.rstrip() for name, value in _KEY_FIELD.findall(stanza)}
    version_key = _version_key(fields["version"])
    key = index_key(fields["package"], version_key, fields.get("architecture", ""))
    return IndexEntry(key, f"{stanza}\n\n".encode())
