"""Binary packages: the control text out of a .deb or .udeb, and a check of its outer form.

The input is hostile until this module has passed it. Every size is bounded before it is believed,
and whatever two tools could read differently is refused: a second control member, a name that
becomes ``./control`` only when a path is cleaned up, a pax header that renames the next member.
The data member is passed over, not read: it may have gigabytes, its digest is known to the store
that took it in, and packages are published, not unpacked.

Nothing is written, so there is nothing to clean up when the process dies in here.
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

# The archive itself writes these; a package that brings its own would have them twice.
_WRITTEN_BY_US = frozenset(
    {"filename", "size", "md5sum", "sha1", "sha256", "sha512", "directory", "status"}
)


@dataclass(frozen=True)
class DebLimits:
    """Limits on what one package may use.

    Attributes:
        file_bytes: the whole package.
        packed_bytes: the control member as it is packed.
        unpacked_bytes: the control member when unpacked; the largest we know of, with the
            checksums of 90,000 fonts, has 9 MB.
        control_bytes: the control file.
        members: members of the outer archive, and files in the control member.
    """

    file_bytes: int = 16 << 30
    packed_bytes: int = 16 << 20
    unpacked_bytes: int = 32 << 20
    control_bytes: int = 1 << 20
    members: int = 1000


@dataclass(frozen=True)
class BinaryPackage:
    """What a .deb says about itself, checked.

    Attributes:
        control: its control file, with known fields in their usual spelling and Package first.
        fields: the same by lower-case field name.
        package: the name.
        version: the version.
        architecture: one that it runs on, or ``all``.
        source: the name of the source it was built from.
        source_version: that source's version.
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
        file: the package; it is sought, so that the data in it is not read.
        limits: on what it may use.

    Raises:
        FormatError: it is malformed, unsafe or over a limit.
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
    """Reads and skips forward only, never beyond the end of the file."""

    def __init__(self, file: BinaryIO, limit_bytes: int) -> None:
        self._file = file
        self._left = file.seek(0, io.SEEK_END)
        file.seek(0)
        if self._left > limit_bytes:
            raise FormatError(f"The package has more than {limit_bytes} bytes")

    def read(self, size: int) -> bytes:
        """Exactly `size` bytes, or nothing at the end of the file.

        Raises:
            FormatError: the file ends within them.
        """
        if not self._left:
            return b""
        self._take(size)
        data = self._file.read(size)
        if len(data) < size:
            raise FormatError("The package is cut short")
        return data

    def begin(self, size: int) -> bytes:
        """The first `size` bytes; of a shorter file, all of it."""
        return self.read(min(size, self._left))

    def read_within(self, size: int, limit_bytes: int) -> bytes:
        """Exactly `size` bytes, if they are allowed.

        Raises:
            FormatError: they are more than `limit_bytes`, or the file ends before.
        """
        if size > limit_bytes:
            raise FormatError(f"A member of the package has more than {limit_bytes} bytes")
        data = self.read(size)
        if len(data) < size:
            raise FormatError("The package is cut short")
        return data

    def skip(self, size: int) -> None:
        """Pass over `size` bytes without reading them.

        Raises:
            FormatError: the file ends within them.
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
    """Read the archive to its end, in the order of deb(5); the control member as it is packed."""
    members = _members(reader, limits.members)
    _, size = _next_of(members, ["debian-binary"])
    if not _FORMAT.fullmatch(reader.read_within(size, _AR_HEADER_BYTES)):
        raise FormatError("The package is not of format 2")
    name, size = _next_of(members, _CONTROL_FORMS)
    packed = reader.read_within(size, limits.packed_bytes)
    _, size = _next_of(members, _DATA_NAMES)
    reader.skip(size)
    # A second control or data member: which one counts would be up to each tool.
    for surplus, _ in members:
        raise FormatError(f"The package has {surplus!r} behind its data")
    return _CONTROL_FORMS[name], packed


def _next_of(members: Iterator[tuple[str, int]], names: Iterable[str]) -> tuple[str, int]:
    name, size = next(members, ("nothing", 0))
    if name not in names:
        raise FormatError(f"The package has {name!r} where one of {[*names]} belongs")
    return name, size


def _members(reader: _Reader, limit: int) -> Iterator[tuple[str, int]]:
    """Name and size of each ar member; the caller reads its bytes before it goes on."""
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
        # deb(5) lets other tools put their own members in, but not before the first.
        if index and name.startswith("_"):
            reader.skip(size)
        else:
            yield name, size
        # Members begin at even places; some writers leave the last byte of the file out.
        reader.read(size % 2)
    raise FormatError(f"The package has more than {limit} members")


def _name_with_size(header: bytes) -> tuple[str, int]:
    match = _AR_HEADER.fullmatch(header)
    if match is None:
        raise FormatError("The package has a damaged member header")
    return match[1].decode("ascii").rstrip(" ").removesuffix("/"), int(match[2])
