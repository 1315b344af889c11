"""Age limits of removals: a single wrong clock (store, database or process) removes nothing."""

import os
import time
from collections.abc import Iterator
from contextlib import nullcontext
from pathlib import Path

import pytest
from sqlalchemy import text

from staging_api.db.engine import Database
from staging_api.errors import StoreFailed
from staging_api.staging import reconcile
from staging_api.staging.duties import store_steps
from staging_api.staging.upkeep import StoreTerms
from staging_api.store.blobs import Blob
from staging_api.store.folder_store import FolderStore
from tests.factories import ORIGIN
from tests.jumped_clock import DAY_SECONDS, run_jumped
from tests.stagings import Bench, bench

JUMPS = (DAY_SECONDS, -DAY_SECONDS, 40 * DAY_SECONDS, -40 * DAY_SECONDS)


@pytest.fixture
def at(database: Database, database_url: str, tmp_path: Path) -> Iterator[Bench]:
    with bench(database, database_url, tmp_path, store=StoreTerms()) as made:
        yield made


def jump_here(monkeypatch: pytest.MonkeyPatch, seconds: float) -> None:
    """Shift the clock of this process; files are dated by the kernel."""
    right = time.time
    monkeypatch.setattr(time, "time", lambda: right() + seconds)


def jump_in_the_store(monkeypatch: pytest.MonkeyPatch, seconds: float) -> None:
    """Shift the clock that dates the files of the store."""
    right = FolderStore.time
    monkeypatch.setattr(FolderStore, "time", lambda store: right(store) + seconds)


def stranger(at: Bench, content: bytes, age_seconds: float) -> Blob:
    """Store an orphan: a file that no row refers to, last used this many seconds ago."""
    with at.service.blobs.batch("nobody") as batch:
        blob = batch.keep([content])
        batch.commit()
    used = time.time() - age_seconds
    os.utime(path_of(at, blob.sha256), (used, used))
    return blob


def path_of(at: Bench, sha256: str) -> Path:
    return at.store / "sha256" / sha256[:2] / sha256


def found_orphans(at: Bench, *blobs: Blob) -> set[str]:
    shards = {blob.sha256[:2] for blob in blobs}
    return {d for each in shards for d in reconcile.check(at.service.upkeep, each).orphans}


def victim(at: Bench, name: str, used_ago_seconds: float) -> str:
    """Return the digest of an unreferenced content that a batch used this many seconds ago."""
    content = name.encode()
    artifact = at.stage(at.build(name, payload_bin=content), "payload").artifacts[0]
    at.service.artifacts.evict(artifact.id, ORIGIN)
    ((digest,),) = at.rows(
        "SELECT sha256 FROM blobs WHERE size_bytes = :size AND doomed_at IS NOT NULL",
        size=len(content),
    )
    used = time.time() - used_ago_seconds
    os.utime(path_of(at, str(digest)), (used, used))
    return str(digest)


@pytest.mark.parametrize("jump", JUMPS)
def test_a_comparison_by_a_process_with_a_wrong_clock_finds_the_old_strangers_only(
    at: Bench, monkeypatch: pytest.MonkeyPatch, jump: float
) -> None:
    old = stranger(at, b"old", 1.5 * DAY_SECONDS)
    young = stranger(at, b"young", DAY_SECONDS / 2)
    jump_here(monkeypatch, jump)
    assert found_orphans(at, old, young) == {old.sha256}
    assert path_of(at, young.sha256).exists()


@pytest.mark.parametrize(("jump", "finds_old"), [(DAY_SECONDS, True), (-DAY_SECONDS, False)])
def test_a_store_with_a_wrong_clock_makes_no_file_old(
    at: Bench, monkeypatch: pytest.MonkeyPatch, jump: float, *, finds_old: bool
) -> None:
    old = stranger(at, b"old", 1.5 * DAY_SECONDS)
    young = stranger(at, b"young", DAY_SECONDS / 2)
    jump_in_the_store(monkeypatch, jump)
    assert found_orphans(at, old, young) == ({old.sha256} if finds_old else set())


@pytest.mark.parametrize("jump", JUMPS)
def test_what_a_batch_just_used_is_not_removed_and_what_it_used_long_ago_is(
    at: Bench, monkeypatch: pytest.MonkeyPatch, jump: float
) -> None:
    just, long_ago = victim(at, "just", 1), victim(at, "long ago", 3600)
    jump_here(monkeypatch, jump)
    assert at.service.upkeep.collect() == 1
    assert path_of(at, just).exists()
    assert not path_of(at, long_ago).exists()


@pytest.mark.parametrize("jump", JUMPS)
def test_a_worker_sweeps_nothing_while_the_clock_of_the_store_is_ahead(
    at: Bench, monkeypatch: pytest.MonkeyPatch, jump: float
) -> None:
    left = at.store / "tmp" / "dead" / "1"
    left.mkdir(parents=True)
    jump_in_the_store(monkeypatch, jump)
    (sweep,) = [step for step in store_steps(at.service) if step.name == "sweep"]
    with pytest.raises(StoreFailed, match="ahead") if jump > 0 else nullcontext():
        sweep.run()
    assert left.exists()
    monkeypatch.undo()
    for used_ago, stays in ((DAY_SECONDS - 60, True), (DAY_SECONDS + 60, False)):
        used = time.time() - used_ago
        os.utime(left, (used, used))
        sweep.run()
        assert left.exists() is stays


@pytest.mark.parametrize(("ahead", "agrees"), [(270, True), (330, False)])
def test_a_clock_of_the_store_may_be_five_minutes_ahead(
    at: Bench, monkeypatch: pytest.MonkeyPatch, ahead: float, *, agrees: bool
) -> None:
    jump_in_the_store(monkeypatch, ahead)
    with nullcontext() if agrees else pytest.raises(StoreFailed) as refused:
        at.service.upkeep.check_clocks()
    if refused is not None:
        assert refused.value.retry_after_seconds == 300


@pytest.mark.parametrize("jump", [400 * DAY_SECONDS, -400 * DAY_SECONDS])
def test_prune_drops_months_that_are_old_by_the_clock_of_the_database(
    at: Bench, database_url: str, monkeypatch: pytest.MonkeyPatch, jump: float
) -> None:
    at.stage(at.build("R17-1"), "payload")
    events = at.rows("SELECT count(*) FROM staging_events")
    with at.database.begin() as conn:
        conn.execute(
            text(
                "CREATE TABLE api_locks_2020_01 PARTITION OF api_locks FOR VALUES"
                " FROM ('01DXEKZQ000000000000000000') TO ('01DZ0HR8000000000000000000')"
            )
        )
    monkeypatch.setenv("STAGING_DATABASE_URL", database_url)
    monkeypatch.setenv("STAGING_STORE", f"file://{at.store}")
    asked = ("--keep-days", "31", "--events-days", "31", "--reason", "a test")
    said = run_jumped(jump, "staging_api", "prune", *asked)
    assert said.startswith("dropped api_locks_2020_01; ")
    assert "dropped 0 events" in said
    assert at.rows("SELECT count(*) FROM staging_events") == events
