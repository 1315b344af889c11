"""Extent of a file, reported to another thread than the writer's."""

import os
from pathlib import Path

from staging_api.staging.write_tracker import WriteTracker, WrittenExtent


def test_a_file_is_not_announced_before_it_exists(tmp_path):
    growth, file = WriteTracker(), tmp_path / "file"
    pieces = growth.counted(file, 3, [b"a", b"bc"])
    assert growth.synced() is None
    file.touch()
    assert next(pieces) == b"a"
    assert growth.synced() == WrittenExtent(file, 3, 0)
    next(pieces)
    assert growth.synced() == WrittenExtent(file, 3, 1)
    assert list(pieces) == []
    assert growth.synced() == WrittenExtent(file, 3, 3)
    left = [path for path in Path("/proc/self/fd").iterdir() if os.path.realpath(path) == str(file)]
    assert left == []


def test_a_file_that_the_store_did_not_need_is_no_longer_announced(tmp_path):
    growth, file = WriteTracker(), tmp_path / "file"
    file.touch()
    list(growth.counted(file, None, [b"a"]))
    file.unlink()
    assert growth.synced() is None
