"""Tars: members of valid ones, and refusal of malicious ones."""

import gzip
import lzma
import tarfile
import zlib

import pytest
from backports import zstd

from staging_api.errors import ArchiveCorrupt, ArchiveUnsafe, LimitExceeded
from staging_api.formats import tar
from staging_api.formats.model import UnpackLimits
from tests.archives import COMPRESSIONS, InMemory, header, tar_of, unpack, unpack_noting

FILES = [("d/a.txt", b"alpha" * 100), ("d/empty", b""), ("d/e/b.bin", bytes(range(256)) * 40)]


def extract(data, **how):
    return unpack(tar.extract, InMemory(data), **how)[0]


@pytest.mark.parametrize("compression", COMPRESSIONS)
@pytest.mark.parametrize("chunk_bytes", [1, 7, 1 << 20])
def test_the_first_bytes_decide_about_the_compression(compression, chunk_bytes):
    data = COMPRESSIONS[compression](tar_of(*FILES))
    assert unpack(tar.extract, InMemory(data, chunk_bytes))[0] == dict(FILES)


@pytest.mark.parametrize("form", [tarfile.USTAR_FORMAT, tarfile.GNU_FORMAT, tarfile.PAX_FORMAT])
def test_every_dialect_is_read(form):
    long = "x" * 90 + "/" + "y" * 90
    assert extract(tar_of((long, b"1"), ("b", b"2"), form=form)) == {long: b"1", "b": b"2"}


def test_only_selected_members_are_kept_under_their_new_paths():
    data = tar_of(*FILES)
    found = extract(data, select=lambda name: f"to/{name[2:]}" if name == "d/a.txt" else None)
    assert found == {"to/a.txt": b"alpha" * 100}


def test_a_leading_dot_and_folders_are_no_files():
    folder = header("./d", tarfile.DIRTYPE)
    assert extract(tar_of(header(".", tarfile.DIRTYPE), folder, ("./d/a", b"1"))) == {"d/a": b"1"}


def test_the_executable_bit_is_kept():
    data = tar_of((header("run", mode=0o755), b"#!"), (header("read", mode=0o644), b""))
    members = unpack(tar.extract, InMemory(data))[1]
    assert {path: member.executable for path, member in members.items()} == {
        "run": True,
        "read": False,
    }


def test_a_whole_object_is_read_even_if_nothing_is_selected():
    source = InMemory(gzip.compress(tar_of(*FILES)), chunk_bytes=16)
    unpack(tar.extract, source, select=lambda _: None)
    assert source.read[-1][1] == len(source.data)


@pytest.mark.parametrize(
    "name",
    [
        "/etc/passwd",
        "../a",
        "a/../../b",
        "a/..",
        "a\nb",
        "\u202ea",
        "x" * 256,
        "\u00e9" * 128,
    ],
)
def test_a_bad_name_is_an_error_only_if_it_is_selected(name):
    data = tar_of(("fine", b""), (name, b"x"))
    with pytest.raises(ArchiveUnsafe):
        extract(data)
    found, _, notes = unpack_noting(
        tar.extract, InMemory(data), select=lambda n: n if n == "fine" else None
    )
    assert found == {"fine": b""}
    assert notes[0].startswith("1 of its members are not selected and have names")


@pytest.mark.parametrize(
    "member",
    [
        header("link", tarfile.SYMTYPE, "../outside"),
        header("d/link", tarfile.SYMTYPE, "../../outside"),
        header("link", tarfile.LNKTYPE, "../outside"),
    ],
    ids=lambda member: f"{member.type!r} {member.name} {member.linkname}",
)
def test_links_that_lead_out_are_refused(member):
    with pytest.raises(ArchiveUnsafe):
        extract(tar_of(("fine", b""), member))


def test_an_unselected_member_may_be_a_device():
    data = tar_of(header("dev", tarfile.CHRTYPE), ("fine", b"1"))
    assert extract(data, select=lambda name: name if name == "fine" else None) == {"fine": b"1"}


@pytest.mark.parametrize(("first", "second"), [("a", "a/b"), ("a/b", "a"), ("A/b/c", "A/b")])
def test_a_file_that_is_a_folder_of_another_is_refused(first, second):
    with pytest.raises(ArchiveUnsafe):
        extract(tar_of((first, b"1"), (second, b"2")))


def test_links_inside_become_further_names_of_the_content():
    data = tar_of(
        header("before", tarfile.SYMTYPE, "d/a"),
        ("d/a", b"content"),
        header("d/hard", tarfile.LNKTYPE, "d/a"),
        header("d/soft", tarfile.SYMTYPE, "./a"),
        header("up/down", tarfile.SYMTYPE, "../d/soft"),
        header("folder", tarfile.SYMTYPE, "d"),
        header("dangling", tarfile.SYMTYPE, "d/none"),
        header("self", tarfile.SYMTYPE, "self"),
    )
    below = ["a", "hard", "soft"]
    names = ["before", "up/down", *(f"{top}/{name}" for top in ("d", "folder") for name in below)]
    assert extract(data) == dict.fromkeys(names, b"content")


def test_a_file_of_its_own_keeps_its_name_where_a_link_to_a_folder_gives_it_to_another():
    data = tar_of(
        ("one/same", b"first"),
        ("one/other", b"second"),
        header("two", tarfile.SYMTYPE, "one"),
        ("two/same", b"third"),
    )
    of_links = {"two/other": b"second"}
    of_files = {"one/same": b"first", "one/other": b"second", "two/same": b"third"}
    assert extract(data) == of_files | of_links


def test_a_link_that_doubles_files_again_and_again_is_limited():
    links = [header(f"l{number}", tarfile.SYMTYPE, "d") for number in range(50)]
    data = tar_of(*[(f"d/{number}", b"") for number in range(50)], *links)
    with pytest.raises(LimitExceeded):
        extract(data, limits=UnpackLimits(members=500))


@pytest.mark.parametrize(
    "limits",
    [
        UnpackLimits(total_bytes=5000),
        UnpackLimits(member_bytes=5000),
        UnpackLimits(members=2),
        UnpackLimits(depth=1),
        UnpackLimits(ratio=2, ratio_floor_bytes=1000),
    ],
)
def test_each_limit_holds(limits):
    data = gzip.compress(tar_of(*FILES, ("d/d/d/zeros", bytes(100_000))))
    with pytest.raises(LimitExceeded):
        extract(data, limits=limits)


def test_a_bomb_is_stopped_while_it_unpacks_not_after():
    source = InMemory(gzip.compress(tar_of(("zeros", bytes(16 << 20)))), chunk_bytes=1024)
    limits = UnpackLimits(ratio=100, ratio_floor_bytes=1 << 20)
    with pytest.raises(LimitExceeded):
        unpack(tar.extract, source, limits=limits)
    assert source.read[-1][1] < len(source.data) / 4


def test_a_declared_size_over_the_limit_is_refused_before_space_is_reserved():
    """A header of 512 bytes may say that 20 GB follow."""
    kept: list[str] = []

    def keep(member, chunks):
        kept.append(member.path)
        assert list(chunks) == [b"x"]

    zeros = tarfile.TarInfo("zeros")
    zeros.size = 20 << 30
    data = gzip.compress(tar_of(("notes", b"x"))[:1024] + zeros.tobuf() + bytes(20_000))
    with pytest.raises(LimitExceeded, match="over 200 times its size"):
        tar.extract(InMemory(data), lambda name: name, keep, UnpackLimits())
    assert kept == ["notes"]


def test_a_skipped_bomb_is_a_bomb_too():
    data = gzip.compress(tar_of(("zeros", bytes(4 << 20))))
    with pytest.raises(LimitExceeded):
        extract(data, select=lambda _: None, limits=UnpackLimits(total_bytes=1 << 20))


def test_a_header_that_claims_gigabytes_does_not_fill_the_memory():
    giant = tarfile.TarInfo("pax")
    giant.type, giant.size = tarfile.XHDTYPE, 4 << 30
    with pytest.raises(LimitExceeded):
        extract(giant.tobuf() + bytes(4096))


def test_a_header_of_negative_size_is_damage():
    raw = bytearray(tar_of(("a", b"1")))
    raw[124:136] = b"\xff" * 12
    raw[148:156] = b" " * 8
    raw[148:156] = b"%06o\0 " % sum(raw[:512])
    with pytest.raises(ArchiveCorrupt):
        extract(bytes(raw))


@pytest.mark.parametrize("compression", COMPRESSIONS)
def test_a_cut_archive_is_damaged_wherever_it_is_cut(compression):
    packed = COMPRESSIONS[compression](tar_of(*FILES).rstrip(b"\0") + bytes(1024))
    harmless = 1024 if compression == "plain" else 512 if "zeros" in compression else 0
    for cut in range(0, len(packed) - harmless, max(1, len(packed) // 97)):
        with pytest.raises(ArchiveCorrupt):
            extract(packed[:cut])


@pytest.mark.parametrize("compression", ["gzip", "bzip2", "xz", "zstd"])
def test_a_flipped_bit_is_found_by_the_checksum(compression):
    compress = COMPRESSIONS[compression]
    if compression == "zstd":
        checked = {int(zstd.CompressionParameter.checksum_flag): 1}
        packed = zstd.compress(tar_of(*FILES), options=checked)
    else:
        packed = compress(tar_of(*FILES))
    raw = bytearray(packed)
    raw[len(raw) // 2] ^= 0x10
    with pytest.raises((ArchiveCorrupt, ArchiveUnsafe)):
        extract(bytes(raw))


@pytest.mark.parametrize("data", [b"", b"no tar at all", bytes(511), b"\x1f\x8b", b"BZh9rubbish"])
def test_other_files_than_tars_are_corrupt(data):
    with pytest.raises(ArchiveCorrupt):
        extract(data)


@pytest.mark.parametrize("zeros", [512, 1024, 32 << 10])
@pytest.mark.parametrize("chunk_bytes", [512, 1 << 20])
def test_the_image_of_a_disk_is_no_empty_tar(zeros, chunk_bytes):
    image = bytes(zeros) + b"\x01CD001" + bytes(4096)
    with pytest.raises(ArchiveCorrupt, match="it begins with zeros"):
        unpack(tar.extract, InMemory(image, chunk_bytes))
    assert unpack(tar.extract, InMemory(bytes(zeros), chunk_bytes))[0] == {}


def test_what_stands_behind_the_end_of_a_tar_that_has_members_is_none_of_it():
    assert extract(tar_of(("a", b"1")) + b"behind" * 200) == {"a": b"1"}


def test_a_hard_link_to_itself_is_noted_unless_the_file_is_there():
    link = header("a", tarfile.LNKTYPE, "./a")
    there, _, notes = unpack_noting(tar.extract, InMemory(tar_of(("a", b"1"), link)))
    assert (there, list(notes)) == ({"a": b"1"}, [])
    there, _, (note,) = unpack_noting(tar.extract, InMemory(tar_of(("b", b"1"), link)))
    assert (there, "'a'" in note, "links to nothing" in note) == ({"b": b"1"}, True, True)


def test_garbage_after_the_last_stream_is_damage():
    with pytest.raises(ArchiveCorrupt):
        extract(gzip.compress(tar_of(*FILES)) + b"garbage")


def gzip_of(data: bytes, flags: int) -> bytes:
    """Build a gzip stream whose header has the fields of these flags (RFC 1952)."""
    fields = {4: b"\6\0BC\2\0\x10\0", 8: b"name\0", 16: b"comment\0"}
    head = bytes([0x1F, 0x8B, 8, flags, 0, 0, 0, 0, 0, 255])
    head += b"".join(field for flag, field in fields.items() if flags & flag)
    if flags & 2:
        head += (zlib.crc32(head) & 0xFFFF).to_bytes(2, "little")
    packed = zlib.compressobj(wbits=-15)
    body = packed.compress(data) + packed.flush()
    return head + body + zlib.crc32(data).to_bytes(4, "little") + len(data).to_bytes(4, "little")


@pytest.mark.parametrize("chunk_bytes", [1, 7, 1 << 16])
@pytest.mark.parametrize("flags", [0, 1, 2, 6, 10, 18, 30])
def test_a_header_of_gzip_may_have_any_field_and_arrive_in_pieces(flags, chunk_bytes):
    whole = tar_of(*FILES)
    data = gzip_of(whole[:700], flags) + gzip_of(whole[700:], flags)
    files, _ = unpack(tar.extract, InMemory(data, chunk_bytes))
    assert files == dict(FILES)


def test_a_header_of_gzip_without_end_is_damage():
    endless = bytes([0x1F, 0x8B, 8, 8, 0, 0, 0, 0, 0, 255]) + b"n" * (1 << 18)
    for data in (endless, endless[:12], endless[:4]):
        with pytest.raises(ArchiveCorrupt, match=r"ends too early|damaged"):
            extract(data)


def test_a_stream_of_zstd_that_needs_a_dictionary_is_refused_with_the_reason():
    samples = [b"sample %d of many, alike in most of their bytes" % number for number in range(999)]
    dictionary = zstd.train_dict(samples, 2000)
    packed = zstd.compress(tar_of(*FILES), zstd_dict=dictionary)
    with pytest.raises(ArchiveCorrupt, match="needs a dictionary of zstd"):
        extract(packed)


def test_a_window_over_the_limit_is_a_limit_and_no_damage():
    packed = lzma.compress(tar_of(*FILES), preset=9)
    with pytest.raises(LimitExceeded, match="STAGING_UNPACK_WINDOW_BYTES"):
        extract(packed, limits=UnpackLimits(window_bytes=1 << 20))


@pytest.mark.parametrize("window_bytes", [1 << 20, (2 << 20) - 1])
def test_a_window_of_zstd_is_within_the_limit_by_its_power_of_two(window_bytes):
    limits = UnpackLimits(window_bytes=window_bytes)
    raw = tar_of(*FILES)
    block = (len(raw) << 3 | 1).to_bytes(3, "little") + raw  # the last block, stored uncompressed

    one_mib, an_eighth_more = (b"\x28\xb5\x2f\xfd\0%c" % code + block for code in (0x50, 0x51))
    assert extract(one_mib, limits=limits) == extract(raw)
    with pytest.raises(LimitExceeded, match="STAGING_UNPACK_WINDOW_BYTES"):
        extract(an_eighth_more, limits=limits)


def test_a_damaged_header_after_the_first_member_is_damage_and_no_end():
    data = bytearray(tar_of(*FILES, form=tarfile.USTAR_FORMAT))
    data[1024 + 512] ^= 1  # the name of the second member, whose checksum is then wrong
    with pytest.raises(ArchiveCorrupt, match="damaged"):
        extract(bytes(data))
