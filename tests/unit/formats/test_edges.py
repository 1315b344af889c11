"""Limits of formats: the largest accepted value, and the next one."""

import io
import stat
import tarfile
import zipfile
from collections.abc import Callable, Iterable
from datetime import UTC, datetime
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from staging_api.errors import Invalid, LimitExceeded
from staging_api.formats import plain, tar
from staging_api.formats import zip as unzip
from staging_api.formats.forward import ForwardFile
from staging_api.formats.minidump import modules
from staging_api.formats.model import Extract, Member, UnpackLimits
from staging_api.formats.names import shown
from staging_api.formats.packing import PACKERS, PackedFile
from tests.archives import InMemory, header, tar_of, unpack, unpack_noting, with_unix_mode, zip_of
from tests.corpus.raw_tar import old_sparse
from tests.minidumps import Loaded, elf, minidump

CONTENT = b"content"


def tar_with_links(links: dict[str, str]) -> bytes:
    made = [header(name, tarfile.SYMTYPE, link=target) for name, target in links.items()]
    return bytes(tar_of(("file", CONTENT), *made))


def zip_with_links(links: dict[str, str]) -> bytes:
    made = [(with_unix_mode(name, stat.S_IFLNK | 0o777), links[name]) for name in links]
    return bytes(zip_of(("file", CONTENT), *made))


FORMS = pytest.mark.parametrize(
    ("made", "extract"), [(tar_with_links, tar.extract), (zip_with_links, unzip.extract)]
)
Made = Callable[[dict[str, str]], bytes]


@FORMS
def test_forty_links_one_after_another_are_followed_and_no_more(
    made: Made, extract: Extract
) -> None:
    links = {"l1": "file", **{f"l{number}": f"l{number - 1}" for number in range(2, 42)}}
    files, _, notes = unpack_noting(extract, InMemory(made(links)))
    assert files == {name: CONTENT for name in ("file", *links) if name != "l41"}
    assert len(notes) == 1
    assert "'l41'" in notes[0]


@FORMS
def test_a_link_of_4096_bytes_is_followed_and_no_longer_one(made: Made, extract: Extract) -> None:
    longest = "./" * 2046 + "file"
    files, _, notes = unpack_noting(extract, InMemory(made({"a": longest, "b": f"/{longest}"[1:]})))
    assert files == {"file": CONTENT, "a": CONTENT, "b": CONTENT}
    assert not notes
    files, _, notes = unpack_noting(
        extract, InMemory(made({"a": longest, "b": f".//{longest[2:]}"}))
    )
    assert files == {"file": CONTENT, "a": CONTENT}
    assert "'b'" in notes[0]


@pytest.mark.parametrize(
    ("of_size", "extract"),
    [
        (bytes, plain.extract),
        (lambda size: tar_of(("object", bytes(size))), tar.extract),
        (lambda size: old_sparse("object", [(0, b"x" * 512)], size) + bytes(1024), tar.extract),
        (lambda size: zip_of(("object", bytes(size))), unzip.extract),
    ],
    ids=["as it is", "tar", "sparse", "zip"],
)
def test_what_declares_more_than_a_file_may_have_is_refused_before_anything_is_kept(
    of_size: Callable[[int], bytes], extract: Extract
) -> None:
    kept: list[tuple[str, int]] = []

    def keep(member: Member, chunks: Iterable[bytes]) -> None:
        kept.append((member.path, 0))
        kept[-1] = member.path, sum(map(len, chunks))

    limits = UnpackLimits(member_bytes=4096)
    with pytest.raises(LimitExceeded, match="STAGING_UNPACK_MEMBER_BYTES"):
        extract(InMemory(of_size(4097)), str, keep, limits)
    assert kept == []
    extract(InMemory(of_size(4096)), str, keep, limits)
    assert kept == [("object", 4096)]


def without_size(data: InMemory) -> Any:
    return SimpleNamespace(name=data.name, size_bytes=None, open=data.open)


@pytest.mark.parametrize(
    "limits",
    [UnpackLimits(member_bytes=4096), UnpackLimits(total_bytes=4096)],
    ids=["of a file", "of all"],
)
def test_an_object_that_declares_no_size_is_read_as_far_as_its_limit(limits: UnpackLimits) -> None:
    longest, longer = (InMemory(bytes(size), chunk_bytes=1024) for size in (4096, 8192))
    found, _ = unpack(plain.extract, without_size(longest), limits=limits)
    assert found == {"object": longest.data}
    with pytest.raises(LimitExceeded):
        unpack(plain.extract, without_size(longer), limits=limits)
    assert longer.read[-1] == (4096, 5120)


def test_an_empty_object_that_declares_no_size_is_within_any_limit() -> None:
    none = UnpackLimits(member_bytes=0, total_bytes=0)
    assert unpack(plain.extract, without_size(InMemory(b"")), limits=none)[0] == {"object": b""}


def test_an_object_that_is_kept_as_it_is_has_its_folded_name() -> None:
    for name in ("a/b", "./a//b"):
        assert unpack(plain.extract, InMemory(CONTENT, name=name))[0] == {"a/b": CONTENT}


def test_the_headers_of_one_member_have_eight_mebibytes_together() -> None:
    stream = ForwardFile(iter([bytes(1 << 20)] * 20))
    for _ in range(2):
        stream.begin_member()
        assert len(stream.read(4 << 20)) == 4 << 20
        assert len(stream.read(4 << 20)) == 4 << 20
        with pytest.raises(LimitExceeded):
            stream.read(1)


def test_a_name_is_shown_up_to_eighty_characters() -> None:
    assert shown("x" * 80) == repr("x" * 80)
    assert shown("x" * 80 + "y") == repr("x" * 80)


def names_in(folder: Path, dump: bytes) -> list[str]:
    file = folder / "dump"
    file.write_bytes(dump)
    return [module.name for module in modules(file)]


def test_of_a_crash_4096_modules_are_read(tmp_path: Path) -> None:
    many = [elf(f"/lib/{number}.so", b"id") for number in range(4097)]
    assert names_in(tmp_path, minidump(many)) == [f"{number}.so" for number in range(4096)]


def test_of_the_name_of_a_module_1024_characters_are_read(tmp_path: Path) -> None:
    assert names_in(tmp_path, minidump([elf("n" * 1025, b"id")])) == ["n" * 1024]


def test_of_the_record_of_a_module_4096_bytes_are_read(tmp_path: Path) -> None:
    head = b"RSDS" + bytes(20)
    loaded = Loaded("/lib/a.so", head + b"p" * (4096 - len(head)) + b"q")
    assert names_in(tmp_path, minidump([loaded])) == ["p" * (4096 - len(head))]


def test_a_dump_that_ends_before_its_first_header_is_refused(tmp_path: Path) -> None:
    with pytest.raises(Invalid, match="not a whole minidump"):
        names_in(tmp_path, b"MDMP")


def packed_file(moment: datetime, *, executable: bool) -> PackedFile:
    return PackedFile("a/file", len(CONTENT), moment, executable, lambda: io.BytesIO(CONTENT))


@pytest.mark.parametrize(("executable", "mode"), [(True, 0o755), (False, 0o644)])
def test_a_packed_file_has_the_permissions_of_a_program_or_of_a_text(
    executable: bool, mode: int
) -> None:
    moment = datetime(2026, 11, 30, 9, 4, 6, tzinfo=UTC)
    file = packed_file(moment, executable=executable)
    packed = {suffix: io.BytesIO(b"".join(pack([file]))) for suffix, pack in PACKERS.items()}
    for suffix in ("tar", "tar.gz"):
        with tarfile.open(fileobj=packed[suffix]) as archive:
            (info,) = archive.getmembers()
            assert (info.name, info.mode, info.mtime) == ("a/file", mode, moment.timestamp())
    # A tar ends with two blocks of zeros: header, content, end.
    assert len(packed["tar"].getvalue()) == 4 * tarfile.BLOCKSIZE
    with zipfile.ZipFile(packed["zip"]) as archive:
        (entry,) = archive.infolist()
        assert entry.external_attr >> 16 == stat.S_IFREG | mode
        assert entry.date_time == (2026, 11, 30, 9, 4, 6)
        assert archive.read(entry) == CONTENT


@pytest.mark.parametrize(
    ("moment", "told"),
    [
        (datetime(1979, 12, 31, 23, 59, 59, tzinfo=UTC), (1980, 1, 1, 0, 0, 0)),
        (datetime(1980, 3, 4, 5, 6, 8, tzinfo=UTC), (1980, 3, 4, 5, 6, 8)),
    ],
)
def test_a_zip_knows_no_year_before_1980(
    moment: datetime, told: tuple[int, int, int, int, int, int]
) -> None:
    raw = io.BytesIO(b"".join(PACKERS["zip"]([packed_file(moment, executable=False)])))
    with zipfile.ZipFile(raw) as archive:
        assert [entry.date_time for entry in archive.infolist()] == [told]
