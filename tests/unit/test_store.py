"""Folder store: durability of each step, also on a full disk. See also conformance."""

import errno
import hashlib
import os
import stat

import pytest

from staging_api.errors import NoSpace, NotFound
from staging_api.store.blobs import Blob
from staging_api.store.folder_store import FolderStore
from staging_api.store.spool import SweepResult
from tests.stores import blobs_of


@pytest.fixture
def store(tmp_path):
    return FolderStore(tmp_path)


def files_below(folder):
    return sorted(str(path.relative_to(folder)) for path in folder.rglob("*") if path.is_file())


def test_content_that_is_kept_again_counts_as_just_used(store):
    with store.batch("worker-1") as batch:
        blob = batch.keep([b"old"])
        batch.commit()
    os.utime(store.path(blob.sha256), (1, 1))
    with store.batch("worker-1") as batch:
        batch.keep([b"old"])
        batch.commit()
    assert [used > 1 for _, used in blobs_of(store)] == [True]


@pytest.mark.parametrize("more", [-1, 0, 1], ids=["shorter", "a piece", "longer"])
def test_of_content_that_is_kept_again_the_file_stays_unless_it_differs_anywhere(store, more):
    # Files are compared chunk by chunk: the last byte is in the last chunk.
    content = bytes((1 << 20) + more)

    def kept():
        with store.batch("worker-1") as batch:
            blob = batch.keep([content])
            batch.commit()
        return store.path(blob.sha256)

    path = kept()
    before = path.stat().st_ino
    assert kept().stat().st_ino == before
    with path.open("r+b") as file:
        file.seek(-1, os.SEEK_END)
        file.write(b"x")
    assert kept().stat().st_ino != before
    assert path.read_bytes() == content


def test_of_content_that_comes_twice_in_a_batch_one_file_takes_space(store, tmp_path):
    with store.batch("worker-1") as batch:
        batch.keep([b"same"])
        batch.keep([b"sa", b"me"])
        batch.keep([b"other"])
        contents = [(tmp_path / each).read_bytes() for each in files_below(tmp_path)]
    assert sorted(contents) == [b"other", b"same"]


def test_a_file_that_is_adopted_is_named_by_its_bytes_and_ends_where_they_do(store):
    with store.parts.open("version", 9) as parts, store.batch("worker-1") as batch:
        parts.write(0, b"content..")
        blob = batch.adopt(parts.path, [b"con", b"tent"])
        other = batch.keep([b"other"])
        batch.commit()
    assert blob == Blob(hashlib.sha256(b"content").hexdigest(), len(b"content"))
    assert store.path(blob.sha256).read_bytes() == b"content"
    assert store.path(other.sha256).read_bytes() == b"other"


def test_data_is_synced_before_it_gets_its_name_and_folders_after(store, monkeypatch):
    steps = []
    sync, replace = os.fsync, os.rename

    def note_sync(descriptor):
        steps.append("folder" if stat.S_ISDIR(os.fstat(descriptor).st_mode) else "file")
        sync(descriptor)

    monkeypatch.setattr(os, "fsync", note_sync)

    def note_name(old, new):
        replace(old, new)
        steps.append("name")

    monkeypatch.setattr(os, "replace", note_name)
    with store.batch("worker-1") as batch:
        batch.keep([b"one"])
        batch.commit()
    assert steps == ["file", "name", "folder", "folder", "folder"]


def test_a_full_disk_is_no_space_and_leaves_nothing(store, tmp_path, monkeypatch):
    def full(_descriptor, _chunk):
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(os, "write", full)
    with pytest.raises(NoSpace), store.batch("worker-1") as batch:
        batch.keep([b"x"])
    assert files_below(tmp_path) == []


def test_a_full_disk_is_found_before_a_large_file_is_read(store):
    stream = iter([b"first piece"])
    with pytest.raises(NoSpace), store.batch("worker-1") as batch:
        batch.keep(stream, expected_bytes=1 << 50)
    assert next(stream) == b"first piece"


def test_a_stream_shorter_than_expected_keeps_its_own_length(store):
    with store.batch("worker-1") as batch:
        blob = batch.keep([b"short"], expected_bytes=2 << 20)
        batch.commit()
    assert store.path(blob.sha256).stat().st_size == blob.size_bytes == 5


@pytest.mark.parametrize(
    ("expected", "reserved"),
    [(None, [0, 3, 2, 4]), (9, [9]), (100, [100]), (3, [3, 2, 4]), (4, [4, 1, 4])],
)
def test_what_a_stream_has_beyond_the_expected_bytes_is_reserved_before_it_is_written(
    store, tmp_path, expected, reserved
):
    asked: list[int] = []
    written: list[int] = []

    def reserve(count: int) -> None:
        asked.append(count)
        written.append(sum((tmp_path / each).stat().st_size for each in files_below(tmp_path)))

    with store.batch("worker-1", reserve) as batch:
        batch.keep([b"one", b"no", b"more"], expected)
    assert asked == reserved
    assert all(sum(asked[: n + 1]) > have for n, have in enumerate(written) if asked[n])


def test_a_removed_blob_is_gone_but_an_open_reader_goes_on(store):
    with store.batch("worker-1") as batch:
        blob = batch.keep([b"read me"])
        batch.commit()
    with store.open(blob.sha256) as file:
        store.remove(blob.sha256)
        store.remove(blob.sha256)
        assert file.read() == b"read me"
    with pytest.raises(NotFound):
        store.open(blob.sha256)


def test_what_was_put_aside_is_kept_for_thirty_days(store, tmp_path):
    for days in (29, 31):
        folder = tmp_path / "quarantine" / str(days)
        folder.mkdir(parents=True)
        (folder / "blob").write_bytes(b"bad")
        then = store.time() - days * 24 * 3600
        os.utime(folder / "blob", (then, then))
        os.utime(folder, (then, then))
    assert store.sweep(older_than_seconds=3600).removed == 1
    assert [path.name for path in (tmp_path / "quarantine").iterdir()] == ["29"]


def test_a_sweep_removes_files_of_dead_processes_only(store, tmp_path):
    dead = tmp_path / "tmp" / "worker-0" / "0123"
    dead.mkdir(parents=True)
    (dead / "part").write_bytes(b"x")
    os.utime(dead / "part", (1, 1))
    os.utime(dead, (1, 1))
    with store.batch("worker-1") as batch:
        batch.keep([b"alive"])
        assert store.sweep(older_than_seconds=3600).removed == 1
        batch.commit()
    assert not dead.parent.exists()
    assert len(blobs_of(store)) == 1


def test_a_sweep_removes_old_files_and_links_but_nothing_that_these_lead_to(store, tmp_path):
    other = tmp_path / "other"
    other.mkdir()
    (other / "content").write_bytes(b"x")
    for folder in (tmp_path / "tmp" / "worker-0", tmp_path / "parts"):
        folder.mkdir(parents=True, exist_ok=True)
        (folder / "file").write_bytes(b"x")
        os.mkfifo(folder / "pipe")
        (folder / "link").symlink_to(other)
        (folder / "nowhere").symlink_to(other / "nothing")
    for path in (other / "content", *tmp_path.glob("tmp/*/*"), *tmp_path.glob("parts/*")):
        os.utime(path, (1, 1), follow_symlinks=False)
    os.utime(other, (1, 1))
    assert store.sweep(older_than_seconds=3600) == SweepResult(removed=8)
    assert files_below(tmp_path) == ["other/content"]
    assert not (tmp_path / "tmp" / "worker-0").exists()
    assert list((tmp_path / "parts").iterdir()) == []
