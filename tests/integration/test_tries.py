"""Attempts at an artifact: their number, their times, and the response to the caller meanwhile."""

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import pytest
from prometheus_client import REGISTRY

from staging_api.db.engine import Database
from staging_api.errors import SourceFailed, StagingApiError, Unavailable
from staging_api.sources.model import Names, Source, SourceObject
from staging_api.staging.resuming import resume
from staging_api.store.folder_store import FolderStore
from tests.factories import ORIGIN
from tests.stagings import Bench, bench

#: Seconds from the event that announces it to the next attempt.
PAUSES = """
    SELECT extract(epoch FROM a.next_attempt_at
        - (SELECT max(e.at) FROM staging_events e WHERE e.artifact_id = a.id))
    FROM staged_artifacts a WHERE a.name = 'suites'
"""


@dataclass
class Failing:
    """A source that fails to deliver one of its objects."""

    source: Source
    error: Exception
    name: str = "suites.tgz"

    @property
    def url(self) -> str:
        return self.source.url

    def names(self) -> Names:
        return self.source.names()

    def stat(self, name: str) -> SourceObject:
        return self.source.stat(name)

    @contextmanager
    def open(
        self, found: SourceObject, start: int = 0, end: int | None = None
    ) -> Iterator[Iterator[bytes]]:
        if found.name == self.name:
            raise self.error
        with self.source.open(found, start, end) as chunks:
            yield chunks

    def close(self) -> None:
        self.source.close()


@contextmanager
def failing(database: Database, url: str, folder: Path, error: Exception) -> Iterator[Bench]:
    with bench(database, url, folder, opened=lambda source: Failing(source, error)) as at:
        yield at


def attempts(outcome: str, artifact: str = "suites") -> float:
    labels = {"artifact": artifact, "outcome": outcome}
    return REGISTRY.get_sample_value("staging_artifacts_total", labels) or 0.0


def states(at: Bench) -> list[tuple[str, str, int]]:
    rows = at.rows("SELECT name, state, attempt FROM staged_artifacts ORDER BY name")
    return [(name, state, attempt) for name, state, attempt in rows]


def test_a_worker_tries_what_may_pass_five_times_each_after_a_longer_pause(
    database: Database, database_url: str, tmp_path: Path
) -> None:
    with failing(database, database_url, tmp_path, SourceFailed("it is away")) as at:
        before = attempts("source_failed")
        request = at.service.check_request(at.build(), ("payload", "suites"))
        staging = at.service.queue(request, ORIGIN)
        for attempt in range(1, 5):
            resume(at.service, at.service.find(staging.id), ORIGIN)
            assert states(at) == [("payload", "staged", 1), ("suites", "pending", attempt)]
            ((pause,),) = at.rows(PAUSES)
            # 5 s, doubled with each attempt, minus a random part of up to half.
            assert 2.5 * 2**attempt - 1 < pause < 5 * 2**attempt
            # The artifact is not due earlier.
            resume(at.service, at.service.find(staging.id), ORIGIN)
            assert states(at)[1] == ("suites", "pending", attempt)
            at.tamper("UPDATE staged_artifacts SET next_attempt_at = clock_timestamp()")
        resume(at.service, at.service.find(staging.id), ORIGIN)
        assert states(at) == [("payload", "staged", 1), ("suites", "failed", 5)]
        assert at.service.find(staging.id).state == "failed"
        assert attempts("source_failed") == before + 5


def test_what_a_client_waits_for_is_tried_once(
    database: Database, database_url: str, tmp_path: Path
) -> None:
    with failing(database, database_url, tmp_path, SourceFailed("it is away")) as at:
        with pytest.raises(SourceFailed):
            at.stage(at.build(), "payload", "suites")
        assert states(at) == [("payload", "staged", 1), ("suites", "failed", 1)]


def test_a_process_without_a_descriptor_left_says_when_to_come_back_and_fails_nothing(
    database: Database, database_url: str, tmp_path: Path
) -> None:
    with failing(database, database_url, tmp_path, MemoryError("no memory")) as at:
        with pytest.raises(Unavailable, match="short of resources to stage suites") as refused:
            at.stage(at.build(), "payload", "suites")
        assert refused.value.retry_after_seconds == 2
        assert states(at) == [("payload", "staged", 1), ("suites", "staging", 1)]


def test_a_surprise_fails_the_artifact_and_no_other(
    database: Database, database_url: str, tmp_path: Path
) -> None:
    with failing(database, database_url, tmp_path, ZeroDivisionError("a fault")) as at:
        with pytest.raises(StagingApiError, match="ZeroDivisionError while staging suites"):
            at.stage(at.build(), "payload", "suites")
        assert states(at) == [("payload", "staged", 1), ("suites", "failed", 1)]


def test_contents_that_are_gone_before_their_rows_are_written_are_fetched_again(
    database: Database, database_url: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with bench(database, database_url, tmp_path) as at:
        monkeypatch.setattr(FolderStore, "lacks", lambda _store, contents: set(contents))
        with pytest.raises(Unavailable, match="contents were removed") as refused:
            at.stage(at.build(), "payload")
        assert refused.value.retry_after_seconds == 1
        monkeypatch.undo()
        assert at.stage(at.build("R17-2"), "payload").state == "staged"
        staging = at.service.page(limit=2).items[1]
        resume(at.service, staging, ORIGIN)
        assert at.service.find(staging.id).state == "staged"


def test_a_staged_artifact_is_counted_with_its_time(
    database: Database, database_url: str, tmp_path: Path
) -> None:
    def counted(artifact: str) -> tuple[float, float]:
        name = "staging_artifact_seconds_count"
        timed = REGISTRY.get_sample_value(name, {"artifact": artifact}) or 0.0
        return attempts("staged", artifact), timed

    with bench(database, database_url, tmp_path) as at:
        (number, timed), other = counted("payload"), counted("suites")
        at.stage(at.build(), "payload")
        assert counted("payload") == (number + 1, timed + 1)
        assert counted("suites") == other
