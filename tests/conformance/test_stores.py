"""Conformance suite for every blob store: in a folder, and in a bucket of each service."""

import hashlib
import re
import threading
import time
import urllib.error
import urllib.request
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import obstore
import pytest
from obstore.exceptions import PermissionDeniedError

from staging_api.buckets import SERVICES
from staging_api.errors import Invalid, NotFound, StoreFailed, Unavailable
from staging_api.store.blob_store import BlobStore
from staging_api.store.blobs import Blob
from staging_api.store.bucket_store import BucketStore
from staging_api.store.opening import open_store
from tests.object_stores import BUCKETS
from tests.stores import blobs_of, put_marker

LARGE = bytes(range(256)) * (80 << 10)  # 20 MiB: uploaded in several parts


@pytest.fixture
def home(tmp_path: Path) -> Path:
    """Return the pod's own folder."""
    return tmp_path / "home"


@pytest.fixture
def store(url: str, home: Path) -> BlobStore:
    found = open_store(url, home)
    found.check()
    return found


def keep(store: BlobStore, *contents: bytes) -> list[Blob]:
    with store.batch("worker-1") as batch:
        blobs = [batch.keep([content]) for content in contents]
        batch.commit()
    return blobs


def temporary_files(folder: Path) -> list[Path]:
    return [path for path in folder.rglob("tmp/*/*/*") if path.is_file()]


def test_committed_blobs_are_found_and_read_by_their_digest(store):
    with store.batch("worker-1") as batch:
        blob = batch.keep([b"first ", b"second"])
        batch.commit()
    assert blob == Blob(hashlib.sha256(b"first second").hexdigest(), 12)
    assert store.has(blob.sha256)
    assert store.find(blob.sha256) == blob
    with store.open(blob.sha256) as stream:
        assert stream.read() == b"first second"


def test_a_blob_is_there_for_every_pod(store, url, tmp_path):
    (blob,) = keep(store, b"shared")
    with open_store(url, tmp_path / "another home").open(blob.sha256) as stream:
        assert stream.read() == b"shared"


def test_missing_blobs_among_many_are_reported(store):
    first, second = keep(store, b"first", b"second")
    assert store.lacks({first.sha256: 5, "0" * 64: 1, second.sha256: 6}) == {"0" * 64}
    assert store.lacks({}) == set()


def test_a_large_blob_is_kept_and_can_be_sought(store):
    (blob,) = keep(store, LARGE)
    assert store.find(blob.sha256) == Blob(hashlib.sha256(LARGE).hexdigest(), len(LARGE))
    with store.open(blob.sha256) as stream:
        assert stream.seek(5_000_000) == 5_000_000
        assert stream.read(1000) == LARGE[5_000_000:5_001_000]
        assert stream.read(3_000_000) == LARGE[5_001_000:8_001_000]
        stream.seek(-10, 2)
        assert stream.read() == LARGE[-10:]
        assert stream.read() == b""
        stream.seek(0)
        assert hashlib.sha256(stream.read()).hexdigest() == blob.sha256


def test_a_piece_of_a_blob_is_read_without_the_rest(store):
    (blob,) = keep(store, LARGE)
    for start, length in [(0, 5), (1 << 20, 3), (len(LARGE) - 4, 4), (7, 0), (len(LARGE), 0)]:
        piece = store.read(blob.sha256, len(LARGE), start, length)
        assert piece == LARGE[start : start + length]


@pytest.mark.parametrize("size", [5, 7])
def test_no_piece_is_read_of_a_blob_of_another_length(store, size):
    (blob,) = keep(store, b"longer")
    for length in (0, 2):
        with pytest.raises(NotFound):
            store.read(blob.sha256, size, 1, length)
    with pytest.raises(NotFound):
        store.read("0" * 64, size, 1, 2)


def test_an_empty_blob_is_a_blob(store):
    (blob,) = keep(store, b"")
    assert store.find(blob.sha256) == Blob(hashlib.sha256(b"").hexdigest(), 0)
    assert store.read(blob.sha256, 0, 0, 0) == b""
    with store.open(blob.sha256) as stream:
        assert stream.read() == b""


def test_nothing_has_a_name_before_the_commit(store, tmp_path):
    with store.batch("worker-1") as batch:
        blob = batch.keep([b"x"])
        assert not store.has(blob.sha256)
        assert len(temporary_files(tmp_path)) == 1
    assert not store.has(blob.sha256)
    assert blobs_of(store) == []
    assert temporary_files(tmp_path) == []


def test_a_failing_stream_leaves_nothing(store, tmp_path):
    def breaks():
        yield b"half"
        raise ConnectionError

    with pytest.raises(ConnectionError), store.batch("worker-1") as batch:
        batch.keep(breaks())
    assert blobs_of(store) == []
    assert temporary_files(tmp_path) == []


def test_the_same_content_is_stored_once(store):
    with store.batch("worker-1") as batch:
        first = batch.keep([b"same"])
        second = batch.keep([b"sa", b"me"])
        batch.commit()
    (third,) = keep(store, b"same")
    assert first == second == third
    assert [blob for blob, _ in blobs_of(store)] == [first]


def test_existing_blobs_may_be_reused_and_removed_ones_may_not(store):
    (blob,) = keep(store, b"old")
    with store.batch("worker-2") as batch:
        batch.reuse(blob)
        batch.commit()
    store.remove(blob.sha256)
    with pytest.raises(NotFound), store.batch("worker-2") as batch:
        batch.reuse(blob)


def test_a_file_that_arrived_in_parts_is_adopted_and_its_parts_stay(store):
    content = LARGE[:9_000_000]
    with store.parts.open("version", len(content)) as parts:
        parts.write(0, content)
        parts.note([(0, len(content))])
        with store.batch("worker-1") as batch:
            blob = batch.adopt(parts.path, [content])
            batch.commit()
    assert store.find(blob.sha256) == Blob(hashlib.sha256(content).hexdigest(), len(content))
    with store.parts.open("version", len(content)) as parts:
        held = parts.resumed_range_at(0)
        assert held is not None
        assert b"".join(parts.read(held, 0, len(content))) == content


def test_many_blobs_are_listed_by_shard_with_their_lengths(store):
    kept = keep(store, *(b"%d" % number for number in range(40)))
    assert sorted(blob.sha256 for blob, _ in blobs_of(store)) == sorted(b.sha256 for b in kept)
    chosen = kept[0]
    assert (chosen in [blob for blob, _ in store.shard(chosen.sha256[:2])]) is True
    assert all(blob.sha256[:2] == "ff" for blob, _ in store.shard("ff"))


def test_the_time_of_its_last_use_is_known(store):
    before = time.time() - 5
    (blob,) = keep(store, b"used")
    used = store.last_use(blob.sha256)
    assert used is not None
    assert before < used < time.time() + 5
    ((listed, shown),) = blobs_of(store)
    assert listed == blob
    assert shown == pytest.approx(used, abs=1)


def test_removed_blobs_are_gone_and_may_be_removed_again(store):
    (blob,) = keep(store, b"read me")
    store.remove(blob.sha256)
    store.remove(blob.sha256)
    assert (store.has(blob.sha256), store.find(blob.sha256)) == (False, None)
    assert store.last_use(blob.sha256) is None
    with pytest.raises(NotFound):
        store.open(blob.sha256)


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


def test_a_blob_can_be_placed_at_a_file_of_this_machine(store, tmp_path):
    (blob,) = keep(store, LARGE)
    store.place(blob.sha256, tmp_path / "here")
    assert (tmp_path / "here").read_bytes() == LARGE
    with pytest.raises(NotFound):
        store.place("0" * 64, tmp_path / "there")
    assert not (tmp_path / "there").exists()


@pytest.mark.parametrize(
    "name", ["", "..", "../../etc/passwd", "A" * 64, "a" * 63, "a" * 64 + "\n"]
)
def test_only_a_digest_names_a_blob(store, name):
    with pytest.raises(NotFound):
        store.open(name)


def test_a_link_is_enough_to_read_a_blob_or_a_range_of_it(url, store):
    (blob,) = keep(store, b"0123456789")
    link = store.link(blob.sha256, blob.size_bytes)
    if url.startswith("file:"):
        assert link is None
        return
    with urllib.request.urlopen(link) as answer:
        assert answer.read() == b"0123456789"
    asked = urllib.request.Request(link, headers={"Range": "bytes=3-5"})
    with urllib.request.urlopen(asked) as answer:
        assert (answer.status, answer.read()) == (206, b"345")


@pytest.fixture(params=BUCKETS)
def bucket(request, servers):
    """Return an empty store in a bucket."""
    return servers[request.param]()


@pytest.mark.parametrize(
    ("service", "holds"),
    [
        ("s3", "X-Amz-Expires=240"),
        ("gs", "X-Goog-Expires=240"),
        pytest.param("az", "sp=r", marks=pytest.mark.system),
    ],
)
def test_links_lead_to_where_clients_reach_the_bucket(servers, home, service, holds):
    inside = servers[service]()
    store = open_store(f"{inside}&public_endpoint=https://files.example.org", home)
    (blob,) = keep(store, b"x")
    link = store.link(blob.sha256, blob.size_bytes)
    assert link is not None
    assert link.startswith("https://files.example.org/store-")
    assert f"/some/prefix/sha256/{blob.sha256[:2]}/{blob.sha256}?" in link
    assert holds in link


def test_there_are_no_links_where_clients_do_not_reach_the_bucket(bucket, home):
    store = open_store(f"{bucket}&links=no", home)
    (blob,) = keep(store, b"x")
    assert store.link(blob.sha256, blob.size_bytes) is None


def test_a_credential_that_cannot_sign_gives_no_links(servers, home, monkeypatch):
    store = open_store(servers["gs"](), home)
    (blob,) = keep(store, b"x")
    asked = []

    def refuses(*_arguments):
        asked.append(1)
        raise PermissionDeniedError("signBlob")

    monkeypatch.setattr(obstore, "sign", refuses)
    assert store.link(blob.sha256, blob.size_bytes) is None
    assert store.link(blob.sha256, blob.size_bytes) is None
    assert len(asked) == 1


def test_a_missing_bucket_is_an_error(bucket, home):
    store = open_store(bucket.replace("://store-", "://nowhere-"), home)
    with pytest.raises(StoreFailed, match="is not there"):
        store.check()
    with pytest.raises(StoreFailed, match="is not there"):
        store.identity()
    with pytest.raises(StoreFailed):
        keep(store, b"x")


def test_of_many_removed_blobs_some_may_be_gone_already(store):
    kept = keep(store, *(b"%d" % number for number in range(6)))
    store.remove(kept[2].sha256)
    assert store.remove_all([blob.sha256 for blob in kept[:5]]) == {}
    assert [blob for blob, _ in blobs_of(store)] == [kept[5]]


@pytest.mark.parametrize("before", [None, b"damaged"])
def test_of_several_that_mark_a_store_at_once_one_is_first(url, tmp_path, before):
    if before is not None:
        put_marker(url, before)
    stores = [open_store(url, tmp_path / str(number)) for number in range(8)]
    with ThreadPoolExecutor(len(stores)) as threads:
        list(threads.map(lambda at: at[1].identify(f"{at[0]:026d}"), enumerate(stores)))
    found = {store.identity() for store in stores}
    assert len(found) == 1
    assert found < {f"{number:026d}" for number in range(len(stores))}


def test_a_copy_that_is_not_complete_says_nothing_of_the_blob(servers, home):
    store = open_store(servers["s3"](), home)
    assert isinstance(store, BucketStore)
    (blob,) = keep(store, b"whole")
    objects: Any = store._objects
    objects._client = CopiesLater(objects._client)
    assert store.quarantine(blob.sha256, lambda stream: stream.read() != b"whole") is False
    assert store.has(blob.sha256, blob.size_bytes)


class CopiesLater:
    """A client of a service that answers before its copy is complete."""

    def __init__(self, client):
        self._client = client

    def copy(self, _key, aside):
        obstore.put(self._client, aside, b"", use_multipart=False)

    def __getattr__(self, name):
        return getattr(self._client, name)


def test_an_unwritable_folder_is_an_error(tmp_path, home):
    (tmp_path / "file").touch()
    with pytest.raises(Unavailable):
        open_store(f"file://{tmp_path}/file/store", home).check()


@pytest.mark.parametrize(
    "url",
    [
        *("ftp://bucket", "/srv/staging", "file://srv", "s3://", "s3:///prefix"),
        *("s3://bucket?endpiont=x", "s3://key:secret@bucket", "gs://bucket?region=x"),
        *("az://container", "az://container?account=a&links=maybe"),
    ],
)
def test_an_address_that_is_no_store_is_refused(url, home):
    with pytest.raises(Invalid, match="STAGING_STORE"):
        open_store(url, home)


@pytest.mark.parametrize("scheme", SERVICES)
def test_an_option_that_is_none_is_answered_with_those_there_are(scheme, home):
    with pytest.raises(Invalid) as refused:
        open_store(f"{scheme}://bucket/prefix?endpiont=x", home)
    named = re.findall(r"[?&](\w+)=", refused.value.errors[0].message)
    assert named == [*SERVICES[scheme].options, "public_endpoint", "links"]
