"""Small container files for tests: valid ones, and malicious or damaged ones."""

import bz2
import gzip
import io
import lzma
import struct
import tarfile
import zipfile
import zlib
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field

from backports import zstd

from staging_api.formats.model import Member, UnpackLimits

COMPRESSIONS = {
    "plain": lambda raw: raw,
    "gzip": gzip.compress,
    "gzip in two streams": lambda raw: gzip.compress(raw[:700]) + gzip.compress(raw[700:]),
    "gzip and zeros": lambda raw: gzip.compress(raw) + bytes(512),
    "bzip2": bz2.compress,
    "xz": lzma.compress,
    "zstd": zstd.compress,
}


@dataclass
class InMemory:
    """In-memory object with given bytes, read in chunks of a given size."""

    data: bytes
    chunk_bytes: int = 1 << 16
    name: str = "object"
    read: list[tuple[int, int]] = field(default_factory=list)
    opened: list[int] = field(default_factory=list)

    @property
    def size_bytes(self) -> int:
        return len(self.data)

    @contextmanager
    def open(self, start: int = 0, end: int | None = None) -> Iterator[Iterator[bytes]]:
        last = len(self.data) if end is None else min(end, len(self.data))
        self.opened.append(start)
        yield self._chunks(start, last)

    def _chunks(self, start: int, end: int) -> Iterator[bytes]:
        for at in range(start, end, self.chunk_bytes):
            chunk = self.data[at : min(at + self.chunk_bytes, end)]
            self.read.append((at, at + len(chunk)))
            yield chunk


def unpack(extract, readable, select=lambda name: name, limits=None):
    """Run an extractor; return the members, and their contents by path."""
    return unpack_noting(extract, readable, select, limits)[:2]


def unpack_noting(extract, readable, select=lambda name: name, limits=None):
    """Run an extractor; return the members, their contents by path, and the members it skipped."""
    files: dict[str, bytes] = {}
    members: dict[str, Member] = {}

    def keep(member, chunks):
        content = b"".join(chunks)
        if member.gone:
            files.pop(member.path)
            return
        members[member.path] = member
        files[member.path] = files[member.same_as] if member.same_as is not None else content

    notes = extract(readable, select, keep, limits or UnpackLimits())
    return files, members, notes


def tar_of(*members, form=tarfile.PAX_FORMAT):
    """Build a tar from (name, content) pairs and complete headers, or (header, content) pairs."""
    out = io.BytesIO()
    with tarfile.open(fileobj=out, mode="w", format=form) as tar:
        for member in members:
            info, content = member if isinstance(member, tuple) else (member, b"")
            if isinstance(info, str):
                info = tarfile.TarInfo(info)
            info.size = len(content)
            tar.addfile(info, io.BytesIO(content))
    return out.getvalue()


def header(name, kind=tarfile.REGTYPE, link="", mode=0o644):
    """Build the header of a tar member."""
    info = tarfile.TarInfo(name)
    info.type, info.linkname, info.mode = kind, link, mode
    return info


def zip_of(*members, method=zipfile.ZIP_DEFLATED, comment=b""):
    """Build a zip from (name or header, content) pairs."""
    out = io.BytesIO()
    with zipfile.ZipFile(out, "w", method) as archive:
        for name, content in members:
            archive.writestr(name, content)
        archive.comment = comment
    return out.getvalue()


def streamed_zip(*members):
    """Build a zip whose sizes follow the data, as a program that cannot seek writes them."""

    class Pipe(io.BytesIO):
        def seekable(self):
            return False

        def seek(self, *_):
            raise OSError

        def tell(self):
            raise OSError

    out = Pipe()
    with zipfile.ZipFile(out, "w", zipfile.ZIP_DEFLATED) as archive:
        for name, content in members:
            archive.writestr(name, content)
    return out.getvalue()


def with_unix_mode(name, mode):
    """Build a zip header with Unix as its origin and this file mode."""
    info = zipfile.ZipInfo(name)
    info.create_system, info.external_attr = 3, mode << 16
    return info


def patched(data, mark, offset, value, *, last=False):
    """Return the data with a value written at an offset after the first or last `mark`."""
    at = (data.rfind if last else data.find)(mark) + offset
    return data[:at] + value + data[at + len(value) :]


def overlapping_zip(count=50):
    """Build a zip whose entries all share one member's data: small packed, huge unpacked."""
    raw = bytes(1 << 16)
    packed = zlib.compress(raw, 9)[2:-4]
    facts = (zlib.crc32(raw), len(packed), len(raw))
    local = struct.pack("<4s5H3L2H", b"PK\x03\x04", 20, 0, 8, 0, 33, *facts, 1, 0) + b"a"
    entries = b"".join(
        struct.pack("<4s6H3L5H2L", b"PK\x01\x02", 20, 20, 0, 8, 0, 33, *facts, 1, 0, 0, 0, 0, 0, 0)
        + bytes([97 + number % 26])
        for number in range(count)
    )
    at = len(local) + len(packed)
    end = struct.pack("<4s4H2LH", b"PK\x05\x06", 0, 0, count, count, len(entries), at, 0)
    return local + packed + entries + end
