"""Engine: an artifact reaches the store complete and verified, or not at all."""

import gzip
import hashlib
from contextlib import contextmanager
from dataclasses import dataclass, field, replace

import google_crc32c
import pytest

from staging_api.catalogue.catalogue import Catalogue
from staging_api.catalogue.model import ArtifactKind, Choice, Pattern, Verification
from staging_api.errors import (
    ArchiveCorrupt,
    ArchiveUnsafe,
    ArtifactNotFound,
    Cancelled,
    LimitExceeded,
    SourceChanged,
)
from staging_api.formats.model import UnpackLimits
from staging_api.sources.model import SourceObject
from staging_api.staging import engine
from staging_api.store.folder_store import FolderStore
from tests.archives import InMemory, tar_of, zip_of
from tests.stores import blobs_of

BUILD = "R17-1"


@dataclass
class MemorySource:
    """Source with given objects."""

    objects: dict[str, bytes]
    digests: dict[str, str] = field(default_factory=dict)
    url: str = "gs://bucket/board/R17-1"
    opened: list[str] = field(default_factory=list)

    def names(self):
        return list(self.objects)

    def stat(self, name):
        data = self.objects[name]
        return SourceObject(name, f"{self.url}/{name}", len(data), "v1", self.digests)

    def open(self, found, start=0, end=None):
        self.opened.append(found.name)
        return InMemory(self.objects[found.name]).open(start, end)

    def close(self):
        pass


@pytest.fixture
def store(tmp_path):
    return FolderStore(tmp_path / "store")


@pytest.fixture(scope="module")
def catalogue():
    return Catalogue.load()


def sha(data):
    return hashlib.sha256(data).hexdigest()


def fetch(*given, **options):
    """Fetch the artifact."""
    fetched = engine.fetch(*given, **options)
    assert fetched is not None
    return fetched


def temporary_files(store_folder):
    return [path for path in (store_folder / "store" / "tmp").rglob("*") if path.is_file()]


def kind_of(extract="plain", pattern="object", **options):
    choice = {key: options.pop(key) for key in ("only", "without") if key in options}
    choices = (Choice(Pattern(pattern), extract=extract, **choice),)
    return ArtifactKind("thing", "build", "foreground", choices, **options)


def test_a_plain_object_becomes_one_file_with_its_digest(store):
    source = MemorySource({"object": b"payload"})
    fetched = fetch(kind_of(lands="au/{build}/x"), source, BUILD, store)
    assert fetched == engine.FetchedArtifact(
        source_url="gs://bucket/board/R17-1/object",
        source_version="v1",
        sha256=sha(b"payload"),
        size_bytes=7,
        files=(engine.StagedFile("au/R17-1/x", sha(b"payload"), 7),),
    )
    with store.open(sha(b"payload")) as file:
        assert file.read() == b"payload"


def test_a_tar_becomes_its_selected_files_and_its_own_digest(store):
    packed = gzip.compress(tar_of(("d/a", b"1"), ("d/b", b"22"), ("e/c", b"333")))
    kind = kind_of("tar", only=("d",), without=("d/b",))
    fetched = fetch(kind, MemorySource({"object": packed}), BUILD, store)
    assert fetched.files == (engine.StagedFile("d/a", sha(b"1"), 1),)
    assert (fetched.sha256, fetched.size_bytes) == (sha(packed), len(packed))


def test_one_zip_member_becomes_one_file_with_the_members_digest(store):
    packed = zip_of(("a.bin", b"aaa"), ("b.bin", b"bb"))
    kind = kind_of("zip", only=("b.bin",), lands="image.bin")
    fetched = fetch(kind, MemorySource({"object": packed}), BUILD, store)
    assert fetched.files == (engine.StagedFile("image.bin", sha(b"bb"), 2),)
    assert (fetched.sha256, fetched.size_bytes) == (sha(b"bb"), 2)


def test_several_objects_become_several_files_of_the_archive(store):
    kind = kind_of(pattern="part_*", every=True, lands="parts/")
    source = MemorySource({"part_b": b"b", "part_a": b"a", "other": b""})
    fetched = fetch(kind, source, BUILD, store)
    assert [file.path for file in fetched.files] == ["parts/part_a", "parts/part_b"]
    assert (fetched.source_url, fetched.source_version) == (source.url, None)
    lines = f"{sha(b'a')}  parts/part_a\n{sha(b'b')}  parts/part_b\n"
    assert (fetched.sha256, fetched.size_bytes) == (sha(lines.encode()), 2)


def test_further_paths_share_the_content(store, catalogue):
    packed = tar_of(("autotest/packages/p", b"p"), ("autotest/x", b"x"))
    (autotest,) = catalogue.resolve(["autotest"])
    fetched = fetch(autotest, MemorySource({"autotest.tar": packed}), BUILD, store)
    digests = {file.path: file.sha256 for file in fetched.files}
    assert digests == {
        "autotest/packages/p": sha(b"p"),
        "autotest/p": sha(b"p"),
        "autotest/x": sha(b"x"),
    }


def test_an_alias_path_does_not_hide_another_file(store):
    kind = kind_of("tar", also=(("p/", ""),))
    for members in ([("p/a", b"1"), ("a", b"2")], [("a", b"2"), ("p/a", b"1")]):
        fetched = fetch(kind, MemorySource({"object": tar_of(*members)}), BUILD, store)
        assert {file.path: file.sha256 for file in fetched.files} == {
            "a": sha(b"2"),
            "p/a": sha(b"1"),
        }


def test_only_optional_artifacts_may_be_missing(store):
    source = MemorySource({})
    assert engine.fetch(kind_of(optional=True), source, BUILD, store) is None
    with pytest.raises(ArtifactNotFound):
        engine.fetch(kind_of(), source, BUILD, store)


def test_an_archive_without_the_selected_member_is_an_error(store):
    source = MemorySource({"object": zip_of(("a", b"1"))})
    with pytest.raises(ArtifactNotFound):
        fetch(kind_of("zip", only=("b",), lands="b"), source, BUILD, store)


@pytest.mark.parametrize("extract", ["plain", "tar"])
@pytest.mark.parametrize("algorithm", ["sha256", "md5", "crc32c"])
def test_a_declared_digest_must_match(store, tmp_path, extract, algorithm):
    def declared(data):
        if algorithm == "crc32c":
            return {algorithm: f"{google_crc32c.value(data):08x}"}
        return {algorithm: hashlib.new(algorithm, data).hexdigest()}

    packed = tar_of(("a", b"content"))
    kind = kind_of(extract)
    right = MemorySource({"object": packed}, declared(packed))
    assert fetch(kind, right, BUILD, store).sha256 == sha(packed)
    wrong = MemorySource({"object": packed}, declared(b"x"))
    before = len(blobs_of(store))
    with pytest.raises(ArchiveCorrupt, match=algorithm):
        fetch(kind, wrong, BUILD, store)
    assert len(blobs_of(store)) == before
    assert temporary_files(tmp_path) == []


def test_an_unsafe_archive_leaves_no_file_at_all(store, tmp_path):
    source = MemorySource({"object": tar_of(("good", b"1"), ("../evil", b"2"))})
    with pytest.raises(ArchiveUnsafe):
        fetch(kind_of("tar"), source, BUILD, store)
    assert blobs_of(store) == []
    assert temporary_files(tmp_path) == []


def test_limits_apply_to_a_plain_object(store):
    source = MemorySource({"object": bytes(100)})
    with pytest.raises(LimitExceeded):
        engine.fetch(kind_of(), source, BUILD, store, limits=UnpackLimits(member_bytes=99))


def test_progress_is_reported_and_ends_at_the_total(store):
    steps = []
    source = MemorySource({"object": bytes(200_000)})
    engine.fetch(
        kind_of(),
        source,
        BUILD,
        store,
        engine.FetchHooks(progress=lambda *step: steps.append(step)),
    )
    assert steps[-1] == (200_000, 200_000)
    assert steps == sorted(steps)


def test_a_fetch_can_be_cancelled_between_two_chunks(store, tmp_path):
    pieces = []

    def check():
        pieces.append(1)
        if len(pieces) == 2:
            raise Cancelled("enough")

    with pytest.raises(Cancelled):
        engine.fetch(
            kind_of(),
            MemorySource({"object": bytes(1 << 20)}),
            BUILD,
            store,
            engine.FetchHooks(check=check),
        )
    assert blobs_of(store) == []
    assert temporary_files(tmp_path) == []


def test_nothing_is_committed_after_the_last_check_failed(store):
    source = MemorySource({"object": b"one piece"})
    checks = iter([None, Cancelled("late")])

    def check():
        if error := next(checks):
            raise error

    with pytest.raises(Cancelled):
        engine.fetch(kind_of(), source, BUILD, store, engine.FetchHooks(check=check))
    assert blobs_of(store) == []


def test_content_in_the_store_is_not_fetched_again(store):
    first = MemorySource({"object": b"payload"})
    engine.fetch(kind_of(), first, BUILD, store)
    again = MemorySource({"object": b"payload"}, {"sha256": sha(b"payload")})
    steps = []
    fetched = fetch(
        kind_of(), again, BUILD, store, engine.FetchHooks(progress=lambda *step: steps.append(step))
    )
    assert fetched.files == (engine.StagedFile("object", sha(b"payload"), 7),)
    assert again.opened == []
    assert steps == []  # no progress is reported for a cache hit


def test_a_known_object_whose_blob_is_gone_is_fetched(store):
    source = MemorySource({"object": b"payload"}, {"sha256": sha(b"payload")})
    assert fetch(kind_of(), source, BUILD, store).sha256 == sha(b"payload")
    assert source.opened == ["object"]


class Fickle(MemorySource):
    """Source whose versions never agree; one response has the bytes and their description."""

    def __init__(self, objects, digests=None):
        super().__init__(objects, digests or {})
        self.taken = []

    def open(self, found, start=0, end=None):
        raise SourceChanged(f"{found.name} changed since it was found")

    @contextmanager
    def take(self, name):
        self.taken.append(name)
        data = self.objects[name]
        yield replace(self.stat(name), size_bytes=None, version="v2"), iter([data[:3], data[3:]])


@pytest.mark.parametrize(
    ("extract", "packed"),
    [("plain", b"content"), ("tar", tar_of(("a", b"content"))), ("zip", zip_of(("a", b"content")))],
)
def test_an_object_whose_versions_never_agree_is_read_at_once(store, tmp_path, extract, packed):
    source = Fickle({"object": packed}, {"sha256": sha(packed)})
    fetched = fetch(kind_of(extract), source, BUILD, store)
    assert [file.sha256 for file in fetched.files] == [sha(b"content")]
    assert (source.taken, fetched.source_version) == (["object"], "v2")
    assert temporary_files(tmp_path) == []
    with store.open(sha(b"content")) as file:
        assert file.read() == b"content"


def test_a_fetch_can_be_cancelled_before_an_object_is_read_at_once(store):
    source = Fickle({"object": b"content"})
    asked: list[list[str]] = []

    def check() -> None:
        asked.append(list(source.taken))
        raise Cancelled("asked for")

    with pytest.raises(Cancelled):
        fetch(kind_of(), source, BUILD, store, hooks=engine.FetchHooks(check=check))
    assert asked == [[]]
    assert source.taken == []


def test_an_object_that_is_read_at_once_is_compared_with_its_digest(store, tmp_path):
    source = Fickle({"object": b"content"}, {"sha256": sha(b"x")})
    with pytest.raises(ArchiveCorrupt):
        fetch(kind_of(), source, BUILD, store)
    assert blobs_of(store) == []
    assert temporary_files(tmp_path) == []


def test_an_object_that_was_read_at_once_takes_no_space_while_the_next_is_read(store, tmp_path):
    packed = {name: tar_of((name, name.encode())) for name in ("a", "b")}
    left: list[list[bytes]] = []

    def verified(point: str) -> None:
        if point == "object verified":
            left.append(sorted(path.read_bytes() for path in temporary_files(tmp_path)))

    # Without a version, and if nothing may be unpacked before everything is verified.
    for source, rule in ((Fickle(packed), None), (MemorySource(packed), Verification("SUMS"))):
        left.clear()
        kind = kind_of("tar", pattern="*", every=True, verify=rule)
        fetch(kind, source, BUILD, store, hooks=engine.FetchHooks(checkpoint=verified))
        assert left == [[b"a"], [b"a", b"b"]]


def test_what_is_read_at_once_reserves_its_bytes_and_no_more(store):
    for content in (b"content", b""):
        reserved: list[int] = []
        source = Fickle({"object": content})
        fetch(kind_of(), source, BUILD, store, hooks=engine.FetchHooks(reserve=reserved.append))
        # When the object is found, and when it is read again.
        assert sum(reserved) == 2 * len(content)
