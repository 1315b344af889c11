"""Space for a file in a batch: when it is reserved, and when write-back to the disk begins."""

import ctypes
from pathlib import Path
from types import SimpleNamespace

import pytest

from staging_api.store import batch, disk
from staging_api.store.folder_store import FolderStore

MEBIBYTE = 1 << 20


@pytest.mark.parametrize(
    ("expected", "sparse", "reserved"),
    [
        (None, False, []),
        (MEBIBYTE - 1, False, []),
        (MEBIBYTE, False, [MEBIBYTE]),
        (MEBIBYTE, True, []),
    ],
)
def test_space_is_taken_first_for_a_mebibyte_or_more_without_holes(
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    expected: int | None,
    sparse: bool,
    reserved: list[int],
) -> None:
    taken: list[int] = []
    monkeypatch.setattr(batch, "reserve", lambda _descriptor, count: taken.append(count))
    with FolderStore(tmp_path).batch("worker-1") as made:
        made.keep([b"x"], expected, sparse=sparse)
    assert taken == reserved


def test_the_disk_begins_to_write_after_each_eight_mebibytes(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    told: list[tuple[int, int]] = []
    monkeypatch.setattr(
        batch, "write_back", lambda _descriptor, start, end: told.append((start, end))
    )
    with FolderStore(tmp_path).batch("worker-1") as made:
        made.keep([bytes(8 * MEBIBYTE - 1)])
        assert told == []
        made.keep([bytes(MEBIBYTE)] * 17 + [b"end"])
    assert told == [(0, 8 * MEBIBYTE), (8 * MEBIBYTE, 16 * MEBIBYTE)]


def test_the_kernel_is_asked_to_write_a_range_and_not_waited_for(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    asked: list[tuple[int, int, int, int]] = []

    def ask(descriptor: int, start: ctypes.c_int64, length: ctypes.c_int64, how: int) -> int:
        asked.append((descriptor, start.value, length.value, how))
        return 0

    monkeypatch.setattr(disk, "_C", SimpleNamespace(sync_file_range=ask))
    disk.write_back(3, 8 * MEBIBYTE, 24 * MEBIBYTE)
    # From Linux's header: 2 begins to write; 1 and 4 would wait, before it and after it.
    assert asked == [(3, 8 * MEBIBYTE, 16 * MEBIBYTE, 2)]


def test_content_without_holes_is_written_unless_it_may_have_some(tmp_path: Path) -> None:
    store = FolderStore(tmp_path)
    with store.batch("worker-1") as made:
        plain = made.keep([bytes(MEBIBYTE)])
        sparse = made.keep([bytes(MEBIBYTE), b"x"], sparse=True)
        made.commit()
    assert store.path(plain.sha256).stat().st_blocks * 512 >= MEBIBYTE
    assert store.path(sparse.sha256).stat().st_blocks * 512 < MEBIBYTE
