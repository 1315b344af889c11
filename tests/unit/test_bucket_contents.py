"""Contents of a bucket: blobs, marker and quarantine; effects of a batch and a sweep."""

import io
from concurrent.futures import ThreadPoolExecutor
from email.utils import formatdate
from hashlib import sha256
from pathlib import Path
from types import SimpleNamespace
from typing import Any, BinaryIO

import obstore
import pytest
from obstore.store import MemoryStore

from staging_api.errors import NotFound, StoreDenied, StoreFailed, Unavailable
from staging_api.store import bucket_objects, bucket_store
from staging_api.store.blobs import MARKER, Blob
from staging_api.store.bucket import Bucket, BucketObjectReader
from staging_api.store.bucket_objects import BucketObjects
from staging_api.store.bucket_store import BucketStore
from staging_api.store.spool import SweepResult

FIRST, SECOND = (f"{number:026d}" for number in (1, 2))


@pytest.fixture
def objects(monkeypatch: pytest.MonkeyPatch) -> MemoryStore:
    """Return the objects of the bucket, which is in this process's memory."""
    made = MemoryStore()
    monkeypatch.setattr(Bucket, "connect", lambda *_given, **_chosen: made)
    answer = SimpleNamespace(headers={"Date": formatdate()})
    monkeypatch.setattr(bucket_objects, "_request", lambda *_given: answer)
    return made


@pytest.fixture
def store(objects: MemoryStore, tmp_path: Path) -> BucketStore:
    return BucketStore(Bucket.parse("gs://bucket/prefix"), tmp_path / "spool")


def keep(store: BucketStore, *contents: bytes) -> list[Blob]:
    with store.batch("worker-1") as batch:
        blobs = [batch.keep([content]) for content in contents]
        batch.commit()
    return blobs


def names(objects: MemoryStore, prefix: str = "") -> list[str]:
    return sorted(each["path"] for some in objects.list(prefix or None) for each in some)


def test_only_objects_that_are_named_by_a_digest_of_their_folder_are_blobs(
    store: BucketStore, objects: MemoryStore
) -> None:
    digest, other = "ab" * 32, "cd" * 32
    for key in (f"ab/{digest}", "ab/notes", f"ab/{other}", f"ab/x/{digest}", f"cd/{other}"):
        obstore.put(objects, f"sha256/{key}", b"content", use_multipart=False)
    assert [blob for blob, _ in store.shard("ab")] == [Blob(digest, 7)]
    assert [blob for blob, _ in store.shard("cd")] == [Blob(other, 7)]


def test_a_store_is_empty_that_has_no_blob_whatever_else_it_has(
    store: BucketStore, objects: MemoryStore
) -> None:
    store.identify(FIRST)
    obstore.put(objects, "quarantine/1/blob", b"bad", use_multipart=False)
    assert store.is_empty()
    keep(store, b"one")
    assert not store.is_empty()


def test_blobs_that_are_there_and_were_uploaded_since_are_in_use(store: BucketStore) -> None:
    kept = {blob.sha256 for blob in keep(store, b"one", b"two")}
    newest = max(store.last_use(digest) or 0 for digest in kept)
    assert store.used_since([*kept, "0" * 64], newest - 60) == kept
    assert store.used_since([*kept, "0" * 64], newest) == set()


def test_a_marker_stays_unless_it_is_damaged_or_to_be_replaced(
    store: BucketStore, objects: MemoryStore
) -> None:
    assert store.identity() is None
    store.identify(FIRST)
    store.identify(SECOND)
    assert store.identity() == FIRST
    assert bytes(objects.get(MARKER).bytes()) == f"{FIRST}\n".encode()
    store.identify(SECOND, replace=True)
    assert store.identity() == SECOND
    obstore.put(objects, MARKER, b"damaged", use_multipart=False)
    assert store.identity() is None
    store.identify(FIRST)
    assert store.identity() == FIRST


def test_of_two_that_mark_a_store_at_once_the_first_stays(
    store: BucketStore, objects: MemoryStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(BucketObjects, "marker", lambda _self: None)  # as both find it
    store.identify(FIRST)
    store.identify(SECOND)
    assert bytes(objects.get(MARKER).bytes()) == f"{FIRST}\n".encode()


def test_a_blob_is_read_from_wherever_it_was_sought(store: BucketStore) -> None:
    content = bytes(range(256)) * (12 << 10)  # 3 MiB: read in several chunks
    blob, other = keep(store, content, b"other")
    with store.open(blob.sha256, len(content)) as stream, store.open(other.sha256) as second:
        assert stream.read(5) == content[:5]
        assert second.read() == b"other"
        for position in (0, 1, (1 << 20) - 1, (2 << 20) + 7, len(content) - 1, len(content)):
            assert stream.seek(position) == stream.tell() == position
            assert stream.read(2_000_000) == content[position : position + 2_000_000]
        assert stream.seek(-3, io.SEEK_END) == len(content) - 3
        assert stream.seek(1, io.SEEK_CUR) == len(content) - 2
        assert stream.read() == content[-2:]
        assert stream.read() == b""


@pytest.mark.parametrize("chunks", [[], [b"", b"more"]])
def test_an_answer_without_the_bytes_that_are_left_is_a_failure(chunks: list[bytes]) -> None:
    answer = SimpleNamespace(stream=lambda **_chosen: iter(chunks))
    client: Any = SimpleNamespace(get=lambda *_given, **_chosen: answer)
    found: Any = {"path": "key", "size": 4}
    with pytest.raises(StoreFailed, match="sent less"):
        BucketObjectReader(client, found).read(1)


def differs(stream: BinaryIO) -> bool:
    return stream.read() != b"good"


def test_a_damaged_blob_is_put_aside_and_of_a_good_one_nothing_is(
    store: BucketStore, objects: MemoryStore
) -> None:
    good, other = keep(store, b"good", b"other")
    assert not store.quarantine(good.sha256, differs)
    assert not store.quarantine("0" * 64, differs)
    assert names(objects, "quarantine") == []
    assert store.quarantine(other.sha256, differs)
    [aside] = names(objects, "quarantine")
    assert aside.endswith(f"/{other.sha256}")
    assert bytes(objects.get(aside).bytes()) == b"other"
    assert (store.has(good.sha256), store.has(other.sha256)) == (True, False)


@pytest.mark.parametrize("is_replaced", [True, False])
def test_what_replaced_a_damaged_blob_while_it_was_read_stays(
    store: BucketStore, objects: MemoryStore, is_replaced: bool
) -> None:
    good, bad = keep(store, b"good", b"other")
    key = f"sha256/{bad.sha256[:2]}/{bad.sha256}"

    def replaced(stream: BinaryIO) -> bool:
        if is_replaced:
            obstore.put(objects, key, b"fresh", use_multipart=False)
        return differs(stream)

    assert store.quarantine(bad.sha256, replaced) != is_replaced
    assert store.has(bad.sha256) == is_replaced
    assert store.has(good.sha256)
    assert len(names(objects, "quarantine")) == (0 if is_replaced else 1)


def test_nothing_is_left_aside_of_a_blob_that_could_not_be_read_again(
    store: BucketStore, objects: MemoryStore
) -> None:
    blob, other = keep(store, b"good", b"other")
    assert store.quarantine(other.sha256, differs)
    before = names(objects, "quarantine")

    def fails(stream: BinaryIO) -> bool:
        stream.read(1)
        raise StoreFailed("the object store sent less than the object has")

    with pytest.raises(StoreFailed, match="sent less"):
        store.quarantine(blob.sha256, fails)
    assert names(objects, "quarantine") == before
    assert store.has(blob.sha256)


@pytest.mark.parametrize(("content", "is_bad"), [(b"good", False), (b"other", True)])
def test_where_nothing_can_be_copied_a_damaged_blob_is_removed_all_the_same(
    store: BucketStore,
    objects: MemoryStore,
    monkeypatch: pytest.MonkeyPatch,
    content: bytes,
    is_bad: bool,
) -> None:
    blob, beside = keep(store, content, b"beside")
    monkeypatch.setattr(BucketObjects, "copy", lambda self, key, _aside: self.head(key))
    assert store.quarantine(blob.sha256, differs) == is_bad
    assert store.has(blob.sha256) != is_bad
    assert store.has(beside.sha256)
    assert names(objects, "quarantine") == []


def test_of_many_that_cannot_be_removed_at_once_each_is_removed_by_itself(
    store: BucketStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    blobs = keep(store, *(b"%d" % number for number in range(4)))
    digests = [blob.sha256 for blob in blobs]
    assert store.remove_all(digests[:1]) == {}
    at_once = BucketObjects.delete_all

    def refuse_many(*_given: object) -> None:
        raise StoreFailed("not many")

    def refuse_one(self: BucketObjects, key: str) -> None:
        if key.endswith(digests[1]):
            raise StoreDenied("not this one")
        at_once(self, [key])

    monkeypatch.setattr(BucketObjects, "delete_all", refuse_many)
    monkeypatch.setattr(BucketObjects, "delete", refuse_one)
    failed = store.remove_all(digests[:3])
    assert {name: type(error) for name, error in failed.items()} == {digests[1]: StoreDenied}
    assert [store.has(digest) for digest in digests] == [False, True, False, True]


def test_what_was_put_aside_is_removed_after_thirty_days_and_what_cannot_be_is_named(
    store: BucketStore, objects: MemoryStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    for number in range(4):
        obstore.put(objects, f"quarantine/{number}/blob", b"bad", use_multipart=False)
    begun, delete = store.time(), BucketObjects.delete

    def refuse(self: BucketObjects, key: str) -> None:
        if key == "quarantine/1/blob":
            raise StoreFailed("not now")
        delete(self, key)

    monkeypatch.setattr(BucketObjects, "delete", refuse)
    for hours, expected in (
        (30 * 24 - 1, SweepResult()),
        (30 * 24 + 1, SweepResult(3, ("quarantine/1/blob",))),
    ):
        monkeypatch.setattr(store, "time", lambda at=begun + hours * 3600: at)
        assert store.sweep(older_than_seconds=3600) == expected
    assert names(objects) == ["quarantine/1/blob"]


def test_a_bucket_is_of_no_use_without_a_folder_to_write_to(
    objects: MemoryStore, tmp_path: Path
) -> None:
    (tmp_path / "file").touch()
    with pytest.raises(Unavailable, match="cannot be written"):
        BucketStore(Bucket.parse("gs://bucket/prefix"), tmp_path / "file" / "spool").check()


def test_a_batch_says_when_it_is_written_when_each_new_blob_has_its_name_and_when_all_have(
    store: BucketStore, objects: MemoryStore
) -> None:
    keep(store, b"known")
    steps: list[tuple[str, int]] = []
    with store.batch("worker-1") as batch:
        for content in (b"known", b"one", b"two"):
            batch.keep([content])
        batch.commit(lambda step: steps.append((step, len(names(objects, "sha256")))))
    assert steps[0] == ("batch written", 1)
    assert [step for step, _ in steps[1:-1]] == ["blob named"] * 2
    assert steps[-1] == ("names synced", 3)


def test_nothing_is_read_of_an_empty_blob_and_nothing_of_one_that_has_a_byte(
    store: BucketStore,
) -> None:
    for content in (b"", b"x"):
        [blob] = keep(store, content)
        assert store.read(blob.sha256, len(content), 0, 0) == b""
        with pytest.raises(NotFound):
            store.read(blob.sha256, len(content) + 1, 0, 0)
    with pytest.raises(NotFound):
        store.read("0" * 64, 0, 0, 0)


def test_a_piece_that_reaches_beyond_the_blob_is_not_there(store: BucketStore) -> None:
    [blob] = keep(store, b"0123456789")
    assert store.read(blob.sha256, 10, 3, 7) == b"3456789"
    with pytest.raises(NotFound):
        store.read(blob.sha256, 10, 3, 8)


def test_sixteen_requests_are_made_at_once(
    store: BucketStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    asked: list[int] = []

    def pool(count: int, name: str) -> ThreadPoolExecutor:
        asked.append(count)
        return ThreadPoolExecutor(count, name)

    monkeypatch.setattr(bucket_store, "ThreadPoolExecutor", pool)
    contents = {sha256(b"%d" % number).hexdigest(): 1 for number in range(20)}
    assert store.lacks(contents) == set(contents)
    assert asked == [16]
