"""Planned evictions: only artifacts whose eviction frees space, with the space each one frees."""

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from prometheus_client import REGISTRY

from staging_api.db.engine import Database
from staging_api.errors import Cancelled, NoSpace
from staging_api.locks import store
from staging_api.locks.hold import hold
from staging_api.locks.model import ARCHIVE
from staging_api.staging import eviction
from staging_api.staging.accesses import Accesses
from staging_api.staging.eviction import prune
from staging_api.staging.quota import Quota
from staging_api.staging.repository import reading
from staging_api.staging.upkeep import StoreTerms
from tests.factories import ORIGIN
from tests.stagings import Bench, bench, packed

KB = 1000


@contextmanager
def limited(
    database: Database, url: str, folder: Path, quota_kb: int, **terms: Any
) -> Iterator[Bench]:
    """Yield a service whose store has a quota, and in which every artifact is idle at once."""
    none = StoreTerms(quota_kb * KB, idle_seconds=0, noted_seconds=0, busy_seconds=0)
    with bench(database, url, folder, store=replace(none, **terms)) as made:
        yield made


@pytest.fixture
def ten(database: Database, database_url: str, tmp_path: Path) -> Iterator[Bench]:
    with limited(database, database_url, tmp_path, 10) as at:
        yield at


def payload(at: Bench, name: str, kilobytes: int, seed: str | None = None) -> str:
    """Stage a build that has only a payload, and return its artifact's id."""
    content = (seed or name).encode()[:8].ljust(8) * (kilobytes * KB // 8)
    return at.stage(at.build(name, payload_bin=content), "payload").artifacts[0].id


def evicted(at: Bench) -> set[str]:
    """Return the builds of evicted artifacts."""
    rows = at.rows("SELECT archive_url FROM staged_artifacts WHERE state = 'evicted'")
    return {str(url).rpartition("/")[2] for (url,) in rows}


def check_sums(at: Bench) -> None:
    """Assert that the ledger, the rows and the disk agree to the byte."""
    at.service.upkeep.collect()
    [(rows,)] = at.rows("SELECT coalesce(sum(size_bytes), 0) FROM blobs")
    disk = sum(path.stat().st_size for path in (at.store / "sha256").glob("*/*"))
    space = at.service.upkeep.space()
    assert (space.used, space.garbage, space.reserved) == (rows, 0, 0)
    assert rows == disk


def test_an_object_larger_than_the_quota_evicts_nothing_and_is_not_retryable(ten: Bench) -> None:
    for name in ("a", "b", "c"):
        payload(ten, name, 3)
    with pytest.raises(NoSpace) as refused:
        payload(ten, "huge", 20)
    assert not refused.value.retryable
    assert evicted(ten) == set()
    assert ten.rows("SELECT error_code, error_retryable FROM stagings WHERE error_code <> ''") == [
        ("no_space", False)
    ]
    check_sums(ten)


def test_unpacking_to_more_than_the_quota_is_not_retryable(ten: Bench) -> None:
    payload(ten, "a", 3)
    with pytest.raises(NoSpace) as refused:
        ten.stage(ten.build("bomb", suites_tgz=packed({"suites/zeros": bytes(20 * KB)})), "suites")
    assert not refused.value.retryable
    assert evicted(ten) == set()


def test_nothing_is_evicted_if_evicting_everything_would_not_be_enough(ten: Bench) -> None:
    idle, pinned = payload(ten, "idle", 3), payload(ten, "pinned", 6)
    [(tomorrow,)] = ten.rows("SELECT clock_timestamp() + interval '1 day'")
    ten.service.artifacts.pin(pinned, tomorrow, ORIGIN)
    with pytest.raises(NoSpace) as refused:
        payload(ten, "large", 5)
    assert refused.value.retryable
    assert evicted(ten) == set()
    payload(ten, "small", 4)
    assert evicted(ten) == {"idle"}
    assert idle
    check_sums(ten)


def test_an_artifact_whose_contents_are_shared_is_not_evicted_in_vain(ten: Bench) -> None:
    shared = payload(ten, "shared-1", 4, "shared")
    kept = payload(ten, "shared-2", 4, "shared")
    payload(ten, "alone", 3)
    [(tomorrow,)] = ten.rows("SELECT clock_timestamp() + interval '1 day'")
    ten.service.artifacts.pin(kept, tomorrow, ORIGIN)
    payload(ten, "new", 5)
    # Evicting the idlest would free nothing, because a pinned artifact has the same content.
    assert evicted(ten) == {"alone"}
    assert shared
    check_sums(ten)


def test_all_artifacts_that_share_a_content_are_evicted_if_needed(ten: Bench) -> None:
    payload(ten, "shared-1", 6, "shared")
    payload(ten, "shared-2", 6, "shared")
    payload(ten, "new", 9)
    assert evicted(ten) == {"shared-1", "shared-2"}
    check_sums(ten)


def test_a_plan_goes_beyond_the_idlest_when_they_are_not_enough(
    ten: Bench, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(eviction, "_FIRST_LOOK", 1)
    for name in ("a", "b", "c"):
        payload(ten, name, 3)
    payload(ten, "new", 7)
    assert evicted(ten) == {"a", "b"}
    payload(ten, "newer", 10)
    assert evicted(ten) == {"a", "b", "c", "new"}
    check_sums(ten)


def test_a_plan_has_the_idlest_first_and_no_more_than_is_needed(ten: Bench) -> None:
    ids = [payload(ten, name, 3) for name in ("a", "b", "c")]
    planned = eviction.plan(ten.database, 6 * KB, 0)
    assert ([each.id for each in planned.artifacts], planned.frees_bytes) == (ids[:2], 6 * KB)
    planned = eviction.plan(ten.database, 99 * KB, 0, skipped=ids[1:2])
    assert ([each.id for each in planned.artifacts], planned.frees_bytes) == (
        [ids[0], ids[2]],
        6 * KB,
    )
    assert eviction.plan(ten.database, 0, 0) == eviction.Eviction()
    (one,) = eviction.plan(ten.database, 9 * KB, 0, most=1).artifacts
    assert one.id == ids[0]


def test_small_artifacts_stay_if_a_larger_one_must_be_evicted_anyway(ten: Bench) -> None:
    for name in ("small-1", "small-2", "small-3"):
        payload(ten, name, 1)
    payload(ten, "large", 6)
    payload(ten, "new", 6)
    assert evicted(ten) == {"large"}
    check_sums(ten)


def test_a_prune_of_a_store_of_the_target_size_frees_nothing(ten: Bench) -> None:
    payload(ten, "a", 3)
    for dry_run in (True, False):
        done = prune(ten.service.upkeep, keep_bytes=3 * KB, dry_run=dry_run)
        assert (done.artifacts, done.freed_bytes) == ((), 0)
    # One byte less, and the artifact is evicted.
    done = prune(ten.service.upkeep, keep_bytes=3 * KB - 1)
    assert ([each.name for each in done.artifacts], done.freed_bytes) == (["payload"], 3 * KB)
    assert ten.rows("SELECT size_bytes FROM blobs") == []


def test_an_eviction_is_counted_by_its_reason(ten: Bench) -> None:
    def counted(reason: str) -> float:
        name = "staging_artifacts_evicted_total"
        return REGISTRY.get_sample_value(name, {"reason": reason}) or 0.0

    payload(ten, "a", 6)
    before = counted("space"), counted("lost")
    payload(ten, "new", 6)
    assert (counted("space"), counted("lost")) == (before[0] + 1, before[1])


def test_an_eviction_whose_lock_is_lost_just_after_it_is_reported_as_done(
    ten: Bench, monkeypatch: pytest.MonkeyPatch
) -> None:
    payload(ten, "a", 3)
    payload(ten, "b", 3)
    release = store.release

    def too_late(*given: Any) -> str:
        release(*given)
        return "expired"

    monkeypatch.setattr(store, "release", too_late)
    done = prune(ten.service.upkeep, keep_bytes=3 * KB)
    assert ([each.name for each in done.artifacts], done.freed_bytes) == (["payload"], 3 * KB)
    assert len(evicted(ten)) == 1


def test_artifacts_without_bytes_are_never_evicted_for_space(ten: Bench) -> None:
    for number in range(20):
        ten.stage(ten.build(f"empty-{number}", payload_bin=b""), "payload")
    payload(ten, "a", 6)
    payload(ten, "b", 6)
    assert evicted(ten) == {"a"}
    assert prune(ten.service.upkeep).freed_bytes == 6 * KB
    assert evicted(ten) == {"a", "b"}


def test_garbage_is_collected_without_a_worker_when_space_is_needed(ten: Bench) -> None:
    idle = payload(ten, "idle", 4)
    for turn in range(3):
        ten.service.artifacts.evict(payload(ten, f"R17-{turn}", 5), ORIGIN)
    # Garbage collection freed the space: no artifact was evicted.
    assert ten.rows("SELECT state FROM staged_artifacts WHERE id = :id", id=idle) == [("staged",)]
    check_sums(ten)


def test_recently_used_garbage_is_collected_when_space_is_needed(
    database: Database, database_url: str, tmp_path: Path
) -> None:
    with limited(database, database_url, tmp_path, 10, busy_seconds=3600) as at:
        payload(at, "a", 9)
        payload(at, "b", 9)
        assert evicted(at) == {"a"}
        assert at.service.upkeep.space().used == 9 * KB


def test_nothing_is_evicted_for_space_reserved_in_advance(
    database: Database, database_url: str, tmp_path: Path
) -> None:
    with limited(database, database_url, tmp_path, 68_000) as at:
        payload(at, "idle", 2_000)
        suites = packed({"suites/a": b"a" * 900_000, "suites/b": b"b" * 900_000})
        assert at.stage(at.build("new", suites_tgz=suites), "suites").state == "staged"
        assert evicted(at) == set()


def test_a_content_of_a_pool_frees_nothing(ten: Bench) -> None:
    payload(ten, "pooled", 6)
    payload(ten, "alone", 3)
    with ten.database.begin() as conn:
        conn.exec_driver_sql(
            "INSERT INTO apt_archives (name, forms, retention_seconds, quarantine_seconds)"
            " VALUES ('debian', '{gz}', 1, 1)"
        )
        conn.exec_driver_sql(
            "INSERT INTO package_files (archive_id, path, sha256, size_bytes)"
            " SELECT a.id, 'pool/x.deb', b.sha256, b.size_bytes FROM apt_archives a, blobs b"
            " WHERE b.size_bytes = 6000"
        )
    assert [
        each.archive_url.rpartition("/")[2]
        for each in prune(ten.service.upkeep, dry_run=True).artifacts
    ] == ["alone"]
    with pytest.raises(NoSpace):
        payload(ten, "large", 5)
    assert evicted(ten) == set()


def test_a_cancelled_request_stops_evicting(ten: Bench) -> None:
    for name in ("a", "b", "c"):
        payload(ten, name, 3)
    url = ten.build("new", payload_bin=b"x")
    artifact = ten.service.queue(ten.service.check_request(url, ("payload",)), ORIGIN).artifacts[0]
    evicted_before = []

    def check() -> None:
        evicted_before.append(len(evicted(ten)))
        if len(evicted_before) == 2:
            raise Cancelled("the client is gone")

    with pytest.raises(Cancelled), hold(ten.service.locks, ARCHIVE, url, ORIGIN) as held:
        Quota(ten.service.upkeep).reserve(artifact.id, held, 9 * KB, check)
    assert evicted_before == [0, 1]
    assert len(evicted(ten)) == 1


def test_housekeeping_enforces_a_lowered_quota(
    ten: Bench, database, database_url, tmp_path
) -> None:
    for name in ("a", "b", "c"):
        payload(ten, name, 3)
    with limited(database, database_url, tmp_path, 7) as at:
        Quota(at.service.upkeep).keep()
        assert evicted(at) == {"a"}
        check_sums(at)


def test_an_artifact_that_was_just_read_is_not_evicted(
    database: Database, database_url: str, tmp_path: Path
) -> None:
    with limited(database, database_url, tmp_path, 10, idle_seconds=300, noted_seconds=60) as at:
        read, idle = payload(at, "read", 4), payload(at, "idle", 4)
        at.tamper(
            "UPDATE staged_artifacts SET staged_at = staged_at - interval '1 h',"
            " last_accessed_at = staged_at - interval '10 min'"
        )
        with at.database.connect() as conn:
            served = reading.served_file(conn, "board/read/payload.bin")
        assert served is not None
        assert served.hand_out_due
        accesses = Accesses(at.database, flush_seconds=3600)
        assert accesses.hand_out(read)
        with at.database.connect() as conn:
            served = reading.served_file(conn, "board/read/payload.bin")
        assert served is not None
        assert not served.hand_out_due, "one row is written a minute, however many reads there are"
        payload(at, "new", 5)
        assert evicted(at) == {"idle"}
        assert not accesses.hand_out(idle)


def test_a_read_recorded_a_minute_late_is_protected_for_its_whole_time(
    database: Database, database_url: str, tmp_path: Path
) -> None:
    with limited(database, database_url, tmp_path, 10, idle_seconds=300, noted_seconds=60) as at:
        payload(at, "a", 6)
        for age, refused in ((350, True), (370, False)):
            at.tamper(
                "UPDATE staged_artifacts SET staged_at = clock_timestamp() - interval '1 h',"
                " last_accessed_at = clock_timestamp() - make_interval(secs => :age)"
                " WHERE state = 'staged'",
                age=age,
            )
            if refused:
                with pytest.raises(NoSpace):
                    payload(at, f"new-{age}", 6)
            else:
                payload(at, f"new-{age}", 6)
        assert evicted(at) == {"a"}
