"""Tar headers read by the fast path: the same result as with the standard library."""

import random
import tarfile

from staging_api.formats.tar import _Header

FIELDS = ("name", "mode", "size", "type", "linkname")
TYPES = [b"0", b"\0", b"5", b"2", b"1", b"3", b"L", b"x", b"S", b"D", b"7"]
CHECKSUMS = [b"%06o\0 ", b"%06o \0", b"%06o\0\0", b"%07o\0", b" %05o\0 "]
ENCODING = ("utf-8", "surrogateescape")


def drawn(chance):
    """Return a header, valid or with some bytes changed, usually with a correct checksum."""
    info = tarfile.TarInfo("".join(chance.choices("ab/üx.", k=chance.choice([1, 5, 40, 99]))))
    info.type, info.mode = chance.choice(TYPES), chance.choice([0o644, 0o7777, 0o755])
    info.size = chance.choice([0, 1, 5000, 8**11 - 1, 8**11])
    info.mtime = chance.choice([0, 10**9])
    info.linkname = "".join(chance.choices("ab/", k=chance.choice([0, 3, 99])))
    form = chance.choice([tarfile.USTAR_FORMAT, tarfile.GNU_FORMAT])
    try:
        raw = bytearray(info.tobuf(form, *ENCODING)[-tarfile.BLOCKSIZE :])
    except ValueError:
        return drawn(chance)
    for _ in range(chance.choice([0, 0, 1, 3])):
        raw[chance.randrange(len(raw))] = chance.choice([0, 32, 47, 48, 55, 56, 0x80, 0xFF])
    if chance.random() < 0.2:
        raw[345:350] = b"above"
    if chance.random() < 0.8:
        checksum = 256 + sum(raw[:148]) + sum(raw[156:])
        raw[148:156] = (chance.choice(CHECKSUMS) % checksum)[:8]
    return bytes(raw)


def by_the_library(raw):
    info = super(_Header, _Header).frombuf(raw, *ENCODING)
    times = raw[345:500].partition(b"\0")[0].decode(*ENCODING)
    if raw[257:265] == tarfile.GNU_MAGIC and times:
        info.name = info.name.removeprefix(f"{times}/")
    return info


def test_a_header_that_is_read_at_once_says_what_the_library_reads_in_it():
    chance, at_once = random.Random(11), 0
    for _ in range(6000):
        raw = drawn(chance)
        found = _Header._of_usual(raw, *ENCODING)
        if found is not None:
            at_once += 1
            true = by_the_library(raw)
            assert [getattr(found, f) for f in FIELDS] == [getattr(true, f) for f in FIELDS]
    assert at_once > 1000


def test_the_headers_of_ordinary_tars_are_read_at_once():
    for form in (tarfile.USTAR_FORMAT, tarfile.GNU_FORMAT, tarfile.PAX_FORMAT):
        for kind in (tarfile.REGTYPE, tarfile.DIRTYPE, tarfile.SYMTYPE, tarfile.LNKTYPE):
            info = tarfile.TarInfo("suites/control")
            info.type = kind
            assert _Header._of_usual(info.tobuf(form), *ENCODING) is not None
