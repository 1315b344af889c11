"""Tars as tar programs write them, each with the result of GNU tar and libarchive."""

import gzip
import lzma
import struct
import tarfile

from backports import zstd

from tests.archives import header, tar_of
from tests.corpus.case import Case
from tests.corpus.raw_tar import (
    BLOCK,
    GNU,
    appended,
    old_sparse,
    pax_sparse,
    raw_named,
    summed,
    typed,
    with_skippable,
)

SYM, HARD = tarfile.SYMTYPE, tarfile.LNKTYPE


def sym(name: str, target: str):
    return header(name, SYM, target)


def hard(name: str, target: str):
    return header(name, HARD, target)


def filled(extents: list[tuple[int, bytes]], size: int) -> bytes:
    """Return the content of a sparse file."""
    content = bytearray(size)
    for at, data in extents:
        content[at : at + len(data)] = data
    return bytes(content)


def sparse_cases(extents: list[tuple[int, bytes]], size: int, what: str) -> list[Case]:
    """Return the same sparse file in every format, followed by a member."""
    forms = {"GNU": old_sparse("x.bin", extents, size)}
    for version in ("0.0", "0.1", "1.0"):
        forms[f"PAX {version}"] = pax_sparse("x.bin", extents, size, version)
    files = {"x.bin": filled(extents, size), "behind": b"2"}
    behind = tar_of(("behind", b"2"))
    return [
        Case(f"a sparse member, {form}, {what}", data + behind, files)
        for form, data in forms.items()
    ]


def with_times(data: bytes) -> bytes:
    """Return a tar whose first header has times of access and change, as by ``tar -g``."""
    head = bytearray(data[:BLOCK])
    head[345:369] = b"15302736173\0" * 2
    return summed(head) + data[BLOCK:]


F = ("d/f", b"content")
ONE = tar_of(F)
EXTENTS = [(4096, b"a" * 512), (1 << 16, b"b" * 1000), (3 << 20, b"c")]
MANY = [(number * 8192, bytes([number % 255 + 1]) * 600) for number in range(60)]
FILES = {"d/f": b"content"}

CASES = [
    # Names.
    Case(
        "slashes and dots",
        tar_of(("./a", b"1"), ("d//b", b"2"), ("d/./c", b"3"), (".//e", b"4")),
        {"a": b"1", "d/b": b"2", "d/c": b"3", "e": b"4"},
    ),
    Case(
        "a backslash",
        tar_of((r"system-systemd\x2dfsck.slice", b"1")),
        {r"system-systemd\x2dfsck.slice": b"1"},
    ),
    Case("Latin-1", raw_named("größe".encode("latin-1")), {"größe": b"1"}),
    Case("Cyrillic of DOS", raw_named("НПРЭ".encode("cp866")), {"ìÅÉ¥": b"1"}),
    Case("UTF-8 in ustar", raw_named("größe".encode()), {"größe": b"1"}),
    Case(
        "odd spaces and joiners",
        tar_of(*[(n, b"1") for n in ("a\u00a0b", "a\u202fb", "a\u200db", "\ufeffa", "a\u00adb")]),
        dict.fromkeys(["a\u00a0b", "a\u202fb", "a\u200db", "\ufeffa", "a\u00adb"], b"1"),
    ),
    Case("private characters", tar_of(("a\uf022b", b"1")), {"a\uf022b": b"1"}),
    Case(
        "a file named like an escape", tar_of(("build%20log.txt", b"1")), {"build%20log.txt": b"1"}
    ),
    Case(
        "names like options and drives",
        tar_of(("-rf", b"1"), ("C:/x", b"2"), ("~root", b"3")),
        {"-rf": b"1", "C:/x": b"2", "~root": b"3"},
    ),
    Case(
        "dots that are no steps",
        tar_of(("...", b"1"), ("a..b", b"2"), (".x", b"3")),
        {"...": b"1", "a..b": b"2", ".x": b"3"},
    ),
    Case(
        "an unsafe name that is not selected",
        tar_of(F, ("../up", b"x"), ("/abs", b"x")),
        FILES,
        only="d",
        note="2 of its members are not selected and have names",
    ),
    Case(
        "an escape sequence that is not selected",
        tar_of(F, ("a\x1b[2Jb", b"x")),
        FILES,
        only="d",
        note="names that no file may have",
    ),
    # Duplicate names.
    Case(
        "twins but for case",
        tar_of(("xt_TCPMSS.ko", b"1"), ("xt_tcpmss.ko", b"2")),
        {"xt_TCPMSS.ko": b"1", "xt_tcpmss.ko": b"2"},
    ),
    Case(
        "twins but for the form",
        tar_of(("caf\u00e9", b"1"), ("cafe\u0301", b"2")),
        {"caf\u00e9": b"1", "cafe\u0301": b"2"},
    ),
    Case(
        "folders that are twins but for case",
        tar_of(("A/b/c", b"1"), ("a/B", b"2")),
        {"A/b/c": b"1", "a/B": b"2"},
    ),
    Case(
        "tar rf", appended([("a", b"old"), ("b", b"1")], [("a", b"new")]), {"a": b"new", "b": b"1"}
    ),
    Case("one name twice, folded", tar_of(("./a", b"old"), ("a", b"new")), {"a": b"new"}),
    Case(
        "a file in the place of a link",
        tar_of(F, sym("l", "d/f"), ("l", b"own")),
        {**FILES, "l": b"own"},
    ),
    Case(
        "a hard link in the place of a file",
        tar_of(F, ("l", b"own"), hard("l", "d/f")),
        {**FILES, "l": b"content"},
    ),
    Case(
        "a hard link in the place of a symbolic link",
        tar_of(("d/a", b"1"), sym("l", "d/a"), F, hard("l", "d/f")),
        {**FILES, "d/a": b"1", "l": b"content"},
    ),
    Case(
        "a link that dangles in the place of a file",
        tar_of(F, ("l", b"own"), sym("l", "gone")),
        FILES,
        note="links to nothing",
    ),
    Case(
        "a symbolic link to a hard link to what was replaced since",
        tar_of(("a", b"old"), hard("h", "a"), ("a", b"new"), sym("l", "h")),
        {"a": b"new", "h": b"old", "l": b"old"},
    ),
    Case(
        "a hard link keeps the content that it was made to",
        tar_of(("a", b"old"), hard("h", "a"), ("a", b"new")),
        {"a": b"new", "h": b"old"},
    ),
    # Links.
    Case("a hard link", tar_of(F, hard("h", "d/f")), {**FILES, "h": b"content"}),
    Case(
        "a hard link to a hard link",
        tar_of(F, hard("h", "d/f"), hard("i", "h")),
        {**FILES, "h": b"content", "i": b"content"},
    ),
    Case(
        "a hard link with ./",
        tar_of(("./d/f", b"content"), hard("./h", "./d/f")),
        {**FILES, "h": b"content"},
    ),
    Case(
        "a hard link to a symbolic link",
        tar_of(F, sym("d/l", "f"), hard("d/h", "d/l")),
        {**FILES, "d/l": b"content", "d/h": b"content"},
    ),
    Case(
        "a hard link to a symbolic link, elsewhere",
        tar_of(F, sym("d/l", "f"), hard("h", "d/l")),
        {**FILES, "d/l": b"content"},
        note="links to nothing",
    ),
    Case(
        "a hard link to what is not selected",
        tar_of(F, hard("h", "d/f")),
        {"h": b"content"},
        only="h",
    ),
    Case(
        "a hard link to a hard link to what is not selected",
        tar_of(F, hard("h", "d/f"), hard("i", "h")),
        {"i": b"content"},
        only="i",
    ),
    Case(
        "two hard links to what is not selected",
        tar_of(F, hard("o/h", "d/f"), hard("o/i", "d/f")),
        {"o/h": b"content", "o/i": b"content"},
        only="o",
    ),
    Case(
        "a hard link to what came twice and is not selected",
        tar_of(("a", b"old"), ("a", b"new"), hard("h", "a")),
        {"h": b"new"},
        only="h",
    ),
    Case("a hard link that dangles", tar_of(F, hard("h", "gone")), FILES, note="links to nothing"),
    Case("an absolute hard link", tar_of(F, hard("h", "/d/f")), {**FILES, "h": b"content"}),
    Case(
        "a symbolic link to what is not selected",
        tar_of(F, sym("l", "d/f")),
        {"l": b"content"},
        only="l",
    ),
    Case(
        "a chain of links to what is not selected",
        tar_of(F, sym("m", "d/f"), sym("l", "m")),
        {"l": b"content"},
        only="l",
    ),
    Case(
        "a link through a linked folder",
        tar_of(F, sym("e", "d"), sym("l", "e/f")),
        {**FILES, "e/f": b"content", "l": b"content"},
    ),
    Case(
        "a link upwards from a linked folder",
        tar_of(F, ("x/y/z", b"1"), sym("d/e", "../x/y"), sym("l", "d/e/../y/z")),
        {**FILES, "x/y/z": b"1", "d/e/z": b"1", "l": b"1"},
    ),
    Case("a link to the root", tar_of(F, sym("d/up", "..")), {**FILES, "d/up/d/f": b"content"}),
    Case("an absolute link", tar_of(F, sym("l", "/usr/lib/x")), FILES, note="links to nothing"),
    Case("a dangling link", tar_of(F, sym("l", "gone")), FILES, note="links to nothing"),
    Case("a link below a file", tar_of(F, sym("l", "d/f/x")), FILES, note="links to nothing"),
    Case(
        "a link upwards from a folder that is not there",
        tar_of(F, sym("l", "gone/../d/f")),
        FILES,
        note="links to nothing",
    ),
    Case(
        "a link upwards from a file",
        tar_of(F, sym("l", "d/f/../f")),
        FILES,
        note="links to nothing",
    ),
    Case(
        "a link upwards from an empty folder",
        tar_of(F, header("e", tarfile.DIRTYPE), sym("l", "e/../d/f")),
        {**FILES, "l": b"content"},
    ),
    Case(
        "a link upwards from a folder of folders",
        tar_of(F, ("x/y/z", b"1"), sym("l", "x/../d/f")),
        {**FILES, "x/y/z": b"1", "l": b"content"},
    ),
    Case(
        "links in a circle",
        tar_of(F, sym("l", "m"), sym("m", "l"), sym("n", "n")),
        FILES,
        note="3 of its members are links to nothing",
    ),
    Case("a link without a target", tar_of(F, sym("l", "")), FILES, note="links to nothing"),
    Case(
        "a link that leads out and is not selected", tar_of(F, sym("l", "../../x")), FILES, only="d"
    ),
    # Kinds of members.
    Case(
        "setuid", tar_of(F, (header("su", mode=0o4755), b"1")), {**FILES, "su": b"1"}, note="setuid"
    ),
    Case(
        "devices and pipes",
        tar_of(
            F,
            header("c", tarfile.CHRTYPE),
            header("b", tarfile.BLKTYPE),
            header("p", tarfile.FIFOTYPE),
        ),
        FILES,
        note="3 of its members are devices or pipes",
    ),
    Case("a volume label", typed(b"V", "label") + ONE, FILES),
    Case("times in the header of a dump", with_times(tar_of(F, form=GNU)), FILES),
    Case("an incremental dump", typed(b"D", "d", b"Yf\0\0") + ONE, FILES),
    Case("an unknown type is a file", typed(b"Z", "odd", b"1") + ONE, {**FILES, "odd": b"1"}),
    Case("a contiguous file", typed(b"7", "odd", b"1") + ONE, {**FILES, "odd": b"1"}),
    Case(
        "a global header", tarfile.TarInfo.create_pax_global_header({"comment": "abc"}) + ONE, FILES
    ),
    Case(
        "a part of another volume that is not selected",
        typed(b"M", "part", b"1") + ONE,
        FILES,
        only="d",
    ),
    Case("no end mark but one block", ONE.rstrip(b"\0").ljust(1024, b"\0") + bytes(512), FILES),
    Case("bytes behind the end", ONE + b"garbage" * 1000, FILES),
    # Sparse members.
    *sparse_cases(EXTENTS, 4 << 20, "a hole at the end"),
    *sparse_cases(MANY, MANY[-1][0] + 600, "many extents"),
    *sparse_cases([], 1 << 20, "nothing but a hole"),
    *sparse_cases([(0, b"x" * 5000)], 5000, "no hole"),
    # Compression.
    Case("pzstd", with_skippable(ONE), FILES),
    Case(
        "zstd with a skippable frame at the end",
        zstd.compress(ONE) + struct.pack("<4sL", b"\x5f\x2a\x4d\x18", 0),
        FILES,
    ),
    Case("gzip in a row", gzip.compress(ONE[:512]) + gzip.compress(ONE[512:]), FILES),
    Case(
        "xz in a row with padding",
        lzma.compress(ONE[:512]) + bytes(4) + lzma.compress(ONE[512:]),
        FILES,
    ),
    Case("an empty tar", bytes(10240), {}),
    Case("an empty tar, packed", gzip.compress(bytes(10240)), {}),
]

HOSTILE = {
    "a link out, from a folder that is not there": tar_of(F, sym("l", "gone/../../x")),
    "a link out, in two steps": tar_of(F, sym("d/up", ".."), sym("l", "d/up/..")),
    "a link out, in three steps": tar_of(
        F, sym("a/b/c", "../.."), sym("x", "a/b/c/.."), sym("l", "x/..")
    ),
    "a file behind a link out": tar_of(sym("x", "../../etc"), ("x/passwd", b"1")),
    "a file behind an absolute link": tar_of(sym("x", "/etc"), ("x/passwd", b"1")),
    "a file behind two links out": tar_of(
        sym("d/up", ".."), sym("y", "d/up/../z"), ("y/passwd", b"1")
    ),
    "a hard link out": tar_of(F, hard("h", "d/../../x")),
    "an escape sequence in a name": tar_of(("a\x1b]0;owned\x07b", b"1")),
    "a reversed name": tar_of(("gnp.\u202eexe", b"1")),
    "an isolate in a name": tar_of(("a\u2066b", b"1")),
    "a line separator in a name": tar_of(("a\u2028b", b"1")),
    "a C1 control in a name": tar_of(("a\x9d0;owned\x9cb\x81", b"1")),
    "a folder above, folded": tar_of(("./a//../../b", b"1")),
    "a second root": tar_of(("//etc/passwd", b"1")),
    "a part of another volume": typed(b"M", "part", b"1") + ONE,
}
