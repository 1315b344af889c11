"""Unpacking into the store: second reads, holes in files, and notes about skipped members."""

import gzip
import hashlib
from dataclasses import replace

import pytest

from staging_api.catalogue.model import ArtifactKind, Choice, Pattern
from staging_api.errors import ArchiveCorrupt, ArtifactNotFound, Cancelled, LimitExceeded
from staging_api.formats.model import UnpackLimits
from staging_api.staging import engine
from staging_api.staging.cached_objects import KnownContent
from staging_api.store.folder_store import FolderStore
from tests.archives import header, tar_of, zip_of
from tests.corpus.raw_tar import old_sparse, pax_sparse
from tests.corpus.tars import filled, hard, sym
from tests.unit.test_engine import MemorySource

BUILD = "R17-1"


@pytest.fixture
def store(tmp_path):
    return FolderStore(tmp_path / "store")


def fetched(store, data, *, only=(), digests=None):
    choice = Choice(Pattern("object"), extract="tar", only=only)
    kind = ArtifactKind("a", "g", "foreground", (choice,))
    source = MemorySource({"object": data}, digests or {})
    found = engine.fetch(kind, source, BUILD, store)
    assert found is not None
    return found


def contents(found, store):
    return {file.path: store.path(file.sha256).read_bytes() for file in found.files}


@pytest.mark.parametrize("link", [hard("h", "d/f"), sym("h", "d/f")], ids=["hard", "symbolic"])
def test_an_object_that_is_read_twice_for_a_link_is_verified_once(store, link):
    data = tar_of(("d/f", b"content"), link)
    digests = {"md5": hashlib.md5(data).hexdigest()}
    found = fetched(store, data, only=("h",), digests=digests)
    assert contents(found, store) == {"h": b"content"}
    assert (found.verified_by, found.size_bytes) == ("md5", len(data))


def test_the_notes_of_an_extractor_are_warnings_of_the_artifact(store):
    data = tar_of(("f", b"1"), sym("l", "/usr/lib/x"), (header("s", mode=0o4755), b"2"))
    setuid, dangling = fetched(store, data).warnings
    assert setuid.startswith("object: 1 of its members are setuid or setgid, and are kept without")
    assert dangling.endswith("and are left out; the first is 'l'")


@pytest.mark.parametrize("form", ["GNU", "0.0", "0.1", "1.0"])
def test_holes_of_a_sparse_member_take_no_space_in_the_store(store, form):
    extents, size = [(0, b"boot"), (12 << 20, b"root" * 1000)], 16 << 20
    made = (
        old_sparse("x.bin", extents, size)
        if form == "GNU"
        else pax_sparse("x.bin", extents, size, form)
    )
    found = fetched(store, made + tar_of(("behind", b"1")))
    file = next(file for file in found.files if file.path == "x.bin")
    assert (file.size_bytes, file.sha256) == (
        size,
        hashlib.sha256(filled(extents, size)).hexdigest(),
    )
    facts = store.path(file.sha256).stat()
    assert facts.st_size == size
    assert facts.st_blocks * 512 < 4 << 20


class WithoutLengths(MemorySource):
    """Source that declares no length, like a server with chunked responses."""

    def stat(self, name):
        return replace(super().stat(name), size_bytes=None, strong=True)


def test_a_zip_of_unknown_length_is_read_whole_once(store):
    choice = Choice(Pattern("image.zip"), extract="zip", only=("x.bin",))
    kind = ArtifactKind("image", "g", "foreground", (choice,))
    source = WithoutLengths({"image.zip": ZIP})
    found = engine.fetch(kind, source, BUILD, store)
    assert contents(found, store) == {"x.bin": b"content"}
    assert source.opened == ["image.zip"]
    # The same from the store, which knows the length.
    whole = ArtifactKind("whole", "g", "foreground", (Choice(Pattern("image.zip")),))
    assert engine.fetch(whole, source, BUILD, store)
    known = KnownContent(hashlib.sha256(ZIP).hexdigest(), "version", None, len(ZIP))
    hooks = engine.FetchHooks(content_of=lambda _object: known)
    found = engine.fetch(kind, source, BUILD, store, hooks)
    assert contents(found, store) == {"x.bin": b"content"}
    assert source.opened == ["image.zip"] * 2


def two_ways(**kind):
    """Return a kind that is in a tar, or else in a zip."""
    choices = tuple(
        Choice(Pattern(f"image.{name}"), extract=name, only=("x.bin",)) for name in ("tar", "zip")
    )
    return ArtifactKind("image", "g", "foreground", choices, **kind)


ZIP = zip_of(("x.bin", b"content"))


@pytest.mark.parametrize(
    ("damaged", "says"),
    [
        (b"no tar at all", "the tar is damaged"),
        (tar_of(("other", b"1")), "has nothing of image"),
        (tar_of(("x.bin", bytes(2000))), "STAGING_UNPACK_MEMBER_BYTES"),
        (tar_of(("x.bin", b"1"), ("x.bin/y", b"2")), "would be a file and a folder"),
    ],
    ids=["damaged", "without it", "too large", "unsafe"],
)
def test_an_alternative_that_cannot_be_taken_falls_back_to_the_next(store, damaged, says):
    source = MemorySource({"image.tar": damaged, "image.zip": ZIP})
    found = engine.fetch(two_ways(), source, BUILD, store, limits=UnpackLimits(member_bytes=1000))
    assert found is not None
    assert contents(found, store) == {"x.bin": b"content"}
    (warning,) = found.warnings
    assert warning.startswith("image.tar was not taken: ")
    assert says in warning


def test_of_alternatives_none_of_which_can_be_taken_the_first_says_why(store):
    source = MemorySource({"image.tar": b"no tar", "image.zip": b"no zip"})
    with pytest.raises(ArchiveCorrupt, match="tar is damaged"):
        engine.fetch(two_ways(optional=True), source, BUILD, store)


@pytest.mark.parametrize(
    "data",
    [bytes(10240), gzip.compress(bytes(10240)), tar_of(("y", b"1"))],
    ids=["empty", "empty and packed", "other members"],
)
def test_an_optional_artifact_of_which_a_tar_has_nothing_is_missing(store, data):
    choice = Choice(Pattern("object"), extract="tar", only=("x",))
    source = MemorySource({"object": data})
    kind = ArtifactKind("a", "g", "foreground", (choice,), optional=True)
    assert engine.fetch(kind, source, BUILD, store) is None
    with pytest.raises(ArtifactNotFound):
        engine.fetch(replace(kind, optional=False), source, BUILD, store)


def test_the_limits_of_an_entry_are_used_instead_of_those_of_the_service(store):
    data = gzip.compress(tar_of(("zeros", bytes(4 << 20))))
    kind = ArtifactKind("a", "g", "foreground", (Choice(Pattern("object"), extract="tar"),))
    limits = UnpackLimits(ratio=100, ratio_floor_bytes=1 << 20)
    with pytest.raises(LimitExceeded, match="STAGING_UNPACK_RATIO"):
        engine.fetch(kind, MemorySource({"object": data}), BUILD, store, limits=limits)
    own = replace(kind, limits=(("ratio", 0),))
    assert engine.fetch(own, MemorySource({"object": data}), BUILD, store, limits=limits)


def test_an_empty_disk_image_is_ordinary(store):
    """A zip of 64 MiB of zeros has 65 kB, a thousandth."""
    data = zip_of(("blank.img", bytes(64 << 20)))
    kind = ArtifactKind("a", "g", "foreground", (Choice(Pattern("object"), extract="zip"),))
    found = engine.fetch(kind, MemorySource({"object": data}), BUILD, store)
    assert found is not None
    assert (len(data) < 1 << 17, next(iter(found.files)).size_bytes) == (True, 64 << 20)


def test_the_further_path_of_a_member_that_comes_twice_has_the_last_one(store):
    choice = Choice(Pattern("object"), extract="tar")
    kind = ArtifactKind("a", "g", "foreground", (choice,), also=(("p/", ""),))
    source = MemorySource({"object": tar_of(("p/a", b"old"), ("p/a", b"new"))})
    found = engine.fetch(kind, source, BUILD, store)
    assert found is not None
    assert contents(found, store) == {"p/a": b"new", "a": b"new"}


def test_a_file_that_a_dangling_link_replaced_is_not_staged_and_has_no_further_path(store):
    choice = Choice(Pattern("object"), extract="tar")
    kind = ArtifactKind("a", "g", "foreground", (choice,), also=(("p/", ""),))
    data = tar_of(("p/a", b"old"), ("p/b", b"1"), sym("p/a", "gone"))
    found = engine.fetch(kind, MemorySource({"object": data}), BUILD, store)
    assert found is not None
    assert contents(found, store) == {"p/b": b"1", "b": b"1"}


def test_a_link_and_its_target_are_one_content_under_two_paths(store):
    data = tar_of(("d/f", b"content"), ("g", b"other"), hard("h", "d/f"), sym("s", "d/f"))
    found = fetched(store, data)
    assert contents(found, store) == dict.fromkeys(("d/f", "h", "s"), b"content") | {"g": b"other"}


def test_of_an_object_whose_only_file_a_dangling_link_replaced_nothing_is_left(store):
    with pytest.raises(ArtifactNotFound):
        fetched(store, tar_of(("p/a", b"old"), sym("p/a", "gone")))
    assert fetched(store, tar_of(("p/a", b"old"), ("b", b"1"), sym("p/a", "gone"))).size_bytes


def test_what_has_nothing_of_an_artifact_is_named_with_what_it_has_instead(store):
    with pytest.raises(ArtifactNotFound, match="x\\.bim"):
        fetched(store, tar_of(("y", b"1"), ("x.bim", b"2")), only=("x.bin",))


def test_a_fetch_can_be_cancelled_between_two_alternatives(store):
    source = MemorySource({"image.tar": tar_of(("other", b"1")), "image.zip": ZIP})
    without: list[str] = []

    def check() -> None:
        if without and source.opened == ["image.tar"]:
            raise Cancelled("asked for")

    hooks = engine.FetchHooks(check=check, without=lambda found: without.append(found.name))
    with pytest.raises(Cancelled):
        engine.fetch(two_ways(), source, BUILD, store, hooks)
    assert without == ["image.tar"]


@pytest.mark.parametrize("version", ["v1", None], ids=["by its version", "at once"])
def test_each_object_is_a_step_that_a_test_can_end_a_process_at(store, version):
    class Versioned(MemorySource):
        def stat(self, name):
            return replace(super().stat(name), version=version)

    steps: list[str] = []
    kind = ArtifactKind("a", "g", "foreground", (Choice(Pattern("*"), extract="tar"),), every=True)
    source = Versioned({"1": tar_of(("1", b"1")), "2": tar_of(("2", b"2"))})
    assert engine.fetch(kind, source, BUILD, store, engine.FetchHooks(checkpoint=steps.append))
    assert steps[0] == "objects found"
    assert steps.count("object verified") == 2


def test_what_another_object_has_is_not_named_for_one_that_has_nothing(store):
    kind = ArtifactKind(
        "a", "g", "foreground", (Choice(Pattern("*"), extract="tar", only=("x",)),), every=True
    )
    source = MemorySource(
        {"1": tar_of(("x", b"1"), ("of the first", b"1")), "2": tar_of(("y", b"2"))}
    )
    with pytest.raises(ArtifactNotFound) as absent:
        engine.fetch(kind, source, BUILD, store)
    assert absent.value.detail.startswith("2 has nothing of a")
    assert "nearest of 1 member: y" in absent.value.detail


def test_a_file_that_took_the_place_of_a_further_path_keeps_it(store):
    choice = Choice(Pattern("object"), extract="tar")
    kind = ArtifactKind("a", "g", "foreground", (choice,), also=(("p/", ""),))
    data = tar_of(("p/a", b"1"), ("a", b"own"), ("p/a", b"2"))
    found = engine.fetch(kind, MemorySource({"object": data}), BUILD, store)
    assert found is not None
    assert contents(found, store) == {"p/a": b"2", "a": b"own"}
    # It is not deleted with the file of which it was another path, either.
    data = tar_of(("p/a", b"1"), ("a", b"own"), sym("p/a", "gone"))
    found = engine.fetch(kind, MemorySource({"object": data}), BUILD, store)
    assert found is not None
    assert contents(found, store) == {"a": b"own"}


def test_the_total_of_bytes_is_known_unless_parts_of_an_object_are_read(store):
    for extract, data in (("tar", tar_of(("x.bin", b"content"))), ("zip", ZIP)):
        totals: set[int | None] = set()
        kind = ArtifactKind("a", "g", "foreground", (Choice(Pattern("object"), extract=extract),))

        def note(_done: int, total: int | None, seen: set[int | None] = totals) -> None:
            seen.add(total)

        hooks = engine.FetchHooks(progress=note)
        assert engine.fetch(kind, MemorySource({"object": data}), BUILD, store, hooks)
        assert totals == ({len(data)} if extract == "tar" else {None})
