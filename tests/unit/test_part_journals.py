"""Journals of parts, line by line, and foreign entries in place of a folder of parts."""

import errno
import os
from pathlib import Path
from zlib import crc32

import pytest

from staging_api.store import parts as parts_module
from staging_api.store.parts import PartStore, ResumedRange

MEBIBYTE = 1 << 20
OBJECT = bytes(range(100))


@pytest.fixture
def parts(tmp_path: Path) -> PartStore:
    """Create two versions; an attempt left the whole object of each, and noted 10-30 and 50-60."""
    store = PartStore(tmp_path)
    for version in ("one", "other"):
        with store.open(version, len(OBJECT)) as attempt:
            attempt.write(0, OBJECT)
            attempt.note([(10, 30), (50, 60)])
    return store


def open_files() -> int:
    """Return the number of open descriptors of this process."""
    return len(list(Path("/proc/self/fd").iterdir()))


def journal(tmp_path: Path, version: str = "one") -> Path:
    [found] = (tmp_path / version).glob("*.done")
    return found


def found_at(parts: PartStore, position: int, version: str = "one") -> tuple[int, int] | None:
    with parts.open(version, len(OBJECT)) as attempt:
        found = attempt.resumed_range_at(position)
        return (found.start, found.end) if found else None


def test_a_line_has_the_range_and_the_checksum_that_any_version_reads(
    parts: PartStore, tmp_path: Path
) -> None:
    lines = [f"{start} {end} {crc32(OBJECT[start:end])}" for start, end in ((10, 30), (50, 60))]
    assert journal(tmp_path).read_text().splitlines() == lines


def test_a_line_of_the_previous_version_has_no_checksum_and_is_believed(
    parts: PartStore, tmp_path: Path
) -> None:
    journal(tmp_path).write_bytes(b"0 100\n")
    assert found_at(parts, 5) == (0, 100)
    assert found_at(parts, 5, "other") is None


def test_a_line_without_its_end_is_not_read_however_whole_it_looks(
    parts: PartStore, tmp_path: Path
) -> None:
    file, whole = journal(tmp_path), f"0 100 {crc32(OBJECT)}"
    for line in (whole, whole[:-2], "0 100", "0 10", "0"):
        file.write_text(f"10 30 {crc32(OBJECT[10:30])}\n{line}")
        assert [found_at(parts, position) for position in (5, 10, 99)] == [None, (10, 30), None]


@pytest.mark.parametrize(("length", "found"), [(80, (0, 100)), (81, None)])
def test_a_line_has_eighty_bytes_at_most(
    parts: PartStore, tmp_path: Path, length: int, found: tuple[int, int] | None
) -> None:
    end = b" %d\n" % crc32(OBJECT)
    start = b"0 " + b"0" * (length - len(b"0 100") - len(end)) + b"100"
    journal(tmp_path).write_bytes(start + end)
    assert journal(tmp_path).stat().st_size == length
    assert found_at(parts, 5) == found


@pytest.mark.parametrize(
    "line", [b"0 100 5 5\n", b"0 100 x\n", b"-1 100\n", b"0 101\n", b"5 5\n", b"100\n"]
)
def test_a_line_that_names_no_range_of_the_file_is_passed_over(
    parts: PartStore, tmp_path: Path, line: bytes
) -> None:
    text = journal(tmp_path).read_bytes()
    journal(tmp_path).write_bytes(line + text)
    assert [found_at(parts, position) for position in (5, 10, 99)] == [None, (10, 30), None]


@pytest.mark.parametrize("suffix", [".data", ".done"])
def test_a_journal_without_its_bytes_and_bytes_without_a_journal_are_nothing(
    parts: PartStore, tmp_path: Path, suffix: str
) -> None:
    journal(tmp_path).with_suffix(suffix).unlink()
    assert found_at(parts, 10) is None
    assert found_at(parts, 10, "other") == (10, 30)


def test_bytes_that_were_found_right_are_not_read_for_that_again(
    parts: PartStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    asked: list[tuple[int, int]] = []
    checksum = parts_module._checksum

    def noted(descriptor: int, start: int, end: int) -> int:
        asked.append((start, end))
        return checksum(descriptor, start, end)

    monkeypatch.setattr(parts_module, "_checksum", noted)
    with parts.open("one", len(OBJECT)) as attempt:
        for position in (10, 11, 50, 29):
            assert attempt.resumed_range_at(position) is not None
    assert asked == [(10, 30), (50, 60)]


def test_a_range_that_went_bad_is_no_range_from_then_on(parts: PartStore, tmp_path: Path) -> None:
    [data] = (tmp_path / "one").glob("*.data")
    data.write_bytes(OBJECT[:20] + b"!" + OBJECT[21:])
    with parts.open("one", len(OBJECT)) as attempt:
        assert attempt.next_resumed_range(0, 90) == 10
        assert attempt.resumed_range_at(10) is None
        assert attempt.next_resumed_range(0, 90) == 50
        assert attempt.resumed_range_at(50) is not None


def test_a_range_is_read_a_mebibyte_at_a_time(tmp_path: Path) -> None:
    store = PartStore(tmp_path)
    content = os.urandom(MEBIBYTE) * 2 + b"end"
    with store.open("long", len(content)) as attempt:
        attempt.write(0, content)
        attempt.note([(0, len(content))])
    with store.open("long", len(content)) as attempt:
        found = attempt.resumed_range_at(0)
        assert isinstance(found, ResumedRange)
        chunks = list(attempt.read(found, 0, len(content)))
    assert [len(chunk) for chunk in chunks] == [MEBIBYTE, MEBIBYTE, 3]
    assert b"".join(chunks) == content


def test_bytes_are_looked_at_a_mebibyte_at_a_time(
    parts: PartStore, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    lengths: list[int] = []
    pread = os.pread

    def noted(descriptor: int, length: int, start: int) -> bytes:
        lengths.append(length)
        return pread(descriptor, length, start)

    (tmp_path / "long").write_bytes(bytes(MEBIBYTE + 3))
    with (tmp_path / "long").open("rb") as file:
        monkeypatch.setattr(os, "pread", noted)
        checksum = parts_module._checksum(file.fileno(), 0, MEBIBYTE + 3)
    assert lengths == [MEBIBYTE, 3]
    assert checksum == crc32(bytes(MEBIBYTE + 3))


def test_the_first_parts_of_a_store_need_no_folder(tmp_path: Path) -> None:
    store = PartStore(tmp_path / "store" / "parts")
    with (
        store.open("one", 9) as one,
        store.open("one", 9) as again,
        store.open("other", 9) as other,
    ):
        folders = [each.path.parent.name for each in (one, again, other)]
        assert folders == ["one", "one", "other"]
        assert one.path != again.path


def test_what_was_never_there_may_be_forgotten(parts: PartStore) -> None:
    parts.forget("never there")
    assert found_at(parts, 10) == (10, 30)


@pytest.mark.parametrize("is_made_meanwhile", [False, True])
def test_a_file_in_the_place_of_a_folder_gives_way(
    parts: PartStore, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, is_made_meanwhile: bool
) -> None:
    file = tmp_path / "version"
    file.write_bytes(b"no folder")
    unlink = Path.unlink

    def unlink_and_make(path: Path) -> None:
        unlink(path)
        if is_made_meanwhile:
            path.mkdir()

    monkeypatch.setattr(Path, "unlink", unlink_and_make)
    with parts.open("version", len(OBJECT)) as attempt:
        attempt.write(0, OBJECT)
        assert attempt.path.parent == file
        assert attempt.path.read_bytes() == OBJECT
    assert found_at(parts, 10) == (10, 30)


def test_a_version_that_cannot_be_opened_leaves_no_file_open(
    parts: PartStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    before, opened = open_files(), os.open

    def refuse(path: str | Path, flags: int, *mode: int) -> int:
        if str(path).endswith(".done") and flags & os.O_CREAT:
            raise OSError(errno.EMFILE, "x")
        return opened(path, flags, *mode)

    monkeypatch.setattr(os, "open", refuse)
    with pytest.raises(Exception, match="does not answer"), parts.open("one", len(OBJECT)):
        pass
    assert open_files() == before
