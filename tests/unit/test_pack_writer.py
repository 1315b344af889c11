"""When the bytes of a pack are written: not before there are enough, and then piece by piece."""

from pathlib import Path

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


def open_files_of(folder: Path) -> list[Path]:
    """The files below a folder that this process has open."""
    found = [each.readlink() for each in Path("/proc/self/fd").iterdir() if each.is_symlink()]
    return [each for each in found if each.is_relative_to(folder)]
