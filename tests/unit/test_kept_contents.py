"""Cache of small files: correct bytes whatever the disk returns, and a limited size."""

from hashlib import sha256

import pytest

from staging_api.errors import NotFound
from staging_api.store import kept_contents
from staging_api.store.folder_store import FolderStore
from staging_api.store.kept_contents import KeptContents
from staging_api.store.places import Place, whole

FIRST, SECOND = b"first" * 100, b"second" * 100
DIGESTS = [sha256(content).hexdigest() for content in (FIRST, SECOND)]


@pytest.fixture
def store(tmp_path):
    return FolderStore(tmp_path)


@pytest.fixture
def kept(store):
    return KeptContents(store)


def keep(store, content):
    with store.batch("worker-1") as batch:
        blob = batch.keep([content])
        batch.commit()
    return blob


def read(kept, place, content):
    return kept.read(place, sha256(content).hexdigest(), 0, len(content))


def packed(store):
    """Return the places of the two files in a pack, one after the other."""
    pack = keep(store, FIRST + SECOND)
    at = {"sha256": pack.sha256, "blob_bytes": pack.size_bytes, "packed": True}
    return [
        Place(offset=0, size_bytes=len(FIRST), **at),
        Place(offset=len(FIRST), size_bytes=len(SECOND), **at),
    ]


def test_a_file_that_was_read_is_not_read_again(store, kept):
    places = [*packed(store), whole(keep(store, SECOND).sha256, len(SECOND))]
    contents = [FIRST, SECOND, SECOND]
    for _ in range(2):
        assert [
            read(kept, place, content) for place, content in zip(places, contents, strict=True)
        ] == contents
        for place in places:
            store.remove(place.sha256)


def test_every_part_of_a_file_is_the_part_that_was_asked_for(store, kept):
    place = packed(store)[1]
    for _ in range(2):
        for start, length in [(0, 600), (0, 1), (7, 100), (599, 1), (600, 0)]:
            found = kept.read(place, DIGESTS[1], start, length)
            assert found == SECOND[start : start + length]


def test_what_a_disk_has_damaged_is_not_kept(store, kept):
    blob = keep(store, FIRST)
    path, place = store.path(blob.sha256), whole(blob.sha256, blob.size_bytes)
    path.chmod(0o600)
    path.write_bytes(SECOND[: len(FIRST)])
    assert read(kept, place, FIRST) == SECOND[: len(FIRST)]
    path.write_bytes(FIRST)
    assert read(kept, place, FIRST) == FIRST
    path.write_bytes(SECOND[: len(FIRST)])
    assert read(kept, place, FIRST) == FIRST


def test_a_file_that_is_not_kept_and_not_there_is_not_found(store, kept):
    first, second = (whole(keep(store, content).sha256, 500) for content in (FIRST, FIRST[:-1]))
    with pytest.raises(NotFound):
        read(kept, second, FIRST)
    store.remove(first.sha256)
    with pytest.raises(NotFound):
        read(kept, first, FIRST)


def test_a_large_file_is_read_each_time_and_no_more_of_it_than_was_asked_for(
    store, kept, monkeypatch
):
    monkeypatch.setattr(kept_contents, "_LARGEST_BYTES", len(FIRST))
    place = packed(store)[1]
    assert kept.read(place, DIGESTS[1], 3, 5) == SECOND[3:8]
    store.remove(place.sha256)
    with pytest.raises(NotFound):
        kept.read(place, DIGESTS[1], 3, 5)


def test_those_read_last_are_kept_and_no_more_than_may_be(store, monkeypatch):
    monkeypatch.setattr(kept_contents, "_MOST_BYTES", 2 * 300 + 1100)
    kept = KeptContents(store)
    contents = [FIRST, SECOND, FIRST[::-1]]
    places = [whole(keep(store, each).sha256, len(each)) for each in contents]
    for place, content in zip(places, contents, strict=True):
        read(kept, place, content)
        store.remove(place.sha256)
    assert read(kept, places[1], SECOND) == SECOND
    with pytest.raises(NotFound):
        read(kept, places[0], FIRST)


@pytest.mark.parametrize(("size", "is_kept"), [(16 << 10, True), ((16 << 10) + 1, False)])
def test_files_of_up_to_sixteen_kibibytes_are_kept(store, kept, size, is_kept):
    content = bytes(size)
    place = whole(keep(store, content).sha256, size)
    assert read(kept, place, content) == content
    store.remove(place.sha256)
    if is_kept:
        assert read(kept, place, content) == content
    else:
        with pytest.raises(NotFound):
            read(kept, place, content)


def test_a_process_keeps_at_most_4096_contents_of_eight_mebibytes_together(store, monkeypatch):
    limits = []
    monkeypatch.setattr(kept_contents, "BoundedCache", lambda *given: limits.append(given))
    KeptContents(store)
    assert limits == [(4096, 8 << 20)]
