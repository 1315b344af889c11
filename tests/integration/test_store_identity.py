"""Identity of the store: another volume or bucket, empty or full, is never used in its place."""

import hashlib
import os
import threading
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from pathlib import Path
from typing import BinaryIO

import pytest

from staging_api.db.engine import Database
from staging_api.errors import NotFound, StoreAbsent, WrongStore
from staging_api.locks.model import new_id
from staging_api.staging.damage import losses_noticed
from staging_api.staging.duties import scrub_steps, store_steps
from staging_api.staging.eviction import prune
from staging_api.staging.housekeeping import Housekeeping
from staging_api.staging.reconcile import SHARDS, check
from staging_api.staging.store_identity import StoreIdentity
from staging_api.staging.upkeep import StoreTerms, Upkeep
from staging_api.store.blob_store import BlobStore
from staging_api.store.blobs import MARKER
from staging_api.store.opening import open_store
from tests import damage
from tests.buckets import new_bucket, s3_server
from tests.factories import ORIGIN
from tests.stagings import Bench, bench
from tests.stores import put_marker

TERMS = StoreTerms(idle_seconds=0, noted_seconds=0, grace_seconds=0, busy_seconds=0)
CONTENT = b"payload of R17-1"
DIGEST = hashlib.sha256(CONTENT).hexdigest()


@pytest.fixture(scope="module")
def endpoint() -> Iterator[str]:
    with s3_server() as found:
        yield found


@pytest.fixture(params=["folder", "bucket"])
def new_url(request: pytest.FixtureRequest, tmp_path: Path) -> Callable[[], str]:
    """Return a function that creates a new store at each call and returns its URL."""
    numbers = iter(range(10))
    if request.param == "bucket":
        endpoint = request.getfixturevalue("endpoint")
        return lambda: new_bucket(endpoint)
    return lambda: f"file://{tmp_path}/store-{next(numbers)}"


@pytest.fixture
def url(new_url: Callable[[], str]) -> str:
    return new_url()


@pytest.fixture
def at(database: Database, database_url: str, tmp_path: Path, url: str) -> Iterator[Bench]:
    blobs = open_store(url, tmp_path / "home")
    with bench(database, database_url, tmp_path, blobs=blobs, store=TERMS) as made:
        yield made


@pytest.fixture
def other(new_url: Callable[[], str], tmp_path: Path) -> BlobStore:
    """Return an empty writable store: a wrong volume, or a bucket with a wrong name."""
    return open_store(new_url(), tmp_path / "home of another")


def keep(blobs: BlobStore, content: bytes) -> None:
    with blobs.batch("somebody") as batch:
        batch.keep([content])
        batch.commit()


def elsewhere(at: Bench, blobs: BlobStore) -> Bench:
    """Return a pod of the same database with another store mounted."""
    return replace(at, service=replace(at.service, blobs=blobs))


def states(at: Bench) -> list[tuple[str, str | None]]:
    return at.rows("SELECT state, evict_reason FROM staged_artifacts ORDER BY id")


def test_a_new_store_and_a_new_database_become_a_pair(
    at: Bench, url: str, tmp_path: Path, other: BlobStore
) -> None:
    at.stage(at.build(), "payload")
    [(known,)] = at.rows("SELECT id FROM store_identity")
    assert at.service.blobs.identity() == known
    StoreIdentity(at.database, open_store(url, tmp_path / "home of a third")).check()
    assert other.identity() is None


def test_a_probe_compares_and_writes_nothing(at: Bench, url: str, other: BlobStore) -> None:
    StoreIdentity(at.database, at.service.blobs).check(adopt=False)
    assert (at.service.blobs.identity(), at.rows("SELECT id FROM store_identity")) == (None, [])
    at.stage(at.build(), "payload")
    put_marker(url, None)
    StoreIdentity(at.database, at.service.blobs).check(adopt=False)
    assert at.service.blobs.identity() is None
    with pytest.raises(StoreAbsent):
        StoreIdentity(at.database, other).check(adopt=False)


def test_a_store_of_the_version_before_is_adopted(at: Bench, url: str, other: BlobStore) -> None:
    at.stage(at.build(), "payload")
    put_marker(url, None)
    at.tamper("DELETE FROM store_identity")
    with pytest.raises(StoreAbsent):
        StoreIdentity(at.database, other).check()
    assert at.rows("SELECT id FROM store_identity") == []
    StoreIdentity(at.database, at.service.blobs).check()
    assert at.rows("SELECT id FROM store_identity") == [(at.service.blobs.identity(),)]


@pytest.mark.parametrize("what", ["empty", "of another database", "with one content of ours"])
def test_a_pod_with_another_store_believes_nothing_of_it(
    at: Bench, other: BlobStore, what: str
) -> None:
    at.stage(at.build(), "payload", "symbols")
    victim = at.stage(at.build("R17-2"), "payload").artifacts[0]
    at.service.artifacts.evict(victim.id, ORIGIN)
    if what == "of another database":
        other.identify("01ARZ3NDEKTSV4RRFFQ69G5FAV")
    if what == "with one content of ours":
        keep(other, CONTENT)
    before = at.rows("SELECT sha256, size_bytes, doomed_at FROM blobs ORDER BY sha256")
    lost = elsewhere(at, other)
    upkeep = lost.service.upkeep
    believing: list[Callable[[], object]] = [
        lambda: check(upkeep, DIGEST[:2]),
        upkeep.collect,
        lambda: prune(upkeep, idle_seconds=0),
        lambda: lost.stage(lost.build("R17-3"), "payload"),
    ]
    for each in believing:
        with pytest.raises(StoreAbsent) as refused:
            each()
        assert isinstance(refused.value, WrongStore) == (what != "empty")
    with pytest.raises(StoreAbsent), losses_noticed(upkeep, "0" * 64, 7):
        raise NotFound("it has not got it")
    Housekeeping("of the store", store_steps(lost.service)).turn()
    assert at.rows("SELECT sha256, size_bytes, doomed_at FROM blobs ORDER BY sha256") == before
    # No staging failed permanently: a pod with the right store continues them.
    assert states(at) == [
        ("staged", None),
        ("staged", None),
        ("evicted", "asked"),
        ("pending", None),
    ]
    assert at.service.blobs.has(DIGEST, len(CONTENT))


def test_a_scrub_puts_nothing_aside_in_the_store_of_another_database(
    at: Bench, other: BlobStore
) -> None:
    """Damage in the other store is not recorded, and contents of the right store stay."""
    at.stage(at.build(), "payload")
    at.tamper("UPDATE blobs SET stored_at = stored_at - interval '1 day'")
    keep(other, CONTENT)
    other.identify("01ARZ3NDEKTSV4RRFFQ69G5FAV")
    asked = list[str]()

    def opened(sha256: str, size_bytes: int | None = None) -> BinaryIO:
        asked.append(sha256)
        raise NotFound(f"it was asked for {sha256} of {size_bytes} bytes")

    with pytest.MonkeyPatch.context() as patched:
        patched.setattr(other, "open", opened)
        shards = (*SHARDS[:3], DIGEST[:2])
        patched.setattr("staging_api.staging.scrub.SHARDS", shards)
        lost = elsewhere(at, other)
        for _ in shards:
            Housekeeping("a scrub", scrub_steps(lost.service, threading.Event())).turn()
    assert asked == []
    assert other.has(DIGEST)
    assert states(at) == [("staged", None)]


def test_of_two_pods_with_a_volume_each_one_is_refused(at: Bench, other: BlobStore) -> None:
    other.check()
    at.service.blobs.check()
    StoreIdentity(at.database, other).check()
    with pytest.raises(StoreAbsent):
        at.service.upkeep.identity.check()


@pytest.mark.parametrize("damaged", [None, b"", b"01ARZ3NDEK", b"\xff" * 200])
def test_a_marker_that_was_lost_comes_back_if_the_blobs_are_there(
    at: Bench, url: str, damaged: bytes | None
) -> None:
    at.stage(at.build(), "payload", "symbols")
    known = at.service.blobs.identity()
    put_marker(url, damaged)
    at.service.upkeep.identity.check()
    assert at.service.blobs.identity() == known is not None


@pytest.mark.parametrize(
    ("lost", "owned", "is_taken"),
    [(1, True, True), (2, True, False), (3, True, False), (2, False, True), (3, False, False)],
)
def test_a_store_without_a_marker_is_taken_for_ours_by_what_it_has(
    at: Bench, url: str, lost: int, *, owned: bool, is_taken: bool
) -> None:
    """With a lost marker most of four contents must be present, without any marker half of them."""
    for name in range(4):
        at.stage(at.build(f"R17-{name}", payload_bin=b"%d" % name), "payload")
    for name in range(lost):
        damage.change(url, hashlib.sha256(b"%d" % name).hexdigest(), damage.removed)
    put_marker(url, None)
    if not owned:
        at.tamper("DELETE FROM store_identity")
    before = at.rows("SELECT id FROM store_identity")
    identity = StoreIdentity(at.database, at.service.blobs)
    if is_taken:
        identity.check()
        [(known,)] = at.rows("SELECT id FROM store_identity")
        assert at.service.blobs.identity() == known
    else:
        with pytest.raises(WrongStore):
            identity.check()
        assert at.service.blobs.identity() is None
        assert at.rows("SELECT id FROM store_identity") == before


def test_of_two_stores_that_are_adopted_at_once_one_is_refused(
    at: Bench, other: BlobStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    blobs = at.service.blobs
    put = type(blobs).identify

    def outdone(store: BlobStore, identity: str, *, replace: bool = False) -> None:
        put(store, identity, replace=replace)
        if store is blobs:
            StoreIdentity(at.database, other).check()

    monkeypatch.setattr(type(blobs), "identify", outdone)
    with pytest.raises(WrongStore):
        StoreIdentity(at.database, blobs).check()
    StoreIdentity(at.database, other).check()
    assert at.rows("SELECT id FROM store_identity") == [(other.identity(),)]


@pytest.mark.parametrize("before", [None, b"01ARZ3NDEK"])
def test_of_many_that_adopt_a_store_at_once_all_find_the_same_marker(
    new_url: Callable[[], str], tmp_path: Path, before: bytes | None
) -> None:
    """A marker that one pod has already read is not replaced by another pod's."""
    for _ in range(3):
        url = new_url()
        stores = [open_store(url, tmp_path / "home") for _ in range(4)]
        stores[0].check()
        if before is not None:
            stores[0].identify("01ARZ3NDEKTSV4RRFFQ69G5FAV")
            put_marker(url, before)
        start = threading.Barrier(len(stores))

        def adopt(store: BlobStore, start: threading.Barrier = start) -> str | None:
            start.wait()
            store.identify(new_id())
            return store.identity()

        with ThreadPoolExecutor(len(stores)) as pool:
            found = set(pool.map(adopt, stores))
        assert found == {stores[0].identity()} != {None}


@pytest.mark.parametrize("made", [os.mkfifo, os.mkdir, lambda path: path.symlink_to("/nowhere")])
def test_a_folder_or_link_in_the_place_of_the_marker_is_moved_aside(
    at: Bench, url: str, made: Callable[[Path], None]
) -> None:
    if not url.startswith("file:"):
        pytest.skip("a bucket has only objects")
    at.stage(at.build(), "payload")
    marker = Path(url.removeprefix("file://")) / MARKER
    known = at.service.blobs.identity()
    marker.unlink()
    made(marker)
    at.service.upkeep.identity.check()
    assert at.service.blobs.identity() == known


def test_a_store_that_was_emptied_waits_for_an_operators_word_and_heals(
    at: Bench, other: BlobStore
) -> None:
    url = at.build()
    at.stage(url, "payload")
    replaced = elsewhere(at, other)
    upkeep: Upkeep = replaced.service.upkeep
    with pytest.raises(StoreAbsent):
        upkeep.identity.check()
    assert upkeep.identity.replace() == at.service.blobs.identity() == other.identity()
    assert check(upkeep, DIGEST[:2]).lost == (DIGEST,)
    (artifact,) = replaced.stage(url, "payload").artifacts
    assert (artifact.state, other.has(DIGEST, len(CONTENT))) == ("staged", True)


def test_a_new_database_does_not_sweep_the_store_of_another(at: Bench, url: str) -> None:
    at.stage(at.build(), "payload")
    at.tamper("DELETE FROM loose_files")
    at.tamper("DELETE FROM blobs")
    at.tamper("DELETE FROM store_identity")
    upkeep = replace(at.service).upkeep
    with pytest.raises(StoreAbsent):
        upkeep.identity.check()
    assert at.service.blobs.has(DIGEST)
    # The operator knows that the database was created anew.
    assert upkeep.identity.replace() == at.service.blobs.identity()
    upkeep.identity.check()
