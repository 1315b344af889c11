"""Waits for an archive during its upload, on a real PostgreSQL and a folder."""

import threading
from collections.abc import Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest

from staging_api.db.engine import Database
from staging_api.errors import (
    ArchiveNotFound,
    ArtifactNotFound,
    Cancelled,
    StagingApiError,
    Unavailable,
    UploadWaitOver,
)
from staging_api.sources.model import Names, Source, SourceObject
from staging_api.staging.model import Staging
from staging_api.staging.resuming import resume
from staging_api.staging.uploads import UploadTerms
from tests.factories import ORIGIN
from tests.service import eventually
from tests.stagings import Bench, bench, packed

SUITES = packed({"suites/control": b"control"})


@dataclass
class Looks:
    """Counts the looks at an archive, and lets a test wait for one."""

    count: int = 0
    changed: threading.Condition = field(default_factory=threading.Condition)

    def watched(self, source: Source) -> Source:
        looks = self

        class Watched:
            def names(self) -> Names:
                try:
                    return source.names()
                finally:
                    looks.note()

            def stat(self, name: str) -> SourceObject:
                try:
                    return source.stat(name)
                except ArchiveNotFound:
                    looks.note()
                    raise

            def __getattr__(self, name: str) -> Any:
                return getattr(source, name)

        return Watched()

    def note(self) -> None:
        with self.changed:
            self.count += 1
            self.changed.notify_all()

    def wait_for(self, count: int) -> None:
        with self.changed:
            assert self.changed.wait_for(lambda: self.count >= count, 20)


@contextmanager
def waiting_bench(
    database: Database, url: str, folder: Path, looks: Looks, **terms: Any
) -> Iterator[Bench]:
    uploads = UploadTerms(**{"wait_seconds": 30.0, "poll_seconds": 0.1, **terms})
    with bench(database, url, folder, uploads=uploads, opened=looks.watched) as made:
        yield made


@pytest.fixture
def looks() -> Looks:
    return Looks()


@pytest.fixture
def at(database, database_url, tmp_path, looks):
    with waiting_bench(database, database_url, tmp_path, looks) as made:
        yield made


@pytest.fixture
def pool() -> Iterator[ThreadPoolExecutor]:
    with ThreadPoolExecutor(4) as made:
        yield made


def begin(pool: ThreadPoolExecutor, at: Bench, url: str, *artifacts: str) -> "Future[Staging]":
    return pool.submit(at.service.stage, at.service.check_request(url, artifacts), ORIGIN)


def upload(at: Bench, name: str, content: bytes, build: str = "R17-1") -> None:
    """Create an object at once with its whole content, as an object store does."""
    folder = at.builds / "board" / build
    folder.mkdir(parents=True, exist_ok=True)
    (at.builds / "on-its-way").write_bytes(content)
    (at.builds / "on-its-way").rename(folder / name)


def test_a_request_waits_until_everything_is_listed(at, looks, pool):
    url = at.build(payload_bin=b"payload")
    answer = begin(pool, at, url)
    looks.wait_for(3)
    assert at.rows("SELECT state, waiting_for FROM stagings") == [("running", ["suites"])]
    upload(at, "suites.tgz", SUITES)
    assert answer.result().state == "foreground_staged"
    assert at.rows("SELECT waiting_for FROM stagings") == [(None,)]


def test_uploaded_artifacts_are_staged_before_the_wait(at, looks, pool):
    url = at.build(suites_tgz=SUITES)
    answer = begin(pool, at, url)
    looks.wait_for(3)
    states = dict(at.rows("SELECT name, state FROM staged_artifacts"))
    assert (states["payload"], states["suites"]) == ("pending", "staged")
    upload(at, "payload.bin", b"payload")
    assert answer.result().state == "foreground_staged"


def test_an_absent_archive_is_refused_at_once(at, looks):
    (at.builds / "board").mkdir()
    wanted = at.service.check_request(f"file://{at.builds}/board/R17-1", ())
    with pytest.raises(ArchiveNotFound):
        at.service.stage(wanted, ORIGIN)
    assert looks.count <= 2


def test_an_expected_archive_is_waited_for_while_it_is_absent(at, looks, pool):
    wanted = at.service.check_request(f"file://{at.builds}/board/R17-1", (), 25.0)
    answer = pool.submit(at.service.stage, wanted, ORIGIN)
    looks.wait_for(3)
    upload(at, "payload.bin", b"payload")
    upload(at, "suites.tgz", SUITES)
    assert answer.result().state == "foreground_staged"


def test_a_manifest_says_that_nothing_more_will_come(at, looks):
    url = at.build(payload_bin=b"payload", UPLOADED=b"payload.bin\n")
    with pytest.raises(ArtifactNotFound):
        at.stage(url)
    assert at.rows("SELECT upload_wait_began_at FROM stagings") == [(None,)]


def test_a_manifest_that_comes_without_the_artifact_ends_the_wait(at, looks, pool):
    answer = begin(pool, at, at.build(payload_bin=b"payload"))
    looks.wait_for(2)
    upload(at, "UPLOADED", b"payload.bin\n")
    assert isinstance(answer.exception(), ArtifactNotFound)


def test_an_upload_wait_that_times_out_fails_for_good(database, database_url, tmp_path, looks):
    with waiting_bench(database, database_url, tmp_path, looks, wait_seconds=0.3) as at:
        url = at.build(payload_bin=b"payload")
        with pytest.raises(UploadWaitOver):
            at.stage(url)
        rows = at.rows("SELECT state, error_code, waiting_for FROM stagings")
        assert rows == [("failed", "upload_wait_over", None)]


def test_a_worker_postpones_an_absent_artifact_and_blocks_no_thread(at, looks):
    url = at.build(payload_bin=b"payload")
    staging = at.service.queue(at.service.check_request(url, ()), ORIGIN)
    resume(at.service, staging, ORIGIN)
    assert at.rows(
        "SELECT name, state, attempt, next_attempt_at > created_at FROM staged_artifacts"
        " WHERE phase = 'foreground' ORDER BY name"
    ) == [("payload", "staged", 1, None), ("suites", "pending", 0, True)]
    assert at.service.find(staging.id).waiting_for == ("suites",)
    upload(at, "suites.tgz", SUITES)
    while not at.service.find(staging.id).final:
        resume(at.service, staging, ORIGIN)
    assert at.service.find(staging.id).state == "staged"


def test_a_worker_gives_up_when_the_time_is_over(database, database_url, tmp_path, looks):
    with waiting_bench(database, database_url, tmp_path, looks, wait_seconds=0.3) as at:
        staging = at.service.queue(
            at.service.check_request(at.build(payload_bin=b"payload"), ()), ORIGIN
        )
        while not at.service.find(staging.id).final:
            resume(at.service, staging, ORIGIN)
        assert at.rows("SELECT DISTINCT error_code FROM stagings") == [("upload_wait_over",)]


def test_a_resumed_upload_wait_has_the_remaining_time(at, looks):
    staging = at.service.queue(
        at.service.check_request(at.build(payload_bin=b"payload"), ()), ORIGIN
    )
    resume(at.service, staging, ORIGIN)
    # As if the first process had waited for an hour.
    at.tamper("UPDATE stagings SET upload_wait_began_at = upload_wait_began_at - interval '1 h'")
    at.tamper("UPDATE staged_artifacts SET next_attempt_at = NULL")
    resume(at.service, staging, ORIGIN)
    assert at.rows("SELECT error_code FROM stagings") == [("upload_wait_over",)]


def test_cancelling_ends_the_wait(at, looks, pool):
    answer = begin(pool, at, at.build(payload_bin=b"payload"))
    looks.wait_for(2)
    [(staging_id,)] = at.rows("SELECT id FROM stagings")
    at.service.cancel(staging_id, ORIGIN)
    assert isinstance(answer.exception(), Cancelled)
    assert at.service.find(staging_id).state == "cancelled"


def test_without_a_waiter_slot_a_worker_waits_instead(database, database_url, tmp_path, looks):
    full = threading.Semaphore(0)
    with waiting_bench(database, database_url, tmp_path, looks, waiter_slots=full) as at:
        url = at.build(payload_bin=b"payload")
        with pytest.raises(Unavailable):
            at.service.stage(at.service.check_request(url, ()), ORIGIN)
        assert at.rows("SELECT state FROM stagings") == [("running",)]
        upload(at, "suites.tgz", SUITES)
        [(staging_id,)] = at.rows("SELECT id FROM stagings")
        resume(at.service, at.service.find(staging_id), ORIGIN)
        assert at.service.find(staging_id).state == "staged"


def test_all_waiters_of_an_archive_share_one_poll(database, database_url, tmp_path, looks, pool):
    slow = {"poll_seconds": 3600.0, "wait_seconds": 2.0}
    with ExitStack() as pods:
        one, two = (
            pods.enter_context(waiting_bench(database, database_url, tmp_path, looks, **slow))
            for _ in range(2)
        )
        url = one.build(debug_txt=b"")
        answers = [begin(pool, one, url, "build"), begin(pool, two, url, "symbols")]
        assert all(isinstance(answer.exception(), UploadWaitOver) for answer in answers)
        [(polls, names)] = one.rows("SELECT polls, names FROM upload_polls")
        assert (polls, "debug.txt" in (names or ())) == (1, True)
    # Each request first lists the existing objects; after that one of them looks for both.
    assert looks.count == 3


def test_a_waiter_stages_what_another_waiter_polled(database, database_url, tmp_path, looks, pool):
    with ExitStack() as pods:
        one, two = (
            pods.enter_context(waiting_bench(database, database_url, tmp_path, looks))
            for _ in range(2)
        )
        url = one.build(readme_txt=b"")
        answers = [begin(pool, one, url, "payload"), begin(pool, two, url, "symbols")]
        looks.wait_for(4)
        upload(one, "debug.tgz", packed({"debug/breakpad/lib.sym": b"symbols"}))
        upload(one, "payload.bin", b"payload")
        assert [answer.result().state for answer in answers] == ["staged", "staged"]


@pytest.mark.parametrize("names", [["suites.tgz"], []], ids=["listed", "without a list"])
def test_a_waiter_goes_by_what_another_polled_until_its_own_poll_is_due(at, pool, names):
    url = at.build(payload_bin=b"payload")
    asked = at.service.check_request(url, ())
    # Another waiter has just found nothing; the next poll is due in two seconds.
    at.tamper(
        "INSERT INTO upload_polls (archive_url, next_poll_at, polled_at, names)"
        " VALUES (:url, clock_timestamp() + interval '2 s', clock_timestamp(), '{}')",
        url=asked.archive_url,
    )
    answer = pool.submit(at.service.stage, asked, ORIGIN)
    waiting = "SELECT 1 FROM stagings WHERE upload_wait_began_at IS NOT NULL"
    eventually(lambda: at.rows(waiting), "it does not wait")
    upload(at, "suites.tgz", SUITES)
    at.tamper(
        "UPDATE upload_polls SET next_poll_at = next_poll_at + interval '1 h', names = :names",
        names=names,
    )
    assert {each.name: each.state for each in answer.result().artifacts}["suites"] == "staged"


def test_a_source_that_fails_during_the_wait_fails_the_artifact(at, looks, pool):
    answer = begin(pool, at, at.build(payload_bin=b"payload"))
    looks.wait_for(2)
    upload(at, "UPLOADED", b"../evil\n")
    assert isinstance(answer.exception(), StagingApiError)
    assert at.rows("SELECT state, error_code FROM stagings") == [("failed", "archive_unsafe")]
