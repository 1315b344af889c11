"""Objects that are not container files: the error names their actual format."""

import bz2
import gzip
import lzma
import zipfile
import zlib

import pytest

from staging_api.errors import ArchiveCorrupt
from staging_api.formats import decompressed
from staging_api.formats import tar as untar
from staging_api.formats import zip as unzip
from tests.archives import InMemory, tar_of, unpack, unpack_noting, zip_of

ZIP = zip_of(("a", b"1"), method=zipfile.ZIP_DEFLATED)
TAR = tar_of(("a", b"1"))
PAGE = b"\xef\xbb\xbf\n<!DOCTYPE HTML><title>Sign in</title>" + bytes(4096)

OF_BOTH = [
    (b"", "it is empty"),
    (PAGE, "it is a web page"),
    (b"<html>" + bytes(4096), "it is a web page"),
    (b"<?xml version='1.0'?><Error/>", "it is an XML document"),
    (b"version https://git-lfs.github.com/spec/v1\noid sha256:0", "pointer of Git LFS"),
    (b"\x1f\x9d\x90" + bytes(4096), "compressed with compress (.Z), which is not read"),
    (b"LZIP\x01" + bytes(4096), "compressed with lzip"),
    (b"\x04\x22\x4d\x18" + bytes(4096), "compressed with lz4"),
    (b"\x5d\x00\x00\x80\x00" + b"\xff" * 4096, "compressed with lzma (without xz)"),
    (b"\x89LZO\x00\r\n" + bytes(4096), "compressed with lzop"),
    (b"7z\xbc\xaf\x27\x1c" + bytes(4096), "it is a 7z file"),
    (b"Rar!\x1a\x07\x01" + bytes(4096), "it is a RAR file"),
    (b"!<arch>\ndebian-binary" + bytes(4096), "it is an ar file, as a .deb is"),
    (b"\xed\xab\xee\xdb" + bytes(4096), "it is an RPM package"),
    (b"070701" + b"0" * 4096, "it is a cpio file"),
    (b"070707" + b"0" * 4096, "it is a cpio file"),
    (b"\xc7\x71" + b"0" * 4096, "it is a cpio file"),
    (b"hsqs" + bytes(4096), "it is a squashfs image"),
    (b"MSCF" + bytes(4096), "it is a cabinet (.cab)"),
    *((zlib.compress(bytes(4096), level), "compressed with zlib") for level in (0, 2, 6, 9)),
    (b'{"error": {"code": 404}}' + b" " * 4096, "it is a JSON document"),
    (b'\xef\xbb\xbf\n[ {"a": 1} ]', "it is a JSON document"),
]


def refusal(extract, data):
    with pytest.raises(ArchiveCorrupt) as refused:
        unpack(extract, InMemory(data))
    return str(refused.value)


@pytest.mark.parametrize(("data", "says"), OF_BOTH, ids=[says for _, says in OF_BOTH])
def test_what_is_neither_tar_nor_zip_is_named(data, says):
    as_tar, as_zip = refusal(untar.extract, data), refusal(unzip.extract, data)
    assert as_tar.startswith("this is not a tar: ")
    assert as_zip.startswith("this is not a zip: ")
    assert says in as_tar
    assert says in as_zip


def test_a_zip_in_the_place_of_a_tar_is_named_with_what_unpacks_it():
    assert (
        refusal(untar.extract, ZIP)
        == "this is not a tar: it is a zip, which `extract: zip` unpacks"
    )
    assert refusal(untar.extract, gzip.compress(ZIP)) == refusal(untar.extract, ZIP)


def test_a_tar_in_the_place_of_a_zip_is_named_with_what_unpacks_it():
    assert (
        refusal(unzip.extract, TAR)
        == "this is not a zip: it is a tar, which `extract: tar` unpacks"
    )
    assert "it is compressed with gzip: `extract: tar`" in refusal(
        unzip.extract, gzip.compress(TAR)
    )


def test_a_tar_that_was_compressed_twice_is_named():
    twice = gzip.compress(gzip.compress(TAR))
    assert "compressed twice, the second time with gzip" in refusal(untar.extract, twice)


@pytest.mark.parametrize("bytes_left", [35, len(ZIP) - 22])
def test_a_zip_without_its_end_is_cut_short(bytes_left):
    assert "the zip is truncated" in refusal(unzip.extract, ZIP[:bytes_left])


def test_what_is_of_no_known_kind_is_damaged_or_has_no_directory():
    assert refusal(untar.extract, b"no tar" * 200) == "the tar is damaged"
    assert refusal(unzip.extract, b"no zip" * 200) == "this is not a zip: it has no directory"


def test_a_tar_that_breaks_later_is_damaged_whatever_its_first_bytes_are():
    """The name of the first member may look like the magic bytes of another format."""
    data = bytearray(tar_of(("LZIP", b"1"), ("b", b"2")))
    data[1024 + 148 : 1024 + 156] = b"x" * 8
    assert "the tar is damaged" in refusal(untar.extract, bytes(data))


def test_an_object_whose_compression_is_not_read_is_kept_with_a_warning():
    packed = b"\x04\x22\x4d\x18 and the rest of lz4"
    files, _, notes = unpack_noting(decompressed.extract, InMemory(packed, name="t.lz4"))
    assert files == {"t.lz4": packed}
    (note,) = notes
    assert note.startswith("t.lz4 is kept as it is: it is compressed with lz4, which is not read;")
    # Two bytes alone may begin anything.
    assert unpack_noting(decompressed.extract, InMemory(b"\x78\x9cof zlib"))[2] == ()


def test_brotli_is_known_by_its_name_alone():
    packed = b"\x8b\x0f\x80" + b"no header of a tar" * 64
    with pytest.raises(ArchiveCorrupt, match="compressed with brotli, as its name says"):
        unpack(untar.extract, InMemory(packed, name="a.tar.br"))
    assert refusal(untar.extract, packed) == "the tar is damaged"


JUNK = [
    b"\n",
    b"junk",
    b"-----BEGIN PGP SIGNATURE-----",
    b"\0\0junk",
    gzip.compress(b"x", mtime=0)[1:],
]


@pytest.mark.parametrize("junk", JUNK, ids=range(len(JUNK)))
@pytest.mark.parametrize("pack", [gzip.compress, bz2.compress, lzma.compress])
@pytest.mark.parametrize("chunk_bytes", [1, 1 << 16])
def test_what_stands_behind_compressed_data_is_named(pack, junk, chunk_bytes):
    shown = junk.lstrip(b"\0")[:6].hex(" ")
    with pytest.raises(ArchiveCorrupt, match=rf"stands something else.*begins with {shown}\)"):
        unpack(untar.extract, InMemory(pack(TAR) + junk, chunk_bytes))


@pytest.mark.parametrize("pack", [gzip.compress, bz2.compress, lzma.compress])
def test_padding_and_more_of_it_may_stand_behind_compressed_data(pack):
    half = len(TAR) // 2
    for whole in (pack(TAR) + bytes(1000), pack(TAR[:half]) + bytes(4) + pack(TAR[half:])):
        for chunk_bytes in (1, 1 << 16):
            unpack(untar.extract, InMemory(whole, chunk_bytes))
    with pytest.raises(ArchiveCorrupt, match="ends too early"):
        unpack(untar.extract, InMemory(pack(TAR) + pack(b"more")[:2]))
