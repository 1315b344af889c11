"""Places of files: reading from a blob or from a pack."""

from pathlib import Path

import pytest

from staging_api.errors import NotFound
from staging_api.store.blobs import Blob
from staging_api.store.folder_store import FolderStore
from staging_api.store.places import Place, open_at, place_in, put_at, read_at, whole

CONTENTS = [b"first", b"second one", b""]
OWN, PACK = "a" * 64, "b" * 64


@pytest.mark.parametrize("missing", [None, 0, 1, 2])
def test_a_file_is_in_a_pack_if_all_of_its_place_there_is_known(missing: int | None) -> None:
    pack: list[str | int | None] = [PACK, 100, 20]
    if missing is not None:
        pack[missing] = None
    sha256, size, offset = pack
    found = place_in(OWN, 7, sha256, size, offset)  # type: ignore[arg-type]
    if missing is None:
        assert found == Place(PACK, 100, 20, 7, packed=True)
    else:
        assert found == whole(OWN, 7) == Place(OWN, 7, 0, 7, packed=False)


def test_the_first_file_of_a_pack_is_in_it() -> None:
    assert place_in(OWN, 0, PACK, 0, 0) == Place(PACK, 0, 0, 0, packed=True)


@pytest.fixture
def store(tmp_path: Path) -> FolderStore:
    return FolderStore(tmp_path / "store")


@pytest.fixture
def blobs(store: FolderStore) -> list[Blob]:
    """Return a blob for each content, and a pack of all."""
    with store.batch("worker-1") as batch:
        kept = [batch.keep([content]) for content in (*CONTENTS, b"".join(CONTENTS))]
        batch.commit()
    return kept


def places(blobs: list[Blob]) -> list[tuple[Place, bytes]]:
    pack, offset = blobs[-1], 0
    found = []
    for blob, content in zip(blobs, CONTENTS, strict=False):
        found.append((whole(blob.sha256, len(content)), content))
        found.append((Place(pack.sha256, pack.size_bytes, offset, len(content), True), content))
        offset += len(content)
    return found


def test_a_file_has_its_own_bytes_wherever_it_is(
    store: FolderStore, blobs: list[Blob], tmp_path: Path
) -> None:
    for number, (place, content) in enumerate(places(blobs)):
        assert read_at(store, place) == content
        with open_at(store, place) as stream:
            assert stream.read() == content
            assert stream.seek(0) == 0
        file = tmp_path / str(number)
        put_at(store, place, file)
        assert file.read_bytes() == content
        # A blob's bytes are not copied.
        assert file.is_symlink() == (not place.packed)


def test_a_file_whose_blob_is_gone_or_cut_is_not_there(
    store: FolderStore, blobs: list[Blob], tmp_path: Path
) -> None:
    first, *_, pack = blobs
    store.remove(first.sha256)
    with store.path(pack.sha256).open("r+b") as file:
        file.truncate(14)
    for place, _ in places(blobs)[:2]:
        for take in (read_at, open_at):
            with pytest.raises(NotFound):
                take(store, place)
        with pytest.raises(NotFound):
            put_at(store, place, tmp_path / "file")
    assert not (tmp_path / "file").exists()
    assert read_at(store, places(blobs)[2][0]) == CONTENTS[1]
