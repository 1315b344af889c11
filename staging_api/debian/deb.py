"""Binary packages: read the control file of a .deb or .udeb, and check its outer format.

The input is hostile until this module has checked it. Every size is checked against a limit before
it is used, and everything that two tools could read differently is refused: a second control
member, a name that becomes ``./control`` only after normalisation, a pax header that renames the
next member. The data member is skipped, not read: it may have gigabytes, the store already computed
its digest, and packages are published, not unpacked.

What if the process dies? This module writes nothing, so there is nothing to clean up.
"""

import io
import re
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from typing import BinaryIO

from staging_api.debian import control
from staging_api.debian.errors import FormatError
from staging_api.debian.forms import Form, unpack
from staging_api.debian.names import binary_architecture, package_name
from staging_api.debian.tar import tar_files
from staging_api.debian.version import Version, parse_version

_AR_MAGIC = b"!<arch>\n"
_AR_HEADER = re.compile(rb"([!-~ ]{16})[ -~]{32}([0-9]{1,10}) *`\n")
_AR_HEADER_BYTES = 60
_FORMAT = re.compile(rb"2\.[0-9]+\n")
_CONTROL_FORMS = {f"control.tar{form}": form for form in Form}
_DATA_NAMES = [f"data.tar{suffix}" for suffix in (*Form, ".bz2", ".lzma")]

# The archive writes these fields itself; in a package that has them they would appear twice.
_WRITTEN_BY_US = frozenset(
    {"filename", "size", "md5sum", "sha1", "sha256", "sha512", "directory", "status"}
)


@dataclass(frozen=True)
class DebLimits:
    """Resource limits for reading one package.

    Attributes:
        file_bytes: size of the whole package.
        packed_bytes: size of the compressed control member.
        unpacked_bytes: size of the control member when unpacked; the largest known one, with the
            checksums of 90,000 fonts, has 9 MB.
        control_bytes: size of the control file.
        members: number of members of the outer archive, and of files in the control member.
    """

    file_bytes: int = 16 << 30
    packed_bytes: int = 16 << 20
    unpacked_bytes: int = 32 << 20
    control_bytes: int = 1 << 20
    members: int = 1000


@dataclass(frozen=True)
class BinaryPackage:
    """Checked metadata of a .deb.

    Attributes:
        control: its control file, with known fields in their usual spelling and Package first.
        fields: the fields of the control file by lower-case name.
        package: the name of the package.
        version: the version of the package.
        architecture: the architecture that it runs on, or ``all``.
        source: the name of the source that it was built from.
        source_version: the version of that source.
        latin_1: whether its control file was Latin-1, and not UTF-8.
    """

    control: str
    fields: Mapping[str, str] = field(repr=False)
    package: str
    version: Version
    architecture: str
    source: str
    source_version: Version
    latin_1: bool


def read_deb(file: BinaryIO, limits: DebLimits = DebLimits()) -> BinaryPackage:
    """Read the control file of a binary package, and the headers of all its members.

    Args:
        file: the package; must be seekable, because the data member is skipped.
        limits: resource limits.

    Raises:
        FormatError: the package is malformed, unsafe or over a limit.
    """
    reader = _Reader(file, limits.file_bytes)
    text, latin_1 = control.decode_stanza(_control_file(reader, limits), limits.control_bytes)
    fields = control.parse_stanza(text)
    if not _WRITTEN_BY_US.isdisjoint(fields):
        taken = sorted(_WRITTEN_BY_US.intersection(fields))
        raise FormatError(f"The control file has fields that the archive writes: {taken}")
    source, source_version = control.source_of(fields)
    return BinaryPackage(
        control=control.usual(text, "Package"),
        fields=fields,
        package=package_name(control.required(fields, "Package")),
        version=parse_version(control.required(fields, "Version")),
        architecture=binary_architecture(control.required(fields, "Architecture")),
        source=source,
        source_version=parse_version(source_version),
        latin_1=latin_1,
    )


class _Reader:
    """Forward-only reader that never reads beyond the end of the file."""

    def __init__(self, file: BinaryIO, limit_bytes: int) -> None:
        self._file = file
        self._left = file.seek(0, io.SEEK_END)
        file.seek(0)
        if self._left > limit_bytes:
            raise FormatError(f"The package has more than {limit_bytes} bytes")

    def read(self, size: int) -> bytes:
        """Return exactly `size` bytes, or nothing at the end of the file.

        Raises:
            FormatError: the file ends within these bytes.
        """
        if not self._left:
            return b""
        self._take(size)
        data = self._file.read(size)
        if len(data) < size:
            raise FormatError("The package is cut short")
        return data

    def begin(self, size: int) -> bytes:
        """Return the first `size` bytes, or the whole file if it is shorter."""
        return self.read(min(size, self._left))

    def read_within(self, size: int, limit_bytes: int) -> bytes:
        """Return exactly `size` bytes, after checking the limit.

        Raises:
            FormatError: `size` is more than `limit_bytes`, or the file ends too early.
        """
        if size > limit_bytes:
            raise FormatError(f"A member of the package has more than {limit_bytes} bytes")
        data = self.read(size)
        if len(data) < size:
            raise FormatError("The package is cut short")
        return data

    def skip(self, size: int) -> None:
        """Skip `size` bytes without reading them.

        Raises:
            FormatError: the file ends within these bytes.
        """
        self._take(size)
        self._file.seek(size, io.SEEK_CUR)

    def _take(self, size: int) -> None:
        if size > self._left:
            raise FormatError("The package is cut short")
        self._left -= size


def _control_file(reader: _Reader, limits: DebLimits) -> bytes:
    form, packed = _control_member(reader, limits)
    files = tar_files(unpack(form, packed, limits.unpacked_bytes), limits.members)
    if "control" not in files:
        raise FormatError("The control member holds no file named control")
    return files["control"]


def _control_member(reader: _Reader, limits: DebLimits) -> tuple[Form, bytes]:
    """Read the archive to its end, in the order of deb(5); return the compressed control member."""
    members = _members(reader, limits.members)
    _, size = _next_of(members, ["debian-binary"])
    if not _FORMAT.fullmatch(reader.read_within(size, _AR_HEADER_BYTES)):
        raise FormatError("The package is not of format 2")
    name, size = _next_of(members, _CONTROL_FORMS)
    packed = reader.read_within(size, limits.packed_bytes)
    _, size = _next_of(members, _DATA_NAMES)
    reader.skip(size)
    # With a second control or data member, each tool could choose another one.
    for surplus, _ in members:
        raise FormatError(f"The package has {surplus!r} behind its data")
    return _CONTROL_FORMS[name], packed


def _next_of(members: Iterator[tuple[str, int]], names: Iterable[str]) -> tuple[str, int]:
    name, size = next(members, ("nothing", 0))
    if name not in names:
        raise FormatError(f"The package has {name!r} where one of {[*names]} belongs")
    return name, size


def _members(reader: _Reader, limit: int) -> Iterator[tuple[str, int]]:
    """Yield name and size of each ar member; the caller must read or skip its bytes first."""
    begun = reader.begin(len(_AR_MAGIC))
    if begun and begun != _AR_MAGIC and _AR_MAGIC.startswith(begun):
        raise FormatError("The package is cut short")
    if begun != _AR_MAGIC:
        raise FormatError("The file is not an ar archive")
    for index in range(limit):
        header = reader.read(_AR_HEADER_BYTES)
        if not header:
            return
        name, size = _name_with_size(header)
        # deb(5) lets other tools add members of their own, but not before the first member.
        if index and name.startswith("_"):
            reader.skip(size)
        else:
            yield name, size
        # Members begin at even offsets; some writers omit the padding at the end of the file.
        reader.read(size % 2)
    raise FormatError(f"The package has more than {limit} members")


def _name_with_size(header: bytes) -> tuple[str, int]:
    match = _AR_HEADER.fullmatch(header)
    if match is None:
        raise FormatError("The package has a damaged member header")
    return match[1].decode("ascii").rstrip(" ").removesuffix("/"), int(match[2])
