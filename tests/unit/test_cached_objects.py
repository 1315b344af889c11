"""Cache hits: by a digest from the source, or by the version that was read before."""

import gzip
import hashlib
from dataclasses import dataclass, field

import google_crc32c
import pytest

from staging_api.catalogue.model import ArtifactKind, Choice, Pattern
from staging_api.errors import Unavailable
from staging_api.sources.model import SourceObject
from staging_api.staging import engine
from staging_api.staging.cached_objects import KnownContent
from staging_api.staging.model import CachedObject
from staging_api.store.folder_store import FolderStore
from staging_api.store.pack_writer import LEAST_CONTENTS
from tests.archives import InMemory, tar_of, zip_of

BUILD = "R17-1"
URL = "gs://bucket/board/R17-1"


@dataclass
class VersionedSource:
    """Source with given versions, and a given guarantee of these."""

    objects: dict[str, bytes]
    version: str | None = '"v1"'
    strong: bool = True
    digests: dict[str, str] = field(default_factory=dict)
    url: str = URL
    opened: list[str] = field(default_factory=list)

    def names(self):
        return list(self.objects)

    def stat(self, name):
        url, size = f"{self.url}/{name}", len(self.objects[name])
        return SourceObject(name, url, size, self.version, self.digests, self.strong)

    def open(self, found, start=0, end=None):
        self.opened.append(found.name)
        return InMemory(self.objects[found.name]).open(start, end)

    def close(self):
        pass


def sha(data):
    return hashlib.sha256(data).hexdigest()


def kind_of(extract="plain", **choice):
    choices = (Choice(Pattern("object"), extract=extract, **choice),)
    return ArtifactKind("thing", "build", "foreground", choices)


def fetch(source, store, kind=None, **options):
    fetched = engine.fetch(kind or kind_of(), source, BUILD, store, engine.FetchHooks(**options))
    assert fetched is not None
    return fetched


def read_before(content, verified_by=None):
    """Return the record of this content, read before under the requested version."""
    return lambda _found: KnownContent(sha(content), "version", verified_by)


@pytest.fixture
def store(tmp_path):
    return FolderStore(tmp_path / "store")


def test_an_object_that_was_read_whole_is_cached_with_its_version_and_blob(store):
    crc32c = f"{google_crc32c.value(b'payload'):08x}"
    fetched = fetch(VersionedSource({"object": b"payload"}, digests={"crc32c": crc32c}), store)
    assert fetched.cached_objects == (
        CachedObject(f"{URL}/object", '"v1"', 7, sha(b"payload"), "crc32c"),
    )
    assert (fetched.cached_by, fetched.verified_by) == (None, "crc32c")


@pytest.mark.parametrize(("version", "strong"), [("Mon, 01 Jan 7", False), (None, False)])
def test_an_object_with_a_weak_version_is_not_cached(store, version, strong):
    assert fetch(VersionedSource({"object": b"x"}, version, strong), store).cached_objects == ()


def test_an_archive_that_was_unpacked_in_part_is_not_cached(store):
    packed = gzip.compress(tar_of(("a", b"1")))
    assert fetch(VersionedSource({"object": packed}), store, kind_of("tar")).cached_objects == ()


@pytest.mark.parametrize("count", [LEAST_CONTENTS - 1, LEAST_CONTENTS])
def test_only_an_object_that_is_a_blob_of_its_own_is_cached(store, count):
    small = {f"small{number}": b"%d" % number for number in range(count)}
    source = VersionedSource({**small, "large": b"x" * 100})
    every = ArtifactKind("all", "build", "foreground", (Choice(Pattern("*")),), every=True)
    fetched = engine.fetch(every, source, BUILD, store, engine.FetchHooks(), pack_below=50)
    assert fetched is not None
    blobs = ["large"] if fetched.pack else ["large", *small]
    assert bool(fetched.pack) == (count == LEAST_CONTENTS)
    assert {cached.url for cached in fetched.cached_objects} == {f"{URL}/{name}" for name in blobs}
    assert {file.path for file in fetched.files} == {"large", *small}


def test_a_version_that_was_read_before_is_not_read_again(store):
    fetch(VersionedSource({"object": b"payload"}), store)
    again = VersionedSource({"object": b"payload"})
    fetched = fetch(again, store, content_of=read_before(b"payload", "md5"))
    assert again.opened == []
    assert fetched.files == (engine.StagedFile("object", sha(b"payload"), 7),)
    assert (fetched.cached_by, fetched.verified_by) == ("version", "md5")
    assert fetched.source_version == '"v1"'


@pytest.mark.parametrize("extract", ["tar", "zip"])
def test_members_are_unpacked_from_the_cached_object(store, extract):
    packed = gzip.compress(tar_of(("a", b"1"))) if extract == "tar" else zip_of(("a", b"1"))
    fetch(VersionedSource({"object": packed}), store)
    again = VersionedSource({"object": packed})
    fetched = fetch(again, store, kind_of(extract, only=("a",)), content_of=read_before(packed))
    assert again.opened == []
    assert fetched.files == (engine.StagedFile("a", sha(b"1"), 1),)
    assert fetched.cached_by == "version"


def test_a_member_behind_another_is_read_where_it_begins_in_the_cached_zip(store):
    packed = zip_of(("a", b"1"), ("b", b"22"))
    fetch(VersionedSource({"object": packed}), store)
    again = VersionedSource({"object": packed})
    fetched = fetch(again, store, kind_of("zip", only=("b",)), content_of=read_before(packed))
    assert again.opened == []
    assert fetched.files == (engine.StagedFile("b", sha(b"22"), 2),)


def test_a_blob_of_another_length_is_a_cache_miss(store):
    fetch(VersionedSource({"object": b"payload"}), store)
    longer = VersionedSource({"object": b"payload, longer"})
    fetched = fetch(longer, store, content_of=read_before(b"payload"))
    assert longer.opened == ["object"]
    assert (fetched.sha256, fetched.cached_by) == (sha(b"payload, longer"), None)


def test_an_md5_is_no_proof(store):
    md5 = {"md5": hashlib.md5(b"payload").hexdigest()}
    fetch(VersionedSource({"object": b"payload"}, digests=md5), store)
    other = VersionedSource({"object": b"payload"}, digests=md5, url="gs://other/board/R17-1")
    fetch(other, store)
    assert other.opened == ["object"]


def test_a_cached_object_that_vanishes_at_the_last_moment_is_fetched_again(store):
    fetch(VersionedSource({"object": b"payload"}), store)

    def vanish(step):
        if step == "objects found":
            store.remove(sha(b"payload"))

    with pytest.raises(Unavailable):
        fetch(
            VersionedSource({"object": b"payload"}),
            store,
            content_of=read_before(b"payload"),
            checkpoint=vanish,
        )


def test_no_space_is_reserved_and_no_progress_reported_for_cached_objects(store):
    fetch(VersionedSource({"object": b"payload"}), store)
    reserved: list[int] = []
    steps: list[tuple[int, int | None]] = []
    fetch(
        VersionedSource({"object": b"payload"}),
        store,
        content_of=read_before(b"payload"),
        reserve=reserved.append,
        progress=lambda *step: steps.append(step),
    )
    assert (sum(reserved), steps) == (0, [])
