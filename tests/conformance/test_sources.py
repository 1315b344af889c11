"""Conformance suite for every source: the properties on which the engine relies."""

import hashlib
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from contextlib import AbstractContextManager, nullcontext

import pytest

from staging_api.errors import (
    ArchiveNotFound,
    ArtifactNotFound,
    SourceChanged,
    SourceNotAllowed,
)
from staging_api.sources import open_archive
from staging_api.sources.allowlist import AllowList
from staging_api.sources.url import parse
from tests.azurite import az
from tests.conformance import places

BODY = bytes(range(256)) * 12_000  # three chunks
ODD_NAMES = [
    "with space.bin",
    "plus+sign.bin",
    "b\u00fccher.bin",
    "sub/folder/deep.bin",
    "a=b&c.bin",
]


NGINX = pytest.param("nginx", marks=pytest.mark.system)
AZ = pytest.param("az", marks=pytest.mark.system)


@pytest.fixture(scope="module", params=["file", "http", "s3", "gs", AZ, NGINX])
def place(request, tmp_path_factory):
    folder = tmp_path_factory.mktemp("archives")
    runs: dict[str, Callable[[], AbstractContextManager[places.Place]]] = {
        "file": lambda: nullcontext(places.Folder(folder)),
        "http": places.web,
        "s3": places.s3,
        "gs": places.gcs,
        "az": az,
        "nginx": lambda: places.nginx(folder),
    }
    with runs[request.param]() as running:
        yield running


@pytest.fixture
def archive(place, request):
    """Return an archive of this test alone: its path below the root."""
    path = f"board/{hashlib.sha256(request.node.name.encode()).hexdigest()[:12]}"
    place.put(f"{path}/object.bin", BODY)
    place.put(f"{path}/empty.bin", b"")
    return path


@pytest.fixture
def source(place, archive, monkeypatch):
    monkeypatch.setenv("AWS_ACCESS_KEY_ID", "test")
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", "test")
    url = parse(f"{place.root}/{archive}")
    opened = open_archive(url, AllowList.parse(place.root), place.options)
    yield opened
    opened.close()


def read(source, name, start=0, end=None):
    with source.open(source.stat(name), start, end) as chunks:
        return b"".join(chunks)


def test_an_object_is_described(source, place, archive):
    found = source.stat("object.bin")
    assert found.name == "object.bin"
    assert found.url == f"{place.root}/{archive}/object.bin"
    assert found.size_bytes == len(BODY)
    assert found.version


def test_declared_digests_are_true(source):
    for algorithm, digest in source.stat("object.bin").digests.items():
        assert hashlib.new(algorithm, BODY).hexdigest() == digest


def test_a_whole_object_is_read(source):
    assert read(source, "object.bin") == BODY


def test_an_empty_object_is_read(source):
    assert source.stat("empty.bin").size_bytes == 0
    assert read(source, "empty.bin") == b""


@pytest.mark.parametrize(
    ("start", "end"),
    [(0, 1), (5, 5), (1, 1_048_577), (len(BODY) - 1, None), (len(BODY) - 10, len(BODY))],
)
def test_a_part_is_read_exactly(source, start, end):
    assert read(source, "object.bin", start, end) == BODY[start:end]


def test_no_chunk_is_larger_than_memory_can_bear(source):
    with source.open(source.stat("object.bin")) as chunks:
        assert max(len(chunk) for chunk in chunks) <= 10 << 20


def test_missing_objects_are_not_found(source):
    for name in ("none.bin", "object.bin/deeper", "sub/none.bin"):
        with pytest.raises((ArtifactNotFound, SourceNotAllowed)):
            source.stat(name)


def test_the_manifest_names_the_objects(source, place, archive):
    place.put(f"{archive}/UPLOADED", b"object.bin\nlater.bin\n")
    assert source.names() == ["object.bin", "later.bin"]


def test_without_a_manifest_the_listing_does_or_there_is_no_archive(source, place):
    if place.lists:
        assert sorted(source.names()) == ["empty.bin", "object.bin"]
    else:
        with pytest.raises(ArchiveNotFound):
            source.names()


def test_a_missing_archive_is_archive_not_found(place, source):
    url = parse(f"{place.root}/board/never-made")
    other = open_archive(url, AllowList.parse(place.root), place.options)
    with pytest.raises(ArchiveNotFound):
        other.names()
    other.close()


def test_the_version_changes_with_the_content_and_only_then(source, place, archive):
    first = source.stat("object.bin").version
    assert source.stat("object.bin").version == first
    place.put(f"{archive}/object.bin", BODY[::-1])
    assert source.stat("object.bin").version != first


def test_an_object_replaced_since_it_was_found_is_noticed(source, place, archive):
    found = source.stat("object.bin")
    place.put(f"{archive}/object.bin", BODY[::-1])
    with pytest.raises(SourceChanged), source.open(found) as chunks:
        next(chunks)


def test_a_part_of_an_object_replaced_since_it_was_found_is_not_given(source, place, archive):
    found = source.stat("object.bin")
    place.put(f"{archive}/object.bin", BODY[::-1])
    with pytest.raises(SourceChanged), source.open(found, 100, 200) as chunks:
        next(chunks)


def test_an_object_removed_since_it_was_found_is_not_read(source, place, archive):
    found = source.stat("object.bin")
    place.remove(f"{archive}/object.bin")
    with pytest.raises((SourceChanged, ArtifactNotFound)), source.open(found) as chunks:
        b"".join(chunks)


@pytest.mark.parametrize("name", ODD_NAMES)
def test_odd_names_are_found_and_read(source, place, archive, name):
    place.put(f"{archive}/{name}", name.encode())
    assert source.stat(name).name == name
    assert read(source, name) == name.encode()


def test_a_reading_may_be_left_before_its_end(source):
    with source.open(source.stat("object.bin")) as chunks:
        next(iter(chunks))
    assert read(source, "object.bin") == BODY


def test_several_threads_may_read_at_once(source):
    found = source.stat("object.bin")
    bounds = [(start, start + 300_000) for start in range(0, 3_000_000, 300_000)]

    def part(bound):
        with source.open(found, *bound) as chunks:
            return b"".join(chunks)

    with ThreadPoolExecutor(4) as threads:
        assert b"".join(threads.map(part, bounds)) == BODY[:3_000_000]


def test_what_the_list_does_not_cover_is_not_opened(place, archive):
    url = parse(f"{place.root}/{archive}")
    with pytest.raises(SourceNotAllowed):
        open_archive(url, AllowList.parse(f"{place.root}/elsewhere"), place.options)
