"""Container files on their way into the store: read twice if need be, with holes, with notes."""

import hashlib

import pytest

from staging_api.catalogue.model import ArtifactKind, Choice, Pattern
from staging_api.staging import engine
from staging_api.store.folder_store import FolderStore
from tests.archives import header, tar_of
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
    extents, size = [(0, b"boot"), (24 << 20, b"root" * 1000)], 64 << 20
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
