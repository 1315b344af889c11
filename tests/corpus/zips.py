"""Zips as packers write them, each with the result of unzip and libarchive."""

import bz2
import lzma
import stat
import struct
import zlib

import inflate64
from backports import zstd

from tests.archives import streamed_zip, zip_of
from tests.corpus.case import Case
from tests.corpus.raw_zip import DESCRIPTOR, DOS, UTF8, RawMember, raw_zip, unicode_path

TEXT = b"the quick brown fox\n" * 50
ZERO = (0, 0, 0)


def deflated(content: bytes) -> bytes:
    packer = zlib.compressobj(9, zlib.DEFLATED, -15)
    return packer.compress(content) + packer.flush()


def deflated64(content):
    packer = inflate64.Deflater()
    return packer.deflate(content) + packer.flush()


def lzma_of_zip(content: bytes) -> bytes:
    """Return LZMA data with the zip header and an end mark, as liblzma writes it."""
    filters = [{"id": lzma.FILTER_LZMA1, "dict_size": 1 << 16, "lc": 3, "lp": 0, "pb": 2}]
    packed = lzma.compress(content, lzma.FORMAT_RAW, filters=filters)
    header = struct.pack("<BBHBL", 9, 20, 5, (2 * 5 + 0) * 9 + 3, 1 << 16)
    return header + packed


def one(**facts) -> bytes:
    return raw_zip([RawMember(b"a.txt", TEXT, **facts)])


def names(*members: RawMember) -> bytes:
    return raw_zip(members)


def link(name: bytes, target: bytes) -> RawMember:
    return RawMember(name, target, mode=stat.S_IFLNK | 0o777)


KNOWN_SIZE = (0, len(TEXT), len(TEXT))
SFX = b"#!/bin/sh\nexec unzip\n" * 40
A = {"a.txt": TEXT}
F = RawMember(b"d/f", b"content")
LATIN, CP437 = "größe".encode("latin-1"), "größe".encode("cp437")

CASES = [
    # Names.
    Case(
        "Info-ZIP's Unicode path",
        names(RawMember(b"gr#o", b"1", extra=unicode_path(b"gr#o", "größe.bin"))),
        {"größe.bin": b"1"},
    ),
    Case(
        "a Unicode path of another name",
        names(RawMember(b"new", b"1", extra=unicode_path(b"old", "x"))),
        {"new": b"1"},
    ),
    Case("UTF-8 without the flag", names(RawMember("größe".encode(), b"1")), {"größe": b"1"}),
    Case(
        "UTF-8 without the flag, from DOS",
        names(RawMember("日本.txt".encode(), b"1", host=DOS)),
        {"日本.txt": b"1"},
    ),
    Case(
        "UTF-8 with the flag", names(RawMember("größe".encode(), b"1", flags=UTF8)), {"größe": b"1"}
    ),
    Case("the flag, and no UTF-8", names(RawMember(LATIN, b"1", flags=UTF8)), {"größe": b"1"}),
    Case("the code page of DOS", names(RawMember(CP437, b"1", host=DOS)), {"größe": b"1"}),
    Case("Latin-1 from Unix", names(RawMember(LATIN, b"1")), {"größe": b"1"}),
    Case("Cyrillic of DOS from Unix", names(RawMember("НП".encode("cp866"), b"1")), {"ìÅ": b"1"}),
    Case(
        "a backslash from Unix",
        names(RawMember(rb"system-systemd\x2dfsck.slice", b"1")),
        {r"system-systemd\x2dfsck.slice": b"1"},
    ),
    Case(
        "backslashes from DOS", names(RawMember(rb"d\e\f.txt", b"1", host=DOS)), {"d/e/f.txt": b"1"}
    ),
    Case(
        "odd spaces and joiners",
        names(
            *[RawMember(n.encode(), b"1") for n in ("a\u00a0b", "a\u202fb", "a\u200db", "\ufeffa")]
        ),
        dict.fromkeys(["a\u00a0b", "a\u202fb", "a\u200db", "\ufeffa"], b"1"),
    ),
    Case(
        "slashes and dots",
        names(RawMember(b"./a", b"1"), RawMember(b"d//b", b"2"), RawMember(b"d/./c", b"3")),
        {"a": b"1", "d/b": b"2", "d/c": b"3"},
    ),
    Case(
        "twins but for case",
        names(RawMember(b"xt_TCPMSS.ko", b"1"), RawMember(b"xt_tcpmss.ko", b"2")),
        {"xt_TCPMSS.ko": b"1", "xt_tcpmss.ko": b"2"},
    ),
    Case(
        "the last of one name",
        names(RawMember(b"a", b"1"), RawMember(b"b", b"2"), RawMember(b"a", b"3")),
        {"a": b"3", "b": b"2"},
    ),
    Case(
        "the last of one folded name",
        names(RawMember(b"a", b"1"), RawMember(b"./a", b"3")),
        {"a": b"3"},
    ),
    Case(
        "an unsafe name that is not selected",
        names(F, RawMember(b"../up", b"x")),
        {"d/f": b"content"},
        only="d",
        note="names that no file may have",
    ),
    # Data descriptors.
    Case("sizes that follow the data", streamed_zip(("a.txt", TEXT)), A),
    Case("only the CRC follows", one(flags=DESCRIPTOR, local=KNOWN_SIZE, descriptor=True), A),
    Case("everything follows and is known", one(flags=DESCRIPTOR, descriptor=True), A),
    Case(
        "the packed size is known",
        one(
            packed=deflated(TEXT),
            method=8,
            flags=DESCRIPTOR,
            local=(0, len(deflated(TEXT)), 0),
            descriptor=True,
        ),
        A,
    ),
    Case(
        "nothing is known",
        one(packed=deflated(TEXT), method=8, flags=DESCRIPTOR, local=ZERO, descriptor=True),
        A,
    ),
    Case("stored and nothing is known", one(flags=DESCRIPTOR, local=ZERO, descriptor=True), A),
    # Around the zip.
    Case("a byte behind", zip_of(("a.txt", TEXT)) + b"\n", A),
    Case("padded to blocks", zip_of(("a.txt", TEXT)) + bytes(10240), A),
    Case(
        "a signature behind", zip_of(("a.txt", TEXT)) + b"-----BEGIN PGP SIGNATURE-----\n" * 500, A
    ),
    Case("a self-extractor", raw_zip([RawMember(b"a.txt", TEXT)], before=SFX), A),
    Case(
        "a self-extractor that is not adjusted",
        raw_zip([RawMember(b"a.txt", TEXT)], before=SFX, adjusted=False),
        A,
    ),
    Case(
        "a self-extractor with padding",
        raw_zip([RawMember(b"a.txt", TEXT)], before=SFX, adjusted=False, behind=bytes(512)),
        A,
    ),
    Case(
        "a zip in a zip",
        raw_zip([RawMember(b"in.zip", zip_of(("b", b"2")))]),
        {"in.zip": zip_of(("b", b"2"))},
    ),
    Case("an empty zip with padding", zip_of() + bytes(100), {}),
    # Kinds of members.
    Case("a symbolic link", names(F, link(b"l", b"d/f")), {"d/f": b"content", "l": b"content"}),
    Case(
        "a link that comes first",
        names(link(b"l", b"d/f"), F),
        {"d/f": b"content", "l": b"content"},
    ),
    Case(
        "a link to a link",
        names(F, link(b"l", b"m"), link(b"m", b"./d/f")),
        {"d/f": b"content", "l": b"content", "m": b"content"},
    ),
    Case("a link to a folder", names(F, link(b"l", b"d")), {"d/f": b"content", "l/f": b"content"}),
    Case(
        "a link to what is not selected", names(F, link(b"l", b"d/f")), {"l": b"content"}, only="l"
    ),
    Case(
        "a chain of links to what is not selected",
        names(F, link(b"l", b"m"), link(b"m", b"d/f")),
        {"l": b"content"},
        only="l",
    ),
    Case(
        "an absolute link",
        names(F, link(b"l", b"/etc/passwd")),
        {"d/f": b"content"},
        note="links to nothing",
    ),
    Case(
        "a dangling link",
        names(F, link(b"l", b"gone")),
        {"d/f": b"content"},
        note="links to nothing",
    ),
    Case(
        "links in a circle",
        names(F, link(b"l", b"m"), link(b"m", b"l")),
        {"d/f": b"content"},
        note="links to nothing",
    ),
    Case("setuid", names(RawMember(b"su", b"1", mode=0o104755)), {"su": b"1"}, note="setuid"),
    Case(
        "a pipe",
        names(F, RawMember(b"p", mode=stat.S_IFIFO | 0o644)),
        {"d/f": b"content"},
        note="devices or pipes",
    ),
    Case("folders", names(RawMember(b"d/", mode=stat.S_IFDIR | 0o755), F), {"d/f": b"content"}),
    # Methods.
    Case("deflate", one(packed=deflated(TEXT), method=8), A),
    Case("deflate64", one(packed=deflated64(TEXT), method=9), A),
    Case("bzip2", one(packed=bz2.compress(TEXT), method=12), A),
    Case("lzma with an end mark", one(packed=lzma_of_zip(TEXT), method=14, flags=2), A),
    Case("zstd", one(packed=zstd.compress(TEXT), method=93), A),
    Case("zstd by its first number", one(packed=zstd.compress(TEXT), method=20), A),
    Case("xz", one(packed=lzma.compress(TEXT), method=95), A),
]

HOSTILE = {
    "a link out": names(F, link(b"l", b"../x")),
    "a link out, in two steps": names(F, link(b"d/up", b".."), link(b"l", b"d/up/..")),
    "a file behind a link out": names(link(b"x", b"../../etc"), RawMember(b"x/passwd", b"1")),
    "a file behind an absolute link": names(link(b"x", b"/etc"), RawMember(b"x/passwd", b"1")),
    "an escape sequence in a name": names(RawMember(b"a\x1b[2Jb", b"1")),
    "an escape sequence in a Unicode path": names(
        RawMember(b"x", b"1", extra=unicode_path(b"x", "a\x1b[2Jb"))
    ),
    "a Unicode path upwards": names(RawMember(b"x", b"1", extra=unicode_path(b"x", "../up"))),
    "backslashes upwards, from DOS": names(RawMember(rb"..\..\up", b"1", host=DOS)),
    "a drive and a root": names(RawMember(rb"\etc\passwd", b"1", host=DOS)),
    "a reversed name": names(RawMember("gnp.\u202eexe".encode(), b"1")),
    "local sizes that contradict": one(flags=DESCRIPTOR, local=(0, 5, 5), descriptor=True),
    "a local CRC that contradicts": one(local=(1, len(TEXT), len(TEXT))),
}
