"""Contents of a folder store: blobs, and treatment of all other entries."""

import errno
import os
from collections.abc import Callable
from hashlib import sha256
from pathlib import Path
from typing import Any

import pytest

from staging_api.errors import NotFound, StoreDenied
from staging_api.store import folder_store, spool
from staging_api.store.blobs import MARKER, Blob
from staging_api.store.disk import remove_unused
from staging_api.store.folder_store import FolderStore
from staging_api.store.spool import SweepResult
from tests.durability import recorded

FIRST, SECOND = (f"{number:026d}" for number in (1, 2))
HOUR = 3600


@pytest.fixture
def store(tmp_path: Path) -> FolderStore:
    return FolderStore(tmp_path)


def keep(store: FolderStore, *contents: bytes) -> list[Blob]:
    with store.batch("worker-1") as batch:
        blobs = [batch.keep([content]) for content in contents]
        batch.commit()
    return blobs


def refuses(number: int) -> Callable[..., Any]:
    def refuse(*_given: object, **_how: object) -> None:
        raise OSError(number, os.strerror(number))

    return refuse


def test_only_files_that_are_named_by_a_digest_of_their_folder_are_blobs(
    store: FolderStore, tmp_path: Path
) -> None:
    digest, other = "ab" * 32, "cd" * 32
    for name in (f"ab/{digest}", "ab/abc", f"ab/{other}", f"cd/{other}", f"cd/x/{other}"):
        (tmp_path / "sha256" / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / "sha256" / name).write_bytes(b"content")
    assert [blob for blob, _ in store.shard("ab")] == [Blob(digest, 7)]
    assert [blob for blob, _ in store.shard("cd")] == [Blob(other, 7)]


def test_a_store_is_empty_that_has_no_blob_whatever_else_it_has(
    store: FolderStore, tmp_path: Path
) -> None:
    assert store.is_empty()
    store.identify(FIRST)
    (tmp_path / "sha256" / "ab").mkdir()
    (tmp_path / "sha256" / "ab" / "notes").touch()
    assert store.is_empty()
    keep(store, b"one")
    assert not store.is_empty()


def test_blobs_that_are_there_and_were_used_since_are_in_use(store: FolderStore) -> None:
    old, young = keep(store, b"old", b"young")
    os.utime(store.path(old.sha256), (1000, 1000))
    os.utime(store.path(young.sha256), (2000, 2000))
    digests = [old.sha256, young.sha256, "0" * 64]
    found = {since: store.used_since(digests, since) for since in (999.0, 1000.0, 2000.0)}
    assert found == {
        999.0: {old.sha256, young.sha256},
        1000.0: {young.sha256},
        2000.0: set(),
    }


def test_a_marker_stays_unless_it_is_damaged_or_to_be_replaced(
    store: FolderStore, tmp_path: Path
) -> None:
    assert store.identity() is None
    for asked in (FIRST, SECOND):
        store.identify(asked)
        assert store.identity() == FIRST
    store.identify(SECOND, replace=True)
    assert store.identity() == SECOND
    (tmp_path / MARKER).write_bytes(b"damaged")
    assert store.identity() is None
    store.identify(FIRST)
    assert store.identity() == FIRST
    aside = sorted(each.read_bytes() for each in tmp_path.glob(f"quarantine/*/{MARKER}"))
    assert aside == [f"{FIRST}\n".encode(), b"damaged"]


@pytest.mark.parametrize("place", ["sha256", "sha256/ab", "sha256/ab/name"])
def test_what_is_in_the_way_of_a_name_is_put_aside_and_nothing_else_is(
    store: FolderStore, tmp_path: Path, place: str
) -> None:
    digest = sha256(b"content").hexdigest()
    way = tmp_path / place.replace("ab", digest[:2]).replace("name", digest)
    other = None if place == "sha256" else keep(store, b"other")[0]
    if place.endswith("name"):
        (way / "within").mkdir(parents=True)
    else:
        way.write_bytes(b"in the way")
    [blob] = keep(store, b"content")
    assert store.path(blob.sha256).read_bytes() == b"content"
    [aside] = tmp_path.glob("quarantine/*/*")
    assert aside.name == way.name
    assert aside.is_dir() == place.endswith("name")
    if other is not None:
        assert store.has(other.sha256)


def test_a_piece_of_a_blob_that_was_cut_since_it_was_opened_is_not_there(
    store: FolderStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    [blob] = keep(store, b"content")
    assert store.read(blob.sha256, 7, 2, 5) == b"ntent"
    assert store.read(blob.sha256, 7, 7, 0) == b""
    monkeypatch.setattr(os, "pread", lambda _descriptor, length, _start: bytes(length - 1))
    with pytest.raises(NotFound):
        store.read(blob.sha256, 7, 2, 5)


def unlink_says(number: int) -> Callable[..., Any]:
    """Return an unlink that fails with this error number, as other systems do for a folder."""

    def says(_path: Path, *, missing_ok: bool = False) -> None:
        raise OSError(number, os.strerror(number))

    return says


@pytest.mark.parametrize("number", [None, errno.EPERM, errno.EACCES])
def test_a_folder_in_the_place_of_a_blob_is_put_aside_with_all_that_is_in_it(
    store: FolderStore, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, number: int | None
) -> None:
    [other] = keep(store, b"other")
    folder = store.path("ab" * 32)
    folder.mkdir(parents=True)
    (folder / "of an operator").touch()
    if number is not None:
        monkeypatch.setattr(Path, "unlink", unlink_says(number))
    store.remove("ab" * 32)
    assert not folder.exists()
    assert len(list(tmp_path.glob(f"quarantine/*/{'ab' * 32}/of an operator"))) == 1
    assert store.has(other.sha256)


def test_a_blob_that_may_not_be_removed_is_not_put_aside_and_the_others_are_removed(
    store: FolderStore, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    stuck, busy, *others = keep(store, b"stuck", b"busy", b"one", b"two")
    unlink = Path.unlink
    numbers = {stuck.sha256: errno.EACCES, busy.sha256: errno.EBUSY}

    def refuse(path: Path, *, missing_ok: bool = False) -> None:
        if number := numbers.get(path.name):
            raise OSError(number, os.strerror(number))
        unlink(path, missing_ok=missing_ok)

    monkeypatch.setattr(Path, "unlink", refuse)
    failed = store.remove_all([blob.sha256 for blob in (stuck, busy, *others)])
    assert {name: type(error).__name__ for name, error in failed.items()} == {
        stuck.sha256: "StoreDenied",
        busy.sha256: "StoreFailed",
    }
    assert [store.has(blob.sha256) for blob in (stuck, busy, *others)] == [True, True, False, False]
    assert not (tmp_path / "quarantine").exists()
    with pytest.raises(StoreDenied):
        store.remove(stuck.sha256)


@pytest.mark.parametrize("number", [errno.EROFS, errno.ENOENT])
def test_a_blob_that_cannot_be_marked_as_used_is_not_used(
    store: FolderStore, monkeypatch: pytest.MonkeyPatch, number: int
) -> None:
    [blob] = keep(store, b"old")
    with store.batch("worker-2") as batch:
        batch.reuse(blob)
        monkeypatch.setattr(os, "utime", refuses(number))
        with pytest.raises(NotFound):
            batch.reuse(blob)


def test_what_a_link_leads_to_that_comes_in_the_place_of_a_blob_is_not_marked(
    store: FolderStore, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    [blob] = keep(store, b"old")
    other = tmp_path / "other"
    other.touch()
    os.utime(other, (1, 1))

    def linked(name: str) -> int:
        Path(name).unlink()
        Path(name).symlink_to(other)
        return blob.size_bytes

    monkeypatch.setattr(folder_store, "length_of", linked)
    store.mark_used(blob)
    assert other.stat().st_mtime == 1


@pytest.mark.parametrize("place", ["same_bytes", "utime"])
def test_a_blob_that_cannot_be_read_or_marked_is_replaced(
    store: FolderStore, monkeypatch: pytest.MonkeyPatch, place: str
) -> None:
    one, other = keep(store, b"one", b"other")
    before = [store.path(blob.sha256).stat().st_ino for blob in (one, other)]
    monkeypatch.setattr(os if place == "utime" else folder_store, place, refuses(errno.EIO))
    keep(store, b"one")
    after = [store.path(blob.sha256).stat().st_ino for blob in (one, other)]
    assert after[0] != before[0]
    assert after[1] == before[1]
    assert store.path(one.sha256).read_bytes() == b"one"


def test_a_batch_says_when_it_is_written_durable_named_and_durably_named(
    store: FolderStore, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    keep(store, b"known")
    steps: list[tuple[str, int, int]] = []
    with store.batch("worker-1") as batch:
        for content in (b"known", b"one", b"two"):
            batch.keep([content])
        record = recorded(monkeypatch)

        def note(step: str) -> None:
            synced = [each for each in record.steps if isinstance(each, str)]
            steps.append((step, len(synced), len(list(tmp_path.glob("sha256/*/*")))))

        batch.commit(note)
    shards = {sha256(content).hexdigest()[:2] for content in (b"one", b"two")}
    assert steps == [
        ("batch written", 0, 1),
        ("batch synced", 2, 1),
        ("blob named", 2, 2),
        ("blob named", 2, 3),
        ("names synced", 2 + len(shards) + 2, 3),
    ]


def test_a_batch_may_be_committed_again_with_what_came_since(store: FolderStore) -> None:
    with store.batch("worker-1") as batch:
        kept = []
        for content in (b"one", b"two", b"one"):
            kept.append(batch.keep([content]))
            batch.commit()
            assert all(store.has(blob.sha256, 3) for blob in kept)


@pytest.mark.parametrize(("count", "is_packed"), [(1, False), (15, False), (16, True)])
def test_less_than_sixteen_contents_are_a_blob_each(
    store: FolderStore, count: int, is_packed: bool
) -> None:
    contents = [b"content %02d" % number for number in range(count)]
    with store.batch("worker-1") as batch:
        for content in (*contents, contents[0]):
            batch.keep_small(content)
        pack = batch.seal_pack()
        batch.commit()
    there = [store.has(sha256(content).hexdigest(), len(content)) for content in contents]
    if is_packed:
        assert pack == Blob(sha256(b"".join(contents)).hexdigest(), 10 * count)
        assert store.path(pack.sha256).read_bytes() == b"".join(contents)
        assert not any(there)
    else:
        assert pack is None
        assert all(there)


def test_a_store_is_made_with_all_above_it_when_it_is_checked_and_may_be_checked_again(
    tmp_path: Path,
) -> None:
    stores = [FolderStore(tmp_path / "above" / name) for name in ("one", "other")]
    for _ in range(2):
        for store in stores:
            store.check()
    assert keep(stores[0], b"one")
    assert stores[1].is_empty()


def test_nothing_of_a_batch_is_left_but_what_another_of_its_owner_writes(
    store: FolderStore, tmp_path: Path
) -> None:
    with store.batch("worker-1") as one:
        one.keep([b"one"])
        with store.batch("worker-1") as other:
            other.keep([b"other"])
        assert [each.read_bytes() for each in tmp_path.glob("tmp/*/*/*")] == [b"one"]
    assert list((tmp_path / "tmp").iterdir()) == []


def test_a_batch_ends_though_its_folder_was_removed(store: FolderStore, tmp_path: Path) -> None:
    with store.batch("worker-1") as batch:
        batch.folder.rmdir()
        batch.folder.parent.rmdir()
    assert list((tmp_path / "tmp").iterdir()) == []


def test_what_a_sweep_cannot_remove_is_passed_over_and_named(
    store: FolderStore, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    folders = [tmp_path / name for name in ("tmp/a/1", "tmp/a/2", "tmp/b/1", "parts/1", "parts/2")]
    for folder in folders:
        folder.mkdir(parents=True)
        os.utime(folder, (1, 1))
    stuck, remove = {folders[0], folders[3]}, remove_unused

    def refuse(path: Path) -> bool:
        if path in stuck:
            raise PermissionError(errno.EPERM, "x")
        return remove(path)

    monkeypatch.setattr(spool, "remove_unused", refuse)
    assert store.sweep(HOUR) == SweepResult(3, tuple(str(folder) for folder in sorted(stuck)[::-1]))
    assert [folder.exists() for folder in folders] == [True, False, False, True, False]
    assert not (tmp_path / "tmp" / "b").exists()


def test_a_sweep_leaves_what_a_link_among_the_owners_leads_to(
    store: FolderStore, tmp_path: Path
) -> None:
    old, linked = tmp_path / "tmp" / "worker-0" / "1", tmp_path / "other" / "1"
    for folder in (old, linked):
        folder.mkdir(parents=True)
        os.utime(folder, (1, 1))
    (tmp_path / "tmp" / "link").symlink_to(tmp_path / "other")
    assert store.sweep(HOUR) == SweepResult(1)
    assert (old.exists(), linked.exists()) == (False, True)


def test_what_was_put_aside_is_kept_for_thirty_days_to_the_hour(
    store: FolderStore, tmp_path: Path
) -> None:
    now = store.time()
    for hours in (30 * 24 - 1, 30 * 24 + 1):
        folder = tmp_path / "quarantine" / str(hours)
        folder.mkdir(parents=True)
        os.utime(folder, (now - hours * HOUR, now - hours * HOUR))
    assert store.sweep(HOUR) == SweepResult(1)
    assert [each.name for each in (tmp_path / "quarantine").iterdir()] == [str(30 * 24 - 1)]
