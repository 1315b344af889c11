"""Writing of a pack: buffered until there is enough, then chunk by chunk."""

from pathlib import Path

import pytest

from staging_api.store import pack_writer
from staging_api.store.pack_writer import LEAST_CONTENTS, PackWriter

MEBIBYTE = 1 << 20


def test_a_pack_is_written_a_mebibyte_at_a_time(tmp_path: Path) -> None:
    file, reserved = tmp_path / "pack", list[int]()
    writer = PackWriter(str(file), reserved.append)
    for number in range(LEAST_CONTENTS - 1):
        writer.add(bytes([number]))
    writer.add(bytes(MEBIBYTE - LEAST_CONTENTS))
    assert not file.exists()
    assert writer.few() is None
    writer.add(b"end")
    assert file.stat().st_size == MEBIBYTE + 2
    writer.add(b"more")
    assert file.stat().st_size == MEBIBYTE + 2
    _, size = writer.seal()
    assert file.stat().st_size == size == MEBIBYTE + 6
    assert reserved == [MEBIBYTE + 2, 4]


def test_one_content_less_than_a_pack_has_is_not_written_however_long(tmp_path: Path) -> None:
    file = tmp_path / "pack"
    writer = PackWriter(str(file), lambda _count: None)
    contents = [bytes([number]) * MEBIBYTE for number in range(LEAST_CONTENTS - 1)]
    for content in contents:
        writer.add(content)
    assert writer.few() == contents
    assert not file.exists()
    writer.close()


def test_a_pack_that_is_closed_before_its_end_leaves_no_open_file(tmp_path: Path) -> None:
    writer = PackWriter(str(tmp_path / "pack"), lambda _count: None)
    for number in range(LEAST_CONTENTS):
        writer.add(bytes([number]) * MEBIBYTE)
    assert open_files_of(tmp_path)
    for _ in range(2):
        writer.close()
        assert not open_files_of(tmp_path)


def test_the_disk_begins_to_write_a_pack_after_each_eight_mebibytes(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    told: list[tuple[int, int]] = []
    monkeypatch.setattr(
        pack_writer, "write_back", lambda _descriptor, start, end: told.append((start, end))
    )
    writer = PackWriter(str(tmp_path / "pack"), lambda _count: None)
    for number in range(LEAST_CONTENTS):
        writer.add(bytes([number, 0]))
    for number in range(16):
        writer.add(bytes([number]) * MEBIBYTE)
    _, size = writer.seal()
    begun = 2 * LEAST_CONTENTS
    first, second = begun + 8 * MEBIBYTE, begun + 16 * MEBIBYTE
    assert told == [(0, first), (first, second)]
    assert size == second


def test_what_is_written_of_a_pack_is_not_in_memory_as_well(tmp_path: Path) -> None:
    writer = PackWriter(str(tmp_path / "pack"), lambda _count: None)
    for number in range(LEAST_CONTENTS):
        writer.add(bytes([number]) * MEBIBYTE)
    assert not writer._first
    assert not writer._pending
    writer.close()


def test_of_the_latest_hundred_thousand_contents_one_that_comes_again_is_not_written(
    tmp_path: Path,
) -> None:
    writer = PackWriter(str(tmp_path / "pack"), lambda _count: None)
    places = [writer.add(b"%08d" % number)[1] for number in range(100_000)]
    assert places == list(range(0, 800_000, 8))
    assert [writer.add(b"%08d" % number)[1] for number in (0, 99_999)] == [0, 799_992]
    # One more, and all before it are dropped.
    assert writer.add(b"the next")[1] == 800_000
    assert writer.add(b"%08d" % 0)[1] == 800_008
    assert [writer.add(each)[1] for each in (b"the next", b"%08d" % 0)] == [800_000, 800_008]
    writer.close()


def open_files_of(folder: Path) -> list[Path]:
    """Return the files below a folder that this process has open."""
    found = [each.readlink() for each in Path("/proc/self/fd").iterdir() if each.is_symlink()]
    return [each for each in found if each.is_relative_to(folder)]
