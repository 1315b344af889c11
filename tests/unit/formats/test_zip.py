"""Zips: selected members by range requests, and refusal of contradictory headers."""

import random
import stat
import struct
import zipfile

import pytest

from staging_api.errors import ArchiveCorrupt, ArchiveUnsafe, LimitExceeded
from staging_api.formats import zip as unzip
from staging_api.formats.model import UnpackLimits
from tests.archives import (
    InMemory,
    overlapping_zip,
    patched,
    streamed_zip,
    unpack,
    unpack_noting,
    with_unix_mode,
    zip_of,
)

FILES = [("a.txt", b"alpha" * 100), ("d/b.bin", bytes(range(256)) * 40), ("empty", b"")]
LOCAL, CENTRAL, END = b"PK\x03\x04", b"PK\x01\x02", b"PK\x05\x06"


def extract(data, **how):
    return unpack(unzip.extract, InMemory(data), **how)[0]


@pytest.mark.parametrize("method", [zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED, zipfile.ZIP_BZIP2])
@pytest.mark.parametrize("chunk_bytes", [1, 7, 1 << 20])
def test_every_member_comes_out_however_it_is_packed(method, chunk_bytes):
    data = zip_of(*FILES, method=method)
    assert unpack(unzip.extract, InMemory(data, chunk_bytes))[0] == dict(FILES)


def test_sizes_that_follow_the_data_are_read():
    assert extract(streamed_zip(*FILES)) == dict(FILES)


def test_a_long_comment_does_not_hide_the_directory():
    assert extract(zip_of(*FILES, comment=b"c" * 0xFFFF)) == dict(FILES)


def test_a_directory_longer_than_the_first_look_is_fetched():
    many = [(f"folder/with/a/long/name/{number:05}", b"%d" % number) for number in range(400)]
    assert extract(zip_of(*many)) == dict(many)


def test_sixty_four_bit_values_are_followed(monkeypatch):
    monkeypatch.setattr(zipfile, "ZIP64_LIMIT", 100)
    monkeypatch.setattr(zipfile, "ZIP_FILECOUNT_LIMIT", 1)
    data = patched(zip_of(*FILES), END, 8, b"\xff" * 12, last=True)
    assert b"PK\x06\x06" in data
    assert extract(data) == dict(FILES)


@pytest.mark.parametrize("contradicts", [False, True])
def test_a_second_end_record_of_64_bits_may_say_what_the_first_does(contradicts):
    # As `zip out.zip -` writes them for data that comes through a pipe.
    data = zip_of(*FILES)
    at = data.rindex(END)
    count, length, offset = struct.unpack_from("<HLL", data, at + 10)
    facts = (0, 0, count, count, length, offset - contradicts)
    second = struct.pack("<4sQHHLLQQQQ", b"PK\x06\x06", 44, 45, 45, *facts)
    locator = struct.pack("<4sLQL", b"PK\x06\x07", 0, at, 1)
    both = data[:at] + second + locator + data[at:]
    if not contradicts:
        assert extract(both) == dict(FILES)
        assert extract(b"program" + both) == dict(FILES)
        return
    with pytest.raises(ArchiveCorrupt, match="is not where"):
        extract(both)


def test_a_pipe_that_was_packed_is_what_came_out_of_it():
    assert extract(zip_of((with_unix_mode("-", stat.S_IFIFO | 0o600), b"x"))) == {"-": b"x"}


def test_one_member_costs_its_own_bytes_and_the_directory():
    big, small = bytes(range(256)) * 4000, b"wanted" * 1000
    source = InMemory(
        zip_of(("big1", big), ("wanted", small), ("big2", big), method=zipfile.ZIP_STORED), 1 << 14
    )
    found = unpack(unzip.extract, source, select=lambda name: name if name == "wanted" else None)
    assert found[0] == {"wanted": small}
    assert sum(end - start for start, end in source.read) <= len(small) + (64 << 10)


def test_neighbours_come_in_one_stream_and_the_far_in_another():
    big, small = bytes(range(256)) * 4000, b"wanted" * 1000
    names = ["w1", "skipped small", "w2", "skipped big", "w3"]
    data = zip_of(
        *[(name, big if "big" in name else small) for name in names], method=zipfile.ZIP_STORED
    )
    source = InMemory(data)
    found = unpack(unzip.extract, source, select=lambda name: name if name[0] == "w" else None)
    assert found[0] == {"w1": small, "w2": small, "w3": small}
    assert len(source.opened) == 3  # the directory, two adjacent members, the distant one


def test_the_executable_bit_is_kept():
    data = zip_of((with_unix_mode("run", 0o100755), b"#!"), (with_unix_mode("r", 0o100644), b""))
    members = unpack(unzip.extract, InMemory(data))[1]
    assert [members["run"].executable, members["r"].executable] == [True, False]


@pytest.mark.parametrize("name", ["/etc/passwd", "../a", "a/../../b", "a\nb", "x" * 256])
def test_a_bad_name_is_an_error_only_if_it_is_selected(name):
    data = zip_of(("fine", b""), (name, b""))
    with pytest.raises(ArchiveUnsafe):
        extract(data)
    found, _, notes = unpack_noting(
        unzip.extract, InMemory(data), select=lambda n: n if n == "fine" else None
    )
    assert found == {"fine": b""}
    assert notes[0].startswith("1 of its members are not selected and have names")


def test_a_name_with_a_nul_is_not_cut_at_it():
    data = zip_of(("aXb", b"1")).replace(b"aXb", b"a\0b")
    with pytest.raises(ArchiveUnsafe):
        extract(data)


@pytest.mark.parametrize("target", ["../outside", "d/../../outside"])
def test_a_link_that_leads_out_is_refused(target):
    link = with_unix_mode("link", stat.S_IFLNK | 0o777)
    with pytest.raises(ArchiveUnsafe, match="leads out"):
        extract(zip_of(("d/fine", b""), (link, target)))


@pytest.mark.parametrize(("first", "second"), [("a", "a/b"), ("d/e/f", "d/e")])
def test_a_file_that_is_a_folder_of_another_is_refused(first, second):
    with pytest.raises(ArchiveUnsafe):
        extract(zip_of((first, b"1"), (second, b"2")))


def test_members_that_share_their_bytes_are_refused():
    with pytest.raises(ArchiveUnsafe, match="overlap"):
        extract(overlapping_zip())


@pytest.mark.parametrize("bit", [0x0001, 0x0040, 0x2000])
def test_an_encrypted_member_is_refused(bit):
    data = zip_of(("secret", b"x" * 100))
    for mark, offset in ((LOCAL, 6), (CENTRAL, 8)):
        data = patched(data, mark, offset, struct.pack("<H", bit))
    with pytest.raises(ArchiveUnsafe, match="encrypted"):
        extract(data)


@pytest.mark.parametrize(
    ("offset", "value"),
    [
        (6, struct.pack("<H", 8)),
        (8, struct.pack("<H", 0)),
        (14, struct.pack("<L", 1)),
        (18, struct.pack("<L", 1)),
        (22, struct.pack("<L", 1)),
        (30, b"b"),
    ],
    ids=["flags", "method", "crc", "packed", "size", "name"],
)
def test_contradictory_descriptions_of_a_member_are_refused(offset, value):
    data = patched(zip_of(("a", b"alpha" * 100)), LOCAL, offset, value)
    with pytest.raises(ArchiveUnsafe, match="contradictory"):
        extract(data)


@pytest.mark.parametrize("size", [10, 400, 501, 1 << 20])
def test_a_member_that_lies_about_its_size_is_refused(size):
    data = zip_of(("a", b"alpha" * 100))
    for mark, offset in ((LOCAL, 22), (CENTRAL, 24)):
        data = patched(data, mark, offset, struct.pack("<L", size))
    with pytest.raises(ArchiveCorrupt):
        extract(data)


def test_a_wrong_crc_is_found():
    data = zip_of(("a", b"alpha" * 100))
    for mark, offset in ((LOCAL, 14), (CENTRAL, 16)):
        data = patched(data, mark, offset, b"\0\0\0\1")
    with pytest.raises(ArchiveCorrupt, match="CRC"):
        extract(data)


def test_bytes_hidden_after_a_members_end_are_refused():
    data = zip_of(("a", b"alpha" * 100), ("b", b"beta" * 100))
    entry = data.index(CENTRAL)
    second = data.index(LOCAL, 4)
    packed = second - 31  # the bytes between the two local headers
    data = patched(data, LOCAL, 18, struct.pack("<L", packed))
    data = patched(data, CENTRAL, 20, struct.pack("<L", packed))
    assert extract(data) == {"a": b"alpha" * 100, "b": b"beta" * 100}
    longer = data[:second] + b"hidden" + data[second:]
    longer = patched(longer, LOCAL, 18, struct.pack("<L", packed + 6))
    longer = patched(longer, CENTRAL, 20, struct.pack("<L", packed + 6))
    longer = patched(longer, CENTRAL, 42, struct.pack("<L", second + 6), last=True)
    longer = patched(longer, END, 16, struct.pack("<L", entry + 6))
    with pytest.raises(ArchiveCorrupt, match="after its end"):
        extract(longer)


def test_an_unknown_method_is_named():
    data = zip_of(("a", b"alpha" * 100))
    for mark, offset in ((LOCAL, 8), (CENTRAL, 10)):
        data = patched(data, mark, offset, struct.pack("<H", 99))
    with pytest.raises(ArchiveCorrupt, match="method 99"):
        extract(data)


def test_a_cut_zip_is_damaged_wherever_it_is_cut():
    data = zip_of(*FILES)
    for cut in range(len(data)):
        with pytest.raises(ArchiveCorrupt):
            extract(data[:cut])


@pytest.mark.parametrize(
    ("offset", "value"),
    [
        (4, b"\1\0"),
        (8, b"\1\0"),
        (10, b"\xff\xff"),
        (12, b"\1\0\0\0"),
        (16, b"\0\0\0\0"),
        (16, b"\xff\xff\xff\x7f"),
        (20, b"\1\0"),
    ],
)
def test_an_end_record_that_contradicts_the_file_is_refused(offset, value):
    with pytest.raises((ArchiveCorrupt, LimitExceeded)):
        extract(patched(zip_of(*FILES), END, offset, value, last=True))


def test_a_second_directory_in_the_comment_is_refused():
    """A reader that searches from the end finds another zip than one that starts at the record."""
    hidden = zip_of(("a.txt", b"other"))
    with pytest.raises(ArchiveUnsafe, match="second directory"):
        extract(zip_of(*FILES, comment=hidden))
    with pytest.raises(ArchiveUnsafe, match="second directory"):
        extract(zip_of(*FILES, comment=hidden + b"more"))


@pytest.mark.parametrize(
    "limits",
    [
        UnpackLimits(total_bytes=5000),
        UnpackLimits(member_bytes=5000),
        UnpackLimits(members=2),
        UnpackLimits(depth=0),
        UnpackLimits(header_bytes=10),
        UnpackLimits(ratio=2, ratio_floor_bytes=1000),
    ],
)
def test_each_limit_holds(limits):
    with pytest.raises(LimitExceeded):
        extract(zip_of(*FILES, ("zeros", bytes(100_000))), limits=limits)


def test_members_together_are_held_to_what_they_are_packed_in_together():
    """A small member after a large stored one is not a zip bomb."""
    files = [("image", random.Random(1).randbytes(200_000)), ("notes", b"x" * 2000)]
    found, _ = unpack(
        unzip.extract,
        InMemory(zip_of(*files)),
        limits=UnpackLimits(ratio=3, ratio_floor_bytes=1000),
    )
    assert found == dict(files)


def test_what_a_member_declares_is_refused_before_it_is_kept():
    kept: list[str] = []
    source = InMemory(zip_of(("notes", b"x" * 10), ("zeros", bytes(1 << 20))))
    with pytest.raises(LimitExceeded, match=r"over 100 times its size, \d+ bytes to 1048\d+ "):
        unzip.extract(
            source,
            lambda name: name,
            lambda member, _: kept.append(member.path),
            UnpackLimits(ratio=100, ratio_floor_bytes=1000),
        )
    assert kept == []


def test_a_bomb_is_stopped_while_it_unpacks_not_after():
    source = InMemory(zip_of(("zeros", bytes(64 << 20))), chunk_bytes=1024)
    with pytest.raises(LimitExceeded):
        unpack(unzip.extract, source, limits=UnpackLimits(ratio=100, ratio_floor_bytes=1 << 20))
    assert sum(end - start for start, end in source.read) < len(source.data) / 2


@pytest.mark.parametrize("data", [b"", b"no zip", END, bytes(100), END + bytes(17)])
def test_other_files_than_zips_are_corrupt(data):
    with pytest.raises(ArchiveCorrupt):
        extract(data)


def test_an_empty_zip_is_one():
    assert extract(zip_of()) == {}
