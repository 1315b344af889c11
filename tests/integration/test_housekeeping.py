"""Housekeeping: each step and item runs by itself, beside stagings and without delaying them."""

import io
import json
import logging
import os
import random
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from prometheus_client import REGISTRY

from staging_api import logs
from staging_api.db import idempotency_rows
from staging_api.db.engine import Database
from staging_api.db.idempotency_rows import KeptResponse
from staging_api.errors import StagingApiError, StoreFailed, Unavailable
from staging_api.staging import reconcile
from staging_api.staging.duties import database_steps, store_steps
from staging_api.staging.housekeeping import Housekeeping, HousekeepingStep, StepResult
from staging_api.staging.repository import store_rows
from staging_api.staging.side_by_side import HELPERS
from staging_api.staging.upkeep import StoreTerms
from staging_api.staging.worker import Worker
from staging_api.store.folder_store import FolderStore
from tests.factories import ORIGIN
from tests.service import eventually
from tests.stagings import Bench, bench

TERMS = StoreTerms(idle_seconds=0, noted_seconds=0, busy_seconds=0, scrub_bytes_per_second=0)


@pytest.fixture
def at(database: Database, database_url: str, tmp_path: Path) -> Iterator[Bench]:
    with bench(database, database_url, tmp_path, store=TERMS) as made:
        yield made


def failures(step: str) -> float:
    name = "staging_housekeeping_failures_total"
    found = REGISTRY.get_sample_value(name, {"step": step})
    assert found is not None, "its series does not begin at 0"
    return found


def done_at(step: str) -> float | None:
    name = "staging_housekeeping_done_timestamp_seconds"
    return REGISTRY.get_sample_value(name, {"step": step})


def evicted(at: Bench, *names: str) -> list[str]:
    """Stage builds and evict them; return their digests, which are marked for deletion."""
    digests = []
    for name in names:
        (artifact,) = at.stage(at.build(name, payload_bin=name.encode()), "payload").artifacts
        at.service.artifacts.evict(artifact.id, ORIGIN)
        assert artifact.sha256 is not None
        digests.append(artifact.sha256)
    return digests


def blobs(at: Bench) -> set[str]:
    return {digest for (digest,) in at.rows("SELECT sha256 FROM blobs")}


def test_a_failing_step_is_counted_and_retried_while_other_steps_run() -> None:
    done = []

    def fails() -> None:
        raise ZeroDivisionError("not an error of ours")

    def passes_over() -> StepResult:
        done.append("items")
        return StepResult(failed=3)

    steps = [HousekeepingStep("bad", 1, fails), HousekeepingStep("items", 1, passes_over)]
    housekeeping = Housekeeping("test", steps)
    before = failures("bad"), failures("items")
    began = time.time()
    housekeeping.turn()
    assert done == ["items"]
    assert (failures("bad") - before[0], failures("items") - before[1]) == (1, 3)
    assert (done_at("bad") or 0.0) == 0.0
    assert began <= (done_at("items") or 0.0) <= time.time()


@pytest.mark.parametrize(("chosen", "least"), [(min, 0.75), (max, 1.0)])
def test_a_failing_step_is_tried_again_after_5_s_doubled_each_time_up_to_ten_minutes(
    monkeypatch: pytest.MonkeyPatch, chosen: Callable[[tuple[float, float]], float], least: float
) -> None:
    def fails() -> None:
        raise ZeroDivisionError("not an error of ours")

    monkeypatch.setattr(random, "uniform", lambda *bounds: chosen(bounds))
    step = HousekeepingStep("bad", 1, fails)
    keeping = Housekeeping("test", [step])
    for pause in (5, 10, 20, 40, 80, 160, 320, 600, 600):
        step.due_at, began = 0.0, time.monotonic()
        keeping.turn()
        assert began + least * pause <= step.due_at <= time.monotonic() + least * pause
    # For any number of failures: 2.0 ** 1024 would raise an error.
    step.due_at, step.failures = 0.0, 5000
    keeping.turn()
    assert step.failures == 5001


def test_a_step_that_is_done_begins_its_failures_anew() -> None:
    broken = [True]

    def may_fail() -> None:
        if broken:
            raise Unavailable("the database cannot be reached")

    step = HousekeepingStep("may fail", 60, may_fail)
    keeping = Housekeeping("test", [step])
    assert failures("may fail") == 0.0
    keeping.turn()
    broken.clear()
    step.due_at = 0.0
    keeping.turn()
    assert (step.failures, failures("may fail")) == (0, 1.0)
    assert time.monotonic() + 50 < step.due_at


def test_the_next_step_has_nothing_of_the_one_before_it_in_its_log_lines() -> None:
    log = logging.Logger("alone", logging.INFO)  # noqa: LOG001 - of this test alone
    log.addHandler(logging.StreamHandler(lines := io.StringIO()))
    log.handlers[0].setFormatter(logs.JsonLines())

    def begins() -> None:
        logs.bind_log_context(staging_id="one")
        log.info("begun")

    steps = [
        HousekeepingStep("begins", 1, begins),
        HousekeepingStep("other", 1, lambda: log.info("begun")),
    ]
    Housekeeping("test", steps).turn()
    ids = [json.loads(line)["staging_id"] for line in lines.getvalue().splitlines()]
    assert ids == ["one", None]


def test_an_end_waits_for_the_step_that_runs() -> None:
    began, done = threading.Event(), []

    def slow() -> None:
        began.set()
        threading.Event().wait(0.3)
        done.append(True)

    keeping = Housekeeping("test", [HousekeepingStep("slow", 60, slow)])
    keeping.start()
    assert began.wait(30)
    keeping.stop(30)
    assert done


def test_only_an_unexpected_error_is_logged_with_a_traceback(
    caplog: pytest.LogCaptureFixture,
) -> None:
    def finds_no_database() -> None:
        raise Unavailable("the database cannot be reached")

    def fails() -> None:
        raise ZeroDivisionError("not an error of ours")

    steps = [HousekeepingStep("database", 1, finds_no_database), HousekeepingStep("bad", 1, fails)]
    Housekeeping("test", steps).turn()
    foreseen, surprise = caplog.records
    assert "cannot be reached" in foreseen.getMessage()
    assert not foreseen.exc_info
    assert surprise.exc_info


def test_a_step_with_more_to_do_runs_again_after_the_other_steps() -> None:
    done: list[str] = []

    def slow(name: str) -> StepResult:
        done.append(name)
        return StepResult(more=len(done) < 5)

    keeping = Housekeeping(
        "test",
        [
            HousekeepingStep("a", 60, lambda: slow("a")),
            HousekeepingStep("b", 60, lambda: slow("b")),
        ],
    )
    keeping.start()
    eventually(lambda: len(done) >= 6, "the steps did not come again")
    keeping.stop(5)
    assert done[:6] == ["a", "b"] * 3


def test_a_worker_dispatches_while_its_housekeeping_hangs(at: Bench, monkeypatch) -> None:
    hangs, released = threading.Event(), threading.Event()

    def hang(_store: FolderStore, _older: float) -> None:
        hangs.set()
        released.wait(30)

    monkeypatch.setattr(FolderStore, "sweep", hang)
    worker = Worker(at.service, jobs=1)
    running = threading.Thread(target=worker.run)
    running.start()
    try:
        assert hangs.wait(10)
        staging = at.service.queue(at.service.check_request(at.build(), ("payload",)), ORIGIN)
        eventually(lambda: at.service.find(staging.id).state == "staged", "it was not dispatched")
    finally:
        released.set()
        worker.stop()
        running.join(20)
    assert not running.is_alive()


def test_duties_with_nothing_to_do_count_no_failure(at: Bench, monkeypatch) -> None:
    steps = [*database_steps(at.service), *store_steps(at.service)]
    # As if each part of the store had been compared recently, too.
    for shard in (None, "00"):
        claimed = "staging_api.staging.repository.check_rows.claim_shard"
        monkeypatch.setattr(claimed, lambda *_, shard=shard: shard)
        results = {step.name: step.run() for step in steps}
        assert results["comparison"] is not None
        assert [name for name, result in results.items() if result and result.failed] == []


@pytest.mark.parametrize("name", [".nfs0000001", "lost+found", "A" * 64, "é", "ab" * 31])
def test_a_file_with_a_foreign_name_in_a_shard_is_ignored(at: Bench, name: str) -> None:
    (marked,) = evicted(at, "R17-1")
    shard = at.store / "sha256" / marked[:2]
    (shard / name).write_bytes(b"?")
    os.utime(shard / name, (1, 1))
    found = reconcile.check(at.service.upkeep, marked[:2])
    assert (found.files, found.orphans) == (1, ())
    for each in store_steps(at.service):
        each.run()
    assert (shard / name).exists()
    assert blobs(at) == set()


def test_a_blob_that_cannot_be_removed_is_passed_over_and_tried_again_later(
    at: Bench, monkeypatch
) -> None:
    stuck, goes = evicted(at, "R17-1", "R17-2")
    remove = FolderStore.remove

    def unremovable(store: FolderStore, sha256: str) -> None:
        if sha256 == stuck:
            raise StoreFailed("it is immutable")
        remove(store, sha256)

    monkeypatch.setattr(FolderStore, "remove", unremovable)
    turn = at.service.upkeep.collect_some()
    assert (turn.removed, turn.failed) == (1, 1)
    assert blobs(at) == {stuck}
    # The item is put off, not retried at once: items that are marked after it come first.
    assert at.service.upkeep.collect_some().claimed == 0
    assert goes not in {path.name for path in (at.store / "sha256").glob("*/*")}
    monkeypatch.undo()
    at.tamper("UPDATE blobs SET doomed_at = clock_timestamp()")
    assert at.service.upkeep.collect() == 1
    assert at.service.upkeep.space().used == 0


@pytest.mark.parametrize("kind", ["folder", "full folder", "link", "fifo"])
def test_a_folder_at_the_name_of_a_blob_does_not_stop_its_removal(at: Bench, kind: str) -> None:
    (marked, other) = evicted(at, "R17-1", "R17-2")
    path = at.store / "sha256" / marked[:2] / marked
    path.unlink()
    if kind == "link":
        path.symlink_to("/etc/passwd")
    elif kind == "fifo":
        os.mkfifo(path)
    else:
        path.mkdir()
    if kind == "full folder":
        (path / "something").touch()
    assert at.service.upkeep.collect() == 2
    assert blobs(at) == set()
    assert not os.path.lexists(path)
    assert other


def test_no_transaction_is_open_during_a_request_to_the_store(at: Bench, monkeypatch) -> None:
    evicted(at, "R17-1")
    open_transactions = []

    def look(_store: FolderStore, digests: object) -> dict[str, StagingApiError]:
        (row,) = at.rows(
            "SELECT count(*) FROM pg_stat_activity WHERE datname = current_database()"
            " AND state LIKE 'idle in transaction%'"
        )
        open_transactions.append(row[0])
        return {}

    monkeypatch.setattr(FolderStore, "remove_all", look)
    assert at.service.upkeep.collect() == 1
    assert open_transactions == [0]


def test_no_transaction_is_open_while_the_store_is_searched(at: Bench, monkeypatch) -> None:
    open_transactions = []

    def look(_store: FolderStore, contents: object) -> set[str]:
        (row,) = at.rows(
            "SELECT count(*) FROM pg_stat_activity WHERE datname = current_database()"
            " AND state LIKE 'idle in transaction%'"
        )
        open_transactions.append(row[0])
        return set()

    monkeypatch.setattr(FolderStore, "lacks", look)
    # One artifact after another, as each has transactions.
    for _ in range(HELPERS):
        at.service.helpers.acquire()
    assert at.stage(at.build(), "payload", "suites").state == "staged"
    assert set(open_transactions) == {0}


def test_a_content_is_not_named_while_it_is_removed_and_can_be_afterwards(
    at: Bench, monkeypatch
) -> None:
    (marked,) = evicted(at, "R17-1")
    again = at.build("R17-2", payload_bin=b"R17-1")
    other = at.build("R17-3", payload_bin=b"other")
    remove_all = FolderStore.remove_all

    def meanwhile(store: FolderStore, digests: list[str]) -> dict[str, StagingApiError]:
        with pytest.raises(Unavailable):
            at.stage(again, "payload")
        assert at.stage(other, "payload").state == "staged"
        return remove_all(store, digests)

    monkeypatch.setattr(FolderStore, "remove_all", meanwhile)
    assert at.service.upkeep.collect() == 1
    monkeypatch.undo()
    staging = at.stage(again, "payload")
    assert (staging.state, staging.artifacts[0].sha256) == ("staged", marked)
    assert at.service.blobs.has(marked, 5)


def test_the_claim_of_a_dead_collector_expires(at: Bench) -> None:
    (marked,) = evicted(at, "R17-1")
    with at.database.begin() as conn:
        assert store_rows.claim_marked(conn, 10, 60.0) == [marked]
    assert at.service.upkeep.collect() == 0
    at.tamper("UPDATE blobs SET removing_until = clock_timestamp() - interval '1 s'")
    assert at.service.upkeep.collect() == 1


def test_a_killed_collector_delays_a_staging_for_seconds_only(at: Bench, monkeypatch) -> None:
    (marked,) = evicted(at, "R17-1")
    again = at.build("R17-2", payload_bin=b"R17-1")

    def killed(_store: FolderStore, digests: object) -> dict[str, StagingApiError]:
        raise KeyboardInterrupt

    monkeypatch.setattr(FolderStore, "remove_all", killed)
    with pytest.raises(KeyboardInterrupt):
        at.service.upkeep.collect()
    monkeypatch.undo()
    with pytest.raises(Unavailable):
        at.stage(again, "payload")
    claims = "SELECT removing_until - clock_timestamp() <= interval '10 s' FROM blobs"
    assert at.rows(f"{claims} WHERE sha256 = :d", d=marked) == [(True,)]
    at.tamper("UPDATE blobs SET removing_until = clock_timestamp() WHERE sha256 = :d", d=marked)
    assert at.stage(again, "payload").state == "staged"


def test_partitions_are_created_although_other_steps_fail(at: Bench, monkeypatch) -> None:
    monkeypatch.setattr(
        "staging_api.locks.store.record_expired", lambda *_: (_ for _ in ()).throw(ValueError("x"))
    )
    steps = database_steps(at.service)
    Housekeeping("test", steps).turn()
    failed = {step.name for step in steps if step.failures}
    assert failed == {"expired locks"}


def test_responses_to_idempotency_keys_are_deleted_after_a_day(at: Bench) -> None:
    response = KeptResponse("0" * 64, 201, {}, b"{}")
    minutes = {"younger": 24 * 60 - 1, "older": 24 * 60 + 1}
    with at.database.begin() as conn:
        for key in minutes:
            idempotency_rows.keep(conn, "tester", key, response)
    aged = (
        "UPDATE idempotency_keys SET created_at = created_at - make_interval(mins => :age)"
        " WHERE key = :key"
    )
    for key, age in minutes.items():
        at.tamper(aged, key=key, age=age)
    (step,) = (s for s in database_steps(at.service) if s.name == "responses to Idempotency-Keys")
    step.run()
    assert at.rows("SELECT key FROM idempotency_keys") == [("younger",)]
