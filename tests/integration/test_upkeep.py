"""Upkeep of the store: quota, eviction, removal and comparison, on a real PostgreSQL and disk."""

import os
import threading
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from pathlib import Path

import pytest
from sqlalchemy import text

from staging_api.errors import Conflict, NoSpace, Unavailable
from staging_api.locks.hold import hold
from staging_api.locks.model import ARCHIVE
from staging_api.staging import reconcile
from staging_api.staging.accesses import Accesses
from staging_api.staging.audit import verify
from staging_api.staging.damage import lose
from staging_api.staging.eviction import prune
from staging_api.staging.quota import Quota
from staging_api.staging.repository import check_rows, reading, space_rows
from staging_api.staging.reservations import QuotaReservation
from staging_api.staging.resuming import resume
from staging_api.staging.upkeep import StoreTerms
from staging_api.store.batch import Batch
from tests.factories import ORIGIN
from tests.stagings import Bench, bench, packed

KB = 1000


@pytest.fixture
def at(database, database_url, tmp_path):
    with bench(database, database_url, tmp_path) as made:
        yield made


@contextmanager
def limited(database, url: str, folder: Path, quota_bytes: int, idle_seconds: float = 0.0):
    terms = StoreTerms(quota_bytes, idle_seconds=idle_seconds, noted_seconds=0, busy_seconds=0)
    with bench(database, url, folder, store=terms) as made:
        yield made


def payload(at: Bench, name: str, content: bytes) -> str:
    """Stage a build that has only a payload, and return its artifact's id."""
    staging = at.stage(at.build(name, payload_bin=content), "payload")
    return staging.artifacts[0].id


def files(at: Bench) -> set[str]:
    return {path.name for path in (at.store / "sha256").glob("*/*")}


def states(at: Bench) -> list[tuple[str, str | None]]:
    return at.rows("SELECT state, evict_reason FROM staged_artifacts ORDER BY id")


def age(at: Bench, *artifact_ids: str, hours: int = 1) -> None:
    """Set the last reads of some artifacts to past times, one after the other."""
    for artifact_id in artifact_ids:
        at.tamper(
            "UPDATE staged_artifacts SET last_accessed_at = clock_timestamp()"
            " - make_interval(hours => :hours) WHERE id = :id",
            id=artifact_id,
            hours=hours,
        )


def disagreements(at: Bench) -> tuple[set[str], set[str]]:
    """Return the contents that only the tables have, and those that only the disk has."""
    named = {digest for (digest,) in at.rows("SELECT sha256 FROM blobs WHERE doomed_at IS NULL")}
    return named - files(at), files(at) - named


def test_staged_content_is_counted_once_and_removed_content_is_not(at):
    one = payload(at, "R17-1", b"x" * KB)
    payload(at, "R17-2", b"x" * KB)
    assert at.service.upkeep.space().used == KB
    at.service.artifacts.evict(one, ORIGIN)
    assert at.service.upkeep.collect() == 0
    two = at.rows("SELECT id FROM staged_artifacts WHERE state = 'staged'")[0][0]
    at.service.artifacts.evict(two, ORIGIN)
    assert at.service.upkeep.collect() == 1
    assert (at.service.upkeep.space().used, files(at)) == (0, set())


def test_compaction_does_not_change_the_sum_of_the_ledger(at):
    for number in range(3):
        payload(at, f"R17-{number}", bytes([number]) * KB)
    with at.database.connect() as conn:
        space_rows.compact_ledger(conn)
        space_rows.compact_ledger(conn)
    assert at.rows("SELECT bytes FROM store_ledger") == [(3 * KB,)]
    assert at.service.upkeep.space().used == 3 * KB


def test_a_full_store_evicts_the_idlest_first(database, database_url, tmp_path):
    with limited(database, database_url, tmp_path, 3 * KB) as at:
        ids = [payload(at, f"R17-{n}", bytes([n]) * KB) for n in range(3)]
        age(at, ids[1], hours=3)
        age(at, ids[0], ids[2], hours=1)
        payload(at, "R17-3", b"3" * KB)
        evicted = ("evicted", "space")
        assert states(at) == [("staged", None), evicted, ("staged", None), ("staged", None)]
        assert disagreements(at) == (set(), set())


def test_pinned_and_recently_read_artifacts_are_not_evicted(database, database_url, tmp_path):
    with limited(database, database_url, tmp_path, 2 * KB, idle_seconds=60) as at:
        pinned, read = (payload(at, f"R17-{n}", bytes([n]) * KB) for n in range(2))
        age(at, pinned)
        [(tomorrow,)] = at.rows("SELECT clock_timestamp() + interval '1 day'")
        at.service.artifacts.pin(pinned, tomorrow, ORIGIN)
        with pytest.raises(NoSpace):
            payload(at, "R17-3", b"3" * KB)
        assert [state for state, _ in states(at)] == ["staged", "staged", "failed"]
        assert read
        with pytest.raises(Conflict):
            at.service.artifacts.evict(pinned, ORIGIN)


def test_an_archive_that_is_worked_on_is_not_evicted(database, database_url, tmp_path):
    with limited(database, database_url, tmp_path, KB) as at:
        one = payload(at, "R17-1", b"1" * KB)
        [(url,)] = at.rows("SELECT archive_url FROM staged_artifacts WHERE id = :id", id=one)
        with ThreadPoolExecutor(1) as pool, hold(at.service.locks, ARCHIVE, url, ORIGIN):
            other = pool.submit(payload, at, "R17-2", b"2" * KB)
            assert isinstance(other.exception(), NoSpace)


def test_concurrent_stagings_never_reserve_more_than_the_quota(database, database_url, tmp_path):
    with limited(database, database_url, tmp_path, 3 * KB) as at:
        artifacts = []
        for number in range(4):
            url = at.build(f"R17-{number}", payload_bin=b"x")
            staging = at.service.queue(at.service.check_request(url, ("payload",)), ORIGIN)
            artifacts.append((url, staging.artifacts[0].id))
        granted: list[str] = []
        promised = threading.Barrier(4)

        def ask(url: str, artifact_id: str) -> None:
            with hold(at.service.locks, ARCHIVE, url, ORIGIN) as held:
                try:
                    Quota(at.service.upkeep).reserve(artifact_id, held, KB)
                    granted.append(artifact_id)
                except NoSpace:
                    pass
                promised.wait()

        with ThreadPoolExecutor(4) as pool:
            for done in [pool.submit(ask, *artifact) for artifact in artifacts]:
                done.result()
        assert len(granted) == 3
        # After their release the locks reserve no space any more.
        assert at.service.upkeep.space().reserved == 0


def test_a_reservation_ends_with_the_lease_of_a_dead_process(database, database_url, tmp_path):
    with limited(database, database_url, tmp_path, 3 * KB) as at:
        url = at.build(payload_bin=b"x")
        artifact = at.service.queue(at.service.check_request(url, ("payload",)), ORIGIN).artifacts[
            0
        ]
        with hold(at.service.locks, ARCHIVE, url, ORIGIN) as held:
            Quota(at.service.upkeep).reserve(artifact.id, held, KB)
            assert at.service.upkeep.space().reserved == KB
            at.tamper(
                "UPDATE lock_scopes SET acquired_at = acquired_at - interval '1 h',"
                " expires_at = clock_timestamp() - interval '1 ms' WHERE scope = :url",
                url=url,
            )
            assert at.service.upkeep.space().reserved == 0
            with at.database.connect() as conn:
                space_rows.forget_dead_reservations(conn)
            at.tamper(
                "UPDATE lock_scopes SET expires_at = clock_timestamp() + interval '1 h'"
                " WHERE scope = :url",
                url=url,
            )
        assert at.rows("SELECT count(*) FROM store_reservations") == [(0,)]


def test_unpacked_bytes_are_reserved_while_they_are_written(database, database_url, tmp_path):
    with limited(database, database_url, tmp_path, 50 * KB) as at:
        with pytest.raises(NoSpace):
            at.stage(at.build(suites_tgz=packed({"suites/zeros": bytes(80 * KB)})), "suites")
        assert at.rows("SELECT error_code FROM stagings") == [("no_space",)]
        assert (at.service.upkeep.space().used, files(at)) == (0, set())


def test_space_is_reserved_in_steps_and_exactly_when_it_is_short():
    reserved: list[int] = []
    more: list[int] = []

    def reserve(count: int) -> None:
        reserved.append(count)
        if count > 1000:
            raise NoSpace("no")

    def reserve_more(count: int) -> bool:
        more.append(count)
        return False

    room = QuotaReservation(reserve, reserve_more)
    room(500)
    room(100)
    with pytest.raises(NoSpace):
        room(500)
    step = 64 << 20
    assert reserved == [500, 600, 1100]
    assert more == [600 + step, 1100 + step]


def test_a_dry_run_of_prune_evicts_nothing(at):
    ids = [payload(at, f"R17-{n}", bytes([n]) * KB) for n in range(3)]
    age(at, *ids)
    would = prune(at.service.upkeep, keep_bytes=2 * KB, dry_run=True)
    assert ([one.id for one in would.artifacts], would.freed_bytes) == ([ids[0]], KB)
    assert [state for state, _ in states(at)] == ["staged"] * 3
    did = prune(at.service.upkeep, keep_bytes=2 * KB)
    assert (did.artifacts, did.freed_bytes) == (would.artifacts, KB)
    assert verify(at.database).breaks == ()


def test_an_eviction_for_space_is_recorded_with_its_reason(at):
    age(at, payload(at, "R17-1", b"1" * KB))
    prune(at.service.upkeep)
    assert at.rows("SELECT actor, code FROM staging_events WHERE to_state = 'evicted'") == [
        ("upkeep", "space")
    ]


def test_a_reader_of_a_removed_blob_reads_to_its_end(at):
    artifact = payload(at, "R17-1", b"1" * KB)
    with at.service.blobs.open(next(iter(files(at)))) as reader:
        at.service.artifacts.evict(artifact, ORIGIN)
        assert at.service.upkeep.collect() == 1
        assert reader.read() == b"1" * KB


def test_content_that_is_named_again_before_its_removal_stays(at):
    artifact = payload(at, "R17-1", b"1" * KB)
    at.service.artifacts.evict(artifact, ORIGIN)
    payload(at, "R17-2", b"1" * KB)
    assert at.service.upkeep.collect() == 0
    assert disagreements(at) == (set(), set())


def test_contents_removed_under_a_staging_are_noticed_and_fetched_again(at, monkeypatch):
    artifact = payload(at, "R17-1", b"1" * KB)
    url = at.build("R17-2", payload_bin=b"1" * KB)
    staging = at.service.queue(at.service.check_request(url, ("payload",)), ORIGIN)
    commit = Batch.commit
    times: list[int] = []

    def removed_after_commit(batch, *given):
        commit(batch, *given)
        if not times:
            times.append(1)
            at.service.artifacts.evict(artifact, ORIGIN)
            assert at.service.upkeep.collect() == 1

    monkeypatch.setattr("staging_api.store.batch.Batch.commit", removed_after_commit)
    with pytest.raises(Unavailable):
        resume(at.service, staging, ORIGIN)
    assert at.rows("SELECT count(*) FROM staged_files") == [(0,)]
    # Committed again, and then removed by hand: no row refers to it, so its own row must go.
    assert at.rows("SELECT doomed_at IS NULL FROM blobs") in ([], [(False,)])
    resume(at.service, staging, ORIGIN)
    assert at.service.find(staging.id).state == "staged"
    assert disagreements(at) == (set(), set())


def test_stagings_and_removals_of_the_same_content_never_leave_a_row_without_a_file(at):
    content = b"shared" * KB
    urls = [at.build(f"R17-{n}", payload_bin=content) for n in range(2)]
    over = threading.Event()

    def remove() -> None:
        while not over.is_set():
            at.service.upkeep.collect()

    def stage(url: str) -> None:
        for _ in range(12):
            try:
                staging = at.stage(url, "payload")
            except Unavailable:
                continue
            with at.database.connect() as conn:
                assert reading.known_blobs(conn, [staging.artifacts[0].sha256])
            assert at.service.blobs.has(staging.artifacts[0].sha256)
            at.service.artifacts.evict(staging.artifacts[0].id, ORIGIN)

    with ThreadPoolExecutor(3) as pool:
        remover = pool.submit(remove)
        try:
            for done in [pool.submit(stage, url) for url in urls]:
                done.result()
        finally:
            over.set()
        remover.result()


def test_an_artifact_whose_blob_is_lost_is_evicted_and_can_be_staged_again(at):
    payload(at, "R17-1", b"1" * KB)
    [digest] = files(at)
    at.service.blobs.path(digest).unlink()
    found = reconcile.check(at.service.upkeep, digest[:2])
    assert found.lost == (digest,)
    assert states(at) == [("evicted", "lost")]
    at.service.upkeep.collect()
    url = at.rows("SELECT archive_url FROM archives")[0][0]
    assert at.stage(url, "payload").state == "staged"
    assert disagreements(at) == (set(), set())


def test_a_lost_content_of_a_locked_archive_is_checked_again_in_a_minute(at):
    payload(at, "R17-1", b"1" * KB)
    [digest] = files(at)
    [(url,)] = at.rows("SELECT archive_url FROM archives")
    at.service.blobs.path(digest).unlink()
    with at.database.connect() as conn:
        check_rows.claim_shard(conn, [digest[:2]], 0)
    with ThreadPoolExecutor(1) as pool, hold(at.service.locks, ARCHIVE, url, ORIGIN):
        found = pool.submit(reconcile.check, at.service.upkeep, digest[:2]).result()
    assert found.lost == (digest,)
    assert states(at) == [("staged", None)]
    [(due,)] = at.rows(
        "SELECT date_part('epoch', began_at - clock_timestamp()) + :every FROM store_checks",
        every=at.service.upkeep.terms.check_seconds,
    )
    assert 30 < due <= 60


def test_a_truncated_blob_is_treated_as_lost(at):
    payload(at, "R17-1", b"1" * KB)
    [digest] = files(at)
    os.truncate(at.service.blobs.path(digest), 10)
    assert reconcile.check(at.service.upkeep, digest[:2]).lost == (digest,)
    at.service.upkeep.collect()
    assert files(at) == set()


def test_the_row_of_a_lost_and_unnamed_blob_is_deleted_at_once(at):
    payload(at, "R17-1", b"1" * KB)
    [digest] = files(at)
    payload(at, "R17-2", b"2" * KB)
    at.tamper("DELETE FROM loose_files WHERE sha256 = :digest", digest=digest)
    at.service.blobs.remove(digest)
    assert reconcile.check(at.service.upkeep, digest[:2]).lost == (digest,)
    assert at.service.upkeep.collect() == 1
    assert disagreements(at) == (set(), set())
    assert at.service.upkeep.space().used == KB


def test_a_lost_content_that_nothing_names_leaves_the_rows_though_no_artifact_is_evicted(at):
    payload(at, "R17-1", b"1" * KB)
    [digest] = files(at)
    at.tamper("DELETE FROM loose_files WHERE sha256 = :digest", digest=digest)
    at.service.blobs.remove(digest)
    assert lose(at.service.upkeep, digest, KB)
    assert at.service.upkeep.collect() == 1
    assert at.rows("SELECT 1 FROM blobs") == []


def test_a_file_without_a_row_is_removed_after_the_grace_time(at):
    with at.service.blobs.batch("orphan") as batch:
        blob = batch.keep([b"an orphan"])
        batch.commit()
    young = reconcile.check(at.service.upkeep, blob.sha256[:2])
    assert (young.files, young.orphans) == (1, ())
    os.utime(at.service.blobs.path(blob.sha256), (0, 0))
    assert reconcile.check(at.service.upkeep, blob.sha256[:2]).orphans == (blob.sha256,)
    assert at.service.upkeep.collect() == 1
    assert files(at) == set()


def test_a_row_that_nothing_names_is_removed_after_the_grace_time(at):
    payload(at, "R17-1", b"1" * KB)
    [digest] = files(at)
    at.tamper("DELETE FROM loose_files")
    reconcile.check(at.service.upkeep, digest[:2])
    assert at.service.upkeep.collect() == 0
    at.tamper("UPDATE blobs SET stored_at = stored_at - interval '2 days'")
    reconcile.check(at.service.upkeep, digest[:2])
    assert at.service.upkeep.collect() == 1


def test_shards_are_checked_in_turn_and_findings_are_recorded(at, monkeypatch):
    payload(at, "R17-1", b"1" * KB)
    assert len(set(reconcile.SHARDS)) == 256
    [digest] = files(at)
    few = {digest[:2], *reconcile.SHARDS[::32]}
    monkeypatch.setattr(reconcile, "SHARDS", tuple(sorted(few)))
    seen = set()
    while (found := reconcile.check_next(at.service.upkeep)) is not None:
        seen.add(found.shard)
    assert seen == few
    assert at.rows(
        "SELECT count(*), sum(files), sum(bytes), sum(lost + strangers) FROM store_checks"
        " WHERE checked_at IS NOT NULL"
    ) == [(len(few), 1, KB, 0)]


def test_reads_are_recorded_once_a_minute(at):
    artifact = payload(at, "R17-1", b"1" * KB)
    accesses = Accesses(at.database, flush_seconds=3600)
    for _ in range(5):
        accesses.note(artifact, "alice", 10)
    accesses.note(artifact, "bob", 1)
    assert at.rows("SELECT last_accessed_at FROM staged_artifacts") == [(None,)]
    accesses.close()
    assert at.rows("SELECT caller, hits, bytes FROM artifact_accesses ORDER BY caller") == [
        ("alice", 5, 50),
        ("bob", 1, 1),
    ]
    assert at.rows("SELECT last_accessed_at > staged_at FROM staged_artifacts") == [(True,)]


def test_a_read_does_not_wait_for_the_lock_holder(at):
    artifact = payload(at, "R17-1", b"1" * KB)
    accesses = Accesses(at.database, flush_seconds=3600)
    accesses.note(artifact, "alice", 10)
    with at.database.begin() as conn:
        conn.execute(text("UPDATE staged_artifacts SET attempt = attempt"))
        accesses.close()
    assert at.rows("SELECT hits FROM artifact_accesses") == [(1,)]
