"""Binary packages: one read of a .deb or .udeb gives its control text, size and SHA-256.

The input is hostile until this module has passed it. Every size is bounded before it is believed,
and whatever two tools could read differently is refused: a second control member, a name that
becomes ``./control`` only when a path is cleaned up, a pax header that renames the next member.
The data member is hashed and otherwise left alone: we publish packages, we do not unpack them.

Nothing is written, so there is nothing to clean up when the process dies in here.
"""

import hashlib
import re
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from typing import BinaryIO

from staging_api.debian import control
from staging_api.debian.forms import Form, unpack
from staging_api.debian.names import binary_architecture, package_name
from staging_api.debian.tar import tar_files
from staging_api.debian.version import Version, parse_version
from staging_api.errors import PackageInvalid

_AR_MAGIC = b"!<arch>\n"
_AR_HEADER = re.compile(rb"([!-~ ]{16})[ -~]{32}([0-9]{1,10}) *`\n")
_AR_HEADER_BYTES = 60
_FORMAT = re.compile(rb"2\.[0-9]+\n")
_CHUNK_BYTES = 1 << 20
_CONTROL_FORMS = {f"control.tar{form}": form for form in Form}
_DATA_NAMES = [f"data.tar{suffix}" for suffix in (*Form, ".bz2", ".lzma")]

# The archive itself writes these; a package that brings its own would have them twice.
_WRITTEN_BY_US = frozenset(
    {"filename", "size", "md5sum", "sha1", "sha256", "sha512", "directory", "status"}
)


@dataclass(frozen=True)
class DebLimits:
    """How much one package may ask of us.

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
    """What a .deb says about itself, checked, and what we counted.

    Attributes:
        control: its control file, with known fields in their usual spelling and Package first.
        fields: the same by lower-case field name.
        package: the name.
        version: the version.
        architecture: one that it runs on, or ``all``.
        source: the name of the source it was built from.
        source_version: that source's version.
        size_bytes: length of the whole file.
        sha256: hash of the whole file, in hex.
    """

    control: str
    fields: Mapping[str, str] = field(repr=False)
    package: str
    version: Version
    architecture: str
    source: str
    source_version: Version
    size_bytes: int
    sha256: str


def read_deb(file: BinaryIO, limits: DebLimits = DebLimits()) -> BinaryPackage:
    """Read a binary package from the front to its end.

    Raises:
        PackageInvalid: it is malformed, unsafe or over a limit.
    """
    reader = _HashingReader(file, limits.file_bytes)
    text = control.decode_stanza(_control_file(reader, limits), limits.control_bytes)
    fields = control.parse_stanza(text)
    if not _WRITTEN_BY_US.isdisjoint(fields):
        taken = sorted(_WRITTEN_BY_US.intersection(fields))
        raise PackageInvalid(f"The control file has fields that the archive writes: {taken}")
    source, source_version = control.source_of(fields)
    return BinaryPackage(
        control=control.usual(text, "Package"),
        fields=fields,
        package=package_name(control.required(fields, "Package")),
        version=parse_version(control.required(fields, "Version")),
        architecture=binary_architecture(control.required(fields, "Architecture")),
        source=source,
        source_version=parse_version(source_version),
        size_bytes=reader.size_bytes,
        sha256=reader.sha256(),
    )


class _HashingReader:
    """Reads forward only, and counts and hashes every byte that passes."""

    def __init__(self, file: BinaryIO, limit_bytes: int) -> None:
        self.size_bytes = 0
        self._file = file
        self._limit_bytes = limit_bytes
        self._hash = hashlib.sha256()

    def read(self, size: int) -> bytes:
        """Exactly `size` bytes, or nothing at the end of the file.

        Raises:
            PackageInvalid: the file ends within them, or is over the limit.
        """
        if self.size_bytes + size > self._limit_bytes:
            raise PackageInvalid(f"The package claims more than {self._limit_bytes} bytes")
        data = self._file.read(size)
        # A socket gives what it has.
        while 0 < len(data) < size and (more := self._file.read(size - len(data))):
            data += more
        if data and len(data) < size:
            raise PackageInvalid("The package is cut short")
        self.size_bytes += len(data)
        self._hash.update(data)
        return data

    def read_within(self, size: int, limit_bytes: int) -> bytes:
        """Exactly `size` bytes, if they are allowed.

        Raises:
            PackageInvalid: they are more than `limit_bytes`, or the file ends before.
        """
        if size > limit_bytes:
            raise PackageInvalid(f"A member of the package has more than {limit_bytes} bytes")
        data = self.read(size)
        if len(data) < size:
            raise PackageInvalid("The package is cut short")
        return data

    def pass_over(self, size: int) -> None:
        """Read `size` bytes for their hash alone."""
        while size:
            size -= len(self.read_within(min(size, _CHUNK_BYTES), _CHUNK_BYTES))

    def sha256(self) -> str:
        """The hash of what was read, in hex."""
        return self._hash.hexdigest()


def _control_file(reader: _HashingReader, limits: DebLimits) -> bytes:
    form, packed = _control_member(reader, limits)
    files = tar_files(unpack(form, packed, limits.unpacked_bytes), limits.members)
    if "control" not in files:
        raise PackageInvalid("The control member holds no file named control")
    return files["control"]


def _control_member(reader: _HashingReader, limits: DebLimits) -> tuple[Form, bytes]:
    """Read the archive to its end, in the order of deb(5); the control member as it is packed."""
    members = _members(reader, limits.members)
    _, size = _next_of(members, ["debian-binary"])
    if not _FORMAT.fullmatch(reader.read_within(size, _AR_HEADER_BYTES)):
        raise PackageInvalid("The package is not of format 2")
    name, size = _next_of(members, _CONTROL_FORMS)
    packed = reader.read_within(size, limits.packed_bytes)
    _, size = _next_of(members, _DATA_NAMES)
    reader.pass_over(size)
    # A second control or data member: which one counts would be up to each tool.
    for surplus, _ in members:
        raise PackageInvalid(f"The package has {surplus!r} behind its data")
    return _CONTROL_FORMS[name], packed


def _next_of(members: Iterator[tuple[str, int]], names: Iterable[str]) -> tuple[str, int]:
    name, size = next(members, ("nothing", 0))
    if name not in names:
        raise PackageInvalid(f"The package has {name!r} where one of {[*names]} belongs")
    return name, size


def _members(reader: _HashingReader, limit: int) -> Iterator[tuple[str, int]]:
    """Name and size of each ar member; the caller reads its bytes before it asks for the next."""
    if reader.read(len(_AR_MAGIC)) != _AR_MAGIC:
        raise PackageInvalid("The file is not an ar archive")
    for index in range(limit):
        header = reader.read(_AR_HEADER_BYTES)
        if not header:
            return
        name, size = _name_with_size(header)
        # deb(5) lets other tools put their own members in, but not before the first.
        if index and name.startswith("_"):
            reader.pass_over(size)
        else:
            yield name, size
        # Members begin at even places; some writers leave the last byte of the file out.
        reader.read(size % 2)
    raise PackageInvalid(f"The package has more than {limit} members")


def _name_with_size(header: bytes) -> tuple[str, int]:
    match = _AR_HEADER.fullmatch(header)
    if match is None:
        raise PackageInvalid("The package has a damaged member header")
    return match[1].decode("ascii").rstrip(" ").removesuffix("/"), int(match[2])
