"""The blob store: names mean durable bytes, and what fails leaves nothing behind."""

import errno
import hashlib
import os
import stat
import threading

import pytest

from staging_api.artifacts.folder_store import FolderStore
from staging_api.artifacts.store import Blob
from staging_api.errors import NoSpace, NotFound
from tests.stores import blobs_of


@pytest.fixture
def store(tmp_path):
    return FolderStore(tmp_path)


def files_below(folder):
    return sorted(str(path.relative_to(folder)) for path in folder.rglob("*") if path.is_file())


def test_what_is_committed_can_be_read_by_its_digest(store):
    with store.batch("worker-1") as batch:
        blob = batch.keep([b"first ", b"second"])
        batch.commit()
    assert blob == Blob(hashlib.sha256(b"first second").hexdigest(), 12)
    with store.open(blob.sha256) as file:
        assert file.read() == b"first second"
    assert blobs_of(store)[0][0] == blob


def test_nothing_has_a_name_before_the_commit(store, tmp_path):
    with store.batch("worker-1") as batch:
        blob = batch.keep([b"x"])
        assert not store.has(blob.sha256)
        assert len(files_below(tmp_path)) == 1
    assert files_below(tmp_path) == []


def test_a_failing_stream_leaves_nothing(store, tmp_path):
    def breaks():
        yield b"half"
        raise ConnectionError

    with pytest.raises(ConnectionError), store.batch("worker-1") as batch:
        batch.keep(breaks())
    assert files_below(tmp_path) == []
    assert list((tmp_path / "tmp").iterdir()) == []


def test_the_same_content_is_stored_once(store, tmp_path):
    with store.batch("worker-1") as batch:
        first = batch.keep([b"same"])
        second = batch.keep([b"sa", b"me"])
        batch.commit()
    with store.batch("worker-2") as batch:
        third = batch.keep([b"same"])
        batch.commit()
    assert first == second == third
    assert files_below(tmp_path) == [f"sha256/{first.sha256[:2]}/{first.sha256}"]


def test_content_found_again_counts_as_used_just_now(store):
    with store.batch("worker-1") as batch:
        blob = batch.keep([b"old"])
        batch.commit()
    os.utime(store.path(blob.sha256), (1, 1))
    with store.batch("worker-1") as batch:
        batch.keep([b"old"])
        batch.commit()
    assert [used > 1 for _, used in blobs_of(store)] == [True]


def test_data_is_synced_before_it_gets_its_name_and_folders_after(store, monkeypatch):
    steps = []
    sync, replace = os.fsync, os.rename

    def note_sync(descriptor):
        steps.append("folder" if stat.S_ISDIR(os.fstat(descriptor).st_mode) else "file")
        sync(descriptor)

    monkeypatch.setattr(os, "fsync", note_sync)

    def note_name(old, new):
        steps.append("name")
        replace(old, new)

    monkeypatch.setattr(os, "replace", note_name)
    with store.batch("worker-1") as batch:
        batch.keep([b"one"])
        batch.commit()
    assert steps == ["file", "name", "folder", "folder", "folder"]


def test_many_files_are_committed_as_well(store):
    with store.batch("worker-1") as batch:
        blobs = [batch.keep([b"%d" % number]) for number in range(40)]
        batch.commit()
    assert all(store.has(blob.sha256) for blob in blobs)


def test_a_full_disk_is_told_and_leaves_nothing(store, tmp_path, monkeypatch):
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


def test_several_threads_may_keep_at_once(store):
    with store.batch("worker-1") as batch:
        threads = [
            threading.Thread(target=batch.keep, args=([b"%d" % (number % 4)],))
            for number in range(16)
        ]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        batch.commit()
    assert len(blobs_of(store)) == 4


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


@pytest.mark.parametrize(
    "name", ["", "..", "../../etc/passwd", "A" * 64, "a" * 63, "a" * 64 + "\n"]
)
def test_only_a_digest_names_a_blob(store, name):
    with pytest.raises(NotFound):
        store.path(name)


def test_the_sweep_takes_what_the_dead_left_and_leaves_the_living(store, tmp_path):
    dead = tmp_path / "tmp" / "worker-0" / "0123"
    dead.mkdir(parents=True)
    (dead / "part").write_bytes(b"x")
    os.utime(dead / "part", (1, 1))
    os.utime(dead, (1, 1))
    with store.batch("worker-1") as batch:
        batch.keep([b"alive"])
        assert store.sweep(older_than_seconds=3600) == 1
        batch.commit()
    assert not dead.parent.exists()
    assert len(blobs_of(store)) == 1
