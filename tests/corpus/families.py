"""Families of cases, in every format, that differ in one property: name, length or compression."""

import bz2
import gzip
import lzma
import stat
import struct
import tarfile
import zlib
from collections.abc import Iterator

from backports import zstd

from tests.archives import header, tar_of
from tests.corpus.case import Case
from tests.corpus.raw_tar import GNU, USTAR, old_sparse, with_skippable
from tests.corpus.raw_zip import DESCRIPTOR, DOS, UTF8, RawMember, raw_zip, unicode_path

PAX = tarfile.PAX_FORMAT
TAR_FORMS = {"ustar": USTAR, "GNU": GNU, "PAX": PAX}
#: File names as in builds; all fit in a ustar header.
NAMES = {
    "spaces": " a b ",
    "quotes": 'it\'s "a" `b`',
    "signs of a shell": "$(a);b|c&d<e>f",
    "signs of a URL": "a?b=c#d&e+f%20g",
    "brackets": "[a]{b}(c)*",
    "an at sign": "@LongLink",
    "a leading hyphen": "-C..",
    "a trailing dot": "a.",
    "a name of DOS": "aux.txt",
    "a colon": "host:a",
    "a tilde": "~/a",
    "commas and equals": "a,b=c",
    "only dots": "d/.../a",
    "hidden": ".a/.b",
    "a deep one": "/".join("abcdefghijklmnopqrst"),
    "a long segment": "d" * 90 + "/" + "f" * 90,
    "Hebrew": "\u05e9\u05dc\u05d5\u05dd.txt",
    "Chinese": "\u6587\u4ef6.bin",
    "an emoji with a joiner": "\U0001f469\u200d\U0001f4bb.txt",
    "a combining mark": "e\u0301.txt",
    "full width": "\uff0f\uff0e\uff0e.txt",
    "a backslash": r"a\b\..\c",
}
LONG = {
    "a name of 100 bytes": "n" * 100,
    "a name of 101 bytes": "n" * 101,
    "a segment of 255 bytes": "n" * 255,
    "a path of 600 bytes": "/".join(["p" * 99] * 6),
}
#: Lengths at and around the ends of blocks, chunks and windows.
LENGTHS = (0, 1, 511, 512, 513, 10_239, 65_535, 65_536, 65_537, (1 << 20) + 1)
TEXT = b"the quick brown fox jumps over the lazy dog\n" * 40
BEHIND = ("behind", b"2")


def content(length: int) -> bytes:
    """Return bytes whose period is not a power of two."""
    return (bytes(range(251)) * (length // 251 + 1))[:length]


def deflated(data: bytes, level: int = 9, *, final: bool = True) -> bytes:
    packer = zlib.compressobj(level, zlib.DEFLATED, -15)
    packed = packer.compress(data)
    return packed + packer.flush(zlib.Z_FINISH if final else zlib.Z_SYNC_FLUSH)


def names_of_tars() -> Iterator[Case]:
    for form, number in TAR_FORMS.items():
        for what, name in NAMES.items():
            data = tar_of((name, b"1"), BEHIND, form=number)
            yield Case(f"{form}, {what}", data, {name: b"1", "behind": b"2"})
    for form in ("GNU", "PAX"):
        for what, name in LONG.items():
            data = tar_of((name, b"1"), BEHIND, form=TAR_FORMS[form])
            yield Case(f"{form}, {what}", data, {name: b"1", "behind": b"2"})
        target = "t" * 200
        members = ((target, b"1"), header("l", tarfile.SYMTYPE, target))
        linked = tar_of(*members, BEHIND, form=TAR_FORMS[form])
        found = {target: b"1", "l": b"1", "behind": b"2"}
        yield Case(f"{form}, a link to a name of 200 bytes", linked, found)


def lengths_of_tars() -> Iterator[Case]:
    for form, number in TAR_FORMS.items():
        for length in LENGTHS:
            data = tar_of(("a", content(length)), BEHIND, form=number)
            yield Case(f"{form}, {length} bytes", data, {"a": content(length), "behind": b"2"})


def compressed_tars() -> Iterator[Case]:
    """Yield tars in every compression, each split like by its packers."""
    files = {"d/f": content(100_000), "behind": b"2"}
    plain = tar_of(("d/f", files["d/f"]), BEHIND)
    sparse = old_sparse("x", [(8192, b"x" * 512)], 1 << 20) + tar_of(BEHIND)
    hole = {"x": bytes(8192) + b"x" * 512 + bytes((1 << 20) - 8704), "behind": b"2"}
    half = len(plain) // 2
    packers = {
        "gzip -1": lambda raw: gzip.compress(raw, 1),
        "gzip -9": lambda raw: gzip.compress(raw, 9),
        "gzip, stored": lambda raw: gzip.compress(raw, 0),
        "bzip2 -1": lambda raw: bz2.compress(raw, 1),
        "bzip2 -9": lambda raw: bz2.compress(raw, 9),
        "xz -0": lambda raw: lzma.compress(raw, preset=0),
        "xz -9": lambda raw: lzma.compress(raw, preset=6),
        "xz, no check": lambda raw: lzma.compress(raw, preset=0, check=lzma.CHECK_NONE),
        "xz, CRC32": lambda raw: lzma.compress(raw, preset=0, check=lzma.CHECK_CRC32),
        "xz, SHA-256": lambda raw: lzma.compress(raw, preset=0, check=lzma.CHECK_SHA256),
        "zstd -1": lambda raw: zstd.compress(raw, 1),
        "zstd -19": lambda raw: zstd.compress(raw, 19),
        "pzstd": with_skippable,
    }
    for name, pack in packers.items():
        yield Case(f"{name}", pack(plain), files)
        yield Case(f"{name}, sparse", pack(sparse), hole)
    for name in ("gzip -9", "bzip2 -9", "xz -0", "zstd -1"):
        pack = packers[name]
        yield Case(f"{name}, in two", pack(plain[:half]) + pack(plain[half:]), files)
    named = bytearray(gzip.compress(plain))
    named[3] |= 0x08 | 0x10
    noted = bytes(named[:10]) + b"name.tar\0a comment\0" + bytes(named[10:])
    yield Case("gzip, a name and a comment", noted, files)


def names_of_zips() -> Iterator[Case]:
    for what, name in {**NAMES, **LONG}.items():
        raw, is_ascii = name.encode(), name.isascii()
        plain = RawMember(raw, b"1", flags=0 if is_ascii else UTF8)
        behind = RawMember(b"behind", b"2")
        yield Case(f"Unix, {what}", raw_zip([plain, behind]), {name: b"1", "behind": b"2"})
        if "\\" in name:
            continue  # a separator in zips from DOS
        dos = RawMember(raw, b"1", host=DOS, mode=0, flags=0 if is_ascii else UTF8)
        yield Case(f"DOS, {what}", raw_zip([dos, behind]), {name: b"1", "behind": b"2"})
        if not is_ascii:
            short = RawMember(b"x_1", b"1", extra=unicode_path(b"x_1", name))
            found = {name: b"1", "behind": b"2"}
            yield Case(f"Unicode path, {what}", raw_zip([short, behind]), found)


def members_of_zips() -> Iterator[Case]:
    """Yield each method and length, with sizes in the local header, the descriptor, or both."""
    packers = {
        "stored": (0, lambda raw: raw),
        "deflate": (8, deflated),
        "deflate, stored blocks": (8, lambda raw: deflated(raw, 0)),
        "bzip2": (12, bz2.compress),
        "zstd": (93, zstd.compress),
        "xz": (95, lzma.compress),
    }
    for what, (method, pack) in packers.items():
        for length in (0, 1, 65_536, 200_000):
            raw = content(length)
            packed = pack(raw)
            facts = {"packed": packed, "method": method}
            forms = {
                "in front": RawMember(b"a", raw, **facts),
                "behind": RawMember(
                    b"a", raw, **facts, flags=DESCRIPTOR, local=(0, 0, 0), descriptor=True
                ),
            }
            for form, member in forms.items():
                data = raw_zip([member, RawMember(b"behind", b"2")])
                found = {"a": raw, "behind": b"2"}
                yield Case(f"{what}, {length} bytes, sizes {form}", data, found)


def around_zips() -> Iterator[Case]:
    members = [RawMember(b"a", TEXT, deflated(TEXT), 8), RawMember(b"behind", b"2")]
    found = {"a": TEXT, "behind": b"2"}
    for before in (1, 511, 70_000):
        for adjusted in (True, False):
            for behind in (0, 1, 65_536):
                around = {"before": b"#" * before, "behind": bytes(behind)}
                what = f"{before} bytes before, {behind} behind, adjusted: {adjusted}"
                yield Case(what, raw_zip(members, adjusted=adjusted, **around), found)
    for mode in (0o644, 0o755, 0o600, 0o000):
        member = RawMember(b"a", b"1", mode=stat.S_IFREG | mode)
        yield Case(f"mode {mode:o}", raw_zip([member]), {"a": b"1"})
    extra = struct.pack("<2H4s", 0x9999, 4, b"abcd")
    yield Case("an unknown extra field", raw_zip([RawMember(b"a", b"1", extra=extra)]), {"a": b"1"})


TARS = [*names_of_tars(), *lengths_of_tars(), *compressed_tars()]
ZIPS = [*names_of_zips(), *members_of_zips(), *around_zips()]
