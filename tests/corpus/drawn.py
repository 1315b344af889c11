"""Draw random tars and zips: members, links, holes, formats, compressions, surrounding bytes."""

import bz2
import gzip
import lzma
import random
import stat
import struct
import tarfile
import zlib
from collections.abc import Callable
from dataclasses import replace

from backports import zstd

from tests.archives import header, tar_of
from tests.corpus.raw_tar import GNU, USTAR, old_sparse, pax_sparse, typed, with_skippable
from tests.corpus.raw_zip import DESCRIPTOR, UTF8, RawMember, raw_zip, unicode_path

NAMES = ["a", "b", "A", "./a", "d/a", "d//b", "d/./c", "d/e/f", "größe", "sp ace", "x" * 120]
#: Without backslash: in a zip, libarchive turns it into a slash, and unzip does not.
NAMES_OF_TARS = [*NAMES, r"back\slash", "/".join(["deep"] * 30)]
TARGETS = [
    *("a", "b", "d", "d/a", "./b", "e/f", "gone", "d/../a", "a/../b"),
    *("../a", "..", "/etc/passwd", "../d/a"),
]
LENGTHS = (0, 1, 9, 511, 512, 513, 10_000, 70_000)
PACKERS = (
    *(lambda raw: raw, gzip.compress, bz2.compress, lzma.compress, zstd.compress, with_skippable),
    lambda raw: gzip.compress(raw[:600]) + gzip.compress(raw[600:]),
    lambda raw: lzma.compress(raw, check=lzma.CHECK_CRC32),
)


def content(chance: random.Random) -> bytes:
    return bytes([chance.randrange(256)]) * chance.choice(LENGTHS)


def tar(chance: random.Random) -> bytes:
    """Draw a tar of one to nine members, perhaps with appended members, perhaps compressed."""
    data = _tar_members(chance)
    if chance.randrange(6) == 0:
        # tar rf overwrites the end mark of the first tar.
        data = data.rstrip(b"\0")
        data = data.ljust(-(-len(data) // 512) * 512, b"\0") + _tar_members(chance)
    if chance.randrange(5) == 0:
        data = _sparse(chance) + data
    if chance.randrange(8) == 0:
        data = typed(chance.choice([b"V", b"g", b"7"]), "odd", b"") + data
    pack: Callable[[bytes], bytes] = chance.choice(PACKERS)
    return pack(data)


def _tar_members(chance: random.Random) -> bytes:
    members: list[tuple[object, bytes]] = []
    form = chance.choice([GNU, tarfile.PAX_FORMAT, USTAR])
    for _ in range(chance.randint(1, 9)):
        name, kind = chance.choice(NAMES_OF_TARS), chance.randrange(12)
        if form == USTAR and len(name) > 90:
            name = "short"
        if kind < 6:
            members.append((name, content(chance)))
        elif kind < 8:
            members.append((header(name, tarfile.SYMTYPE, chance.choice(TARGETS)), b""))
        elif kind < 10:
            earlier = [each[0] for each in members if isinstance(each[0], str)]
            members.append((header(name, tarfile.LNKTYPE, chance.choice(earlier or ["a"])), b""))
        elif kind == 10:
            members.append((header(f"{name}.d", tarfile.DIRTYPE, mode=0o755), b""))
        else:
            mode = chance.choice([0o755, 0o600, 0o444])
            members.append((header(name, mode=mode), content(chance)))
    return bytes(tar_of(*members, form=form))


def _sparse(chance: random.Random) -> bytes:
    extents, at = [], 0
    for _ in range(chance.randrange(30)):
        at += chance.choice([0, 512, 4096, 65_536])
        data = bytes([chance.randrange(1, 256)]) * chance.choice([512, 1024, 5120])
        extents.append((at, data))
        at += len(data)
    size = at + chance.choice([0, 1, 4096])
    if chance.randrange(2):
        return old_sparse("sparse", extents, size)
    return pax_sparse("sparse", extents, size, chance.choice(["0.0", "0.1", "1.0"]))


def _deflated(data: bytes) -> bytes:
    packer = zlib.compressobj(6, zlib.DEFLATED, -15)
    return packer.compress(data) + packer.flush()


METHODS = ((0, lambda raw: raw), (8, _deflated), (12, bz2.compress), (93, zstd.compress))


def zip_file(chance: random.Random) -> bytes:
    """Draw a zip of one to nine members, with bytes before and behind it."""
    members = []
    for _ in range(chance.randint(1, 9)):
        name = chance.choice(NAMES)
        raw, flags = name.encode(), UTF8 if chance.randrange(2) else 0
        kind = chance.randrange(12)
        if kind < 3:
            target = chance.choice(TARGETS).encode()
            members.append(RawMember(raw, target, mode=stat.S_IFLNK | 0o777))
        elif kind == 3:
            members.append(RawMember(b"%b.d/" % raw, mode=stat.S_IFDIR | 0o755, flags=flags))
        else:
            members.append(_zip_file_member(chance, raw, flags))
    before, behind = b"#!/bin/sh\n" * chance.randrange(4), bytes(chance.choice([0, 1, 600]))
    return raw_zip(members, before=before, behind=behind, adjusted=bool(chance.randrange(2)))


def _zip_file_member(chance: random.Random, name: bytes, flags: int) -> RawMember:
    data = content(chance)
    method, pack = chance.choice(METHODS)
    packed = pack(data)
    member = RawMember(name, data, packed, method, flags)
    extra = chance.randrange(6)
    if extra == 0:
        member = replace(member, extra=struct.pack("<2H4s", 0x9999, 4, b"abcd"))
    elif extra == 1:
        member = replace(member, extra=unicode_path(name, name.decode()))
    known = chance.choice([None, (0, len(packed), len(data)), (0, 0, 0)])
    described = replace(member, flags=flags | DESCRIPTOR, local=known, descriptor=True)
    # Without a length in the local header, only compressed data mark their own end.
    return chance.choice([member, described if method else member])
