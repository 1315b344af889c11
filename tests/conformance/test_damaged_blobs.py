"""Damaged or incomplete blobs: never reused, and replaced by downloaded bytes."""

import hashlib
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import BinaryIO

import pytest

from staging_api.errors import NotFound
from staging_api.store.blob_store import BlobStore
from staging_api.store.blobs import Blob
from staging_api.store.opening import open_store
from tests import damage
from tests.buckets import s3_server
from tests.stores import blobs_of, kept_aside

CONTENT = bytes(range(256)) * 100
OTHER = b"another content"


@pytest.fixture(scope="module")
def endpoint() -> Iterator[str]:
    with s3_server() as found:
        yield found


@pytest.fixture
def store(url: str, tmp_path: Path) -> BlobStore:
    return open_store(url, tmp_path / "home")


def keep(store: BlobStore, content: bytes = CONTENT) -> Blob:
    with store.batch("worker-1") as batch:
        blob = batch.keep([content])
        batch.commit()
    return blob


def read(store: BlobStore, blob: Blob) -> bytes:
    with store.open(blob.sha256, blob.size_bytes) as stream:
        return stream.read()


def check_not_reused(store: BlobStore, blob: Blob) -> None:
    """Assert that no method of the store reports this blob as present."""
    assert not store.has(blob.sha256, blob.size_bytes)
    assert store.lacks({blob.sha256: blob.size_bytes}) == {blob.sha256}
    with pytest.raises(NotFound):
        store.open(blob.sha256, blob.size_bytes)
    with pytest.raises(NotFound), store.batch("worker-2") as batch:
        batch.reuse(blob)


@pytest.mark.parametrize("by", damage.CHANGED_LENGTHS)
def test_a_blob_of_another_length_is_not_reused_and_fresh_bytes_replace_it(
    store: BlobStore, url: str, by: Callable[[bytes], bytes | None]
) -> None:
    blob, other = keep(store), keep(store, OTHER)
    damage.change(url, blob.sha256, by)
    check_not_reused(store, blob)
    if not url.startswith("file:"):
        with pytest.raises(NotFound):
            store.link(blob.sha256, blob.size_bytes)
    assert keep(store) == blob
    assert read(store, blob) == CONTENT
    assert read(store, other) == OTHER


@pytest.mark.parametrize("made", damage.NO_FILES)
def test_other_than_regular_files_are_no_blobs_and_are_replaced(
    tmp_path: Path, made: Callable[[Path], None]
) -> None:
    url = f"file://{tmp_path}/store"
    store = open_store(url, tmp_path / "home")
    blob, other = keep(store), keep(store, OTHER)
    made(damage.path_of(url, blob.sha256))
    check_not_reused(store, blob)
    assert store.find(blob.sha256) is None
    assert [each for each, _ in blobs_of(store)] == [other]
    assert keep(store) == blob
    assert read(store, blob) == CONTENT
    assert damage.path_of(url, blob.sha256).is_file()


def test_a_file_where_a_shard_should_be_is_put_aside(tmp_path: Path) -> None:
    store = open_store(f"file://{tmp_path}/store", tmp_path / "home")
    keep(store, OTHER)
    shard = hashlib.sha256(CONTENT).hexdigest()[:2]
    (tmp_path / "store" / "sha256" / shard).write_bytes(b"no folder")
    blob = keep(store)
    assert read(store, blob) == CONTENT
    assert [p.read_bytes() for p in (tmp_path / "store").rglob(f"quarantine/*/{shard}")] == [
        b"no folder"
    ]


def test_fresh_bytes_replace_a_flipped_bit(tmp_path: Path) -> None:
    url = f"file://{tmp_path}/store"
    store = open_store(url, tmp_path / "home")
    blob = keep(store)
    damage.change(url, blob.sha256, damage.flipped)
    keep(store)
    assert read(store, blob) == CONTENT


def differs(sha256: str) -> Callable[..., bool]:
    return lambda stream: hashlib.sha256(stream.read()).hexdigest() != sha256


def test_a_damaged_blob_is_kept_aside_and_a_whole_one_stays(store: BlobStore, url: str) -> None:
    bad, good = keep(store), keep(store, OTHER)
    damage.change(url, bad.sha256, damage.flipped)
    assert store.quarantine(bad.sha256, differs(bad.sha256))
    assert not store.quarantine(good.sha256, differs(good.sha256))
    assert not store.quarantine("0" * 64, differs("0" * 64))
    assert not store.has(bad.sha256)
    assert read(store, good) == OTHER
    assert [each for each, _ in blobs_of(store)] == [good]
    assert [Path(path).name for path in kept_aside(url)] == [bad.sha256]
    keep(store)
    assert read(store, bad) == CONTENT


def test_fresh_bytes_that_come_while_a_damaged_blob_is_read_stay(
    store: BlobStore, url: str
) -> None:
    blob = keep(store)
    damage.change(url, blob.sha256, damage.flipped)

    def staged_meanwhile(stream: BinaryIO) -> bool:
        bad = differs(blob.sha256)(stream)
        store.remove(blob.sha256)
        keep(store)
        return bad

    assert not store.quarantine(blob.sha256, staged_meanwhile)
    assert read(store, blob) == CONTENT


def test_many_are_removed_and_those_that_are_gone_already_are_no_failure(
    store: BlobStore,
) -> None:
    blobs = [keep(store, b"%d" % number) for number in range(5)]
    kept = keep(store, OTHER)
    store.remove(blobs[0].sha256)
    assert store.remove_all([blob.sha256 for blob in blobs]) == {}
    assert [each for each, _ in blobs_of(store)] == [kept]
