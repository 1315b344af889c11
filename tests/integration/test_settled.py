"""Finished stagings: no work is left, and their recorded results do not change."""

from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from pathlib import Path

import pytest
from sqlalchemy import text
from sqlalchemy.exc import DBAPIError

from staging_api.db.engine import Database
from staging_api.errors import ArchiveNotFound, ArtifactNotFound
from staging_api.locks.hold import RequestOrigin, hold
from staging_api.locks.model import ARCHIVE
from staging_api.staging.audit import verify
from staging_api.staging.model import Staging
from staging_api.staging.repository import reading, space_rows, staging_rows
from staging_api.staging.resuming import resume
from staging_api.staging.uploads import UploadTerms
from tests.factories import ORIGIN
from tests.rows import execute, states
from tests.stagings import Bench, bench, packed

OTHER = replace(ORIGIN, caller="another")
THIRD = replace(ORIGIN, caller="third")


@pytest.fixture
def at(database: Database, database_url: str, tmp_path: Path) -> Iterator[Bench]:
    with bench(database, database_url, tmp_path) as made:
        yield made


def outcomes(staging: Staging) -> dict[str, tuple[str, str | None]]:
    """Return state and error of each artifact, as shown by the staging."""
    return {a.name: (a.state, a.failure.code if a.failure else None) for a in staging.artifacts}


def unsettled(at: Bench) -> list[tuple[object, ...]]:
    """Return the artifacts of finished stagings that still need work."""
    return at.rows(
        "SELECT a.name, a.state FROM staged_artifacts a JOIN stagings s ON s.id = a.staging_id"
        " WHERE a.state IN ('pending', 'staging') AND s.finished_at IS NOT NULL"
    )


def work(at: Bench) -> None:
    """Run a worker's duties until nothing is due."""
    while due := due_ids(at):
        for staging_id in due:
            resume(at.service, at.service.find(staging_id), replace(ORIGIN, caller="worker"))


def due_ids(at: Bench) -> list[str]:
    with at.database.connect() as conn:
        return [turn.staging_id for turn in reading.due(conn, each=10)]


def ask(at: Bench, url: str, *names: str, caller: RequestOrigin = ORIGIN) -> Staging:
    """Queue a staging for a worker."""
    return at.service.queue(at.service.check_request(url, names), caller)


def test_an_absent_object_does_not_stop_the_other_artifacts(at):
    url = at.build(suites_tgz=packed({"suites/control": b"x"}), notes_txt=b"notes")
    other = at.build("R17-2")
    with pytest.raises(ArtifactNotFound):
        at.service.stage(at.service.check_request(url, ("build", "symbols")), ORIGIN)
    [staging] = at.rows("SELECT id, state, error_code FROM stagings")
    assert staging[1:] == ("failed", "artifact_not_found")
    assert outcomes(at.service.find(staging[0])) == {
        "payload": ("failed", "artifact_not_found"),
        "suites": ("staged", None),
        "notes": ("staged", None),
        "symbols": ("failed", "artifact_not_found"),
    }
    assert (unsettled(at), due_ids(at)) == ([], [])
    assert at.stage(other).state == "staged"


def test_of_an_absent_archive_each_artifact_has_its_own_error_and_the_queue_is_empty(at):
    url = at.build().replace("R17-1", "R17-9")
    with pytest.raises(ArchiveNotFound):
        at.service.stage(at.service.check_request(url, ()), ORIGIN)
    [(staging_id,)] = at.rows("SELECT id FROM stagings")
    assert set(outcomes(at.service.find(staging_id)).values()) == {("failed", "archive_not_found")}
    with at.database.connect() as conn:
        assert reading.queue(conn) == {}
    at.service.cancel(staging_id, ORIGIN)
    assert unsettled(at) == []


def test_a_request_that_joined_a_failed_staging_gets_its_artifacts(at):
    url = at.build(suites_tgz=packed({"suites/control": b"x"}))
    first = ask(at, url, "payload", "suites")
    at.service.queue_behind(at.service.check_request(url, ("suites",)), OTHER)
    work(at)
    assert at.service.find(first.id).state == "failed"
    assert states(at.database, url) == {"payload": "failed", "suites": "staged"}


def test_a_cancelled_staging_is_continued_for_requests_that_joined_it(at):
    url, other = at.build(), at.build("R17-2")
    first, beside = ask(at, url, "payload", "suites"), ask(at, other, "payload")
    at.service.queue_behind(at.service.check_request(url, ("suites",)), OTHER)
    at.service.cancel(first.id, ORIGIN)
    shown = at.service.find(first.id)
    assert shown.state == "cancelled"
    assert outcomes(shown) == {
        "payload": ("failed", "cancelled"),
        "suites": ("failed", "cancelled"),
    }
    carried = at.rows(
        "SELECT caller, state, requested FROM stagings WHERE archive_url = :u AND id <> :id",
        u=url,
        id=first.id,
    )
    assert carried == [("another", "queued", ["suites"])]
    assert at.service.find(beside.id).state == "queued"
    work(at)
    assert states(at.database, url) == {"payload": "failed", "suites": "staged"}
    [suites] = [a for a in at.service.find(first.id).artifacts if a.name == "suites"]
    assert suites.state == "failed"
    assert suites.brought_since_by is not None
    assert verify(at.database).breaks == ()


def test_a_cancelled_staging_gives_up_its_growing_file_and_no_other(at):
    cancelled, beside = ask(at, at.build(), "payload"), ask(at, at.build("R17-2"), "payload")
    at.tamper(
        "INSERT INTO growing_files (artifact_id, attempt, file, bytes_done)"
        " SELECT id, 1, 'parts/' || id, 0 FROM staged_artifacts"
    )
    at.service.cancel(cancelled.id, ORIGIN)
    growing = at.rows(
        "SELECT a.staging_id FROM growing_files g JOIN staged_artifacts a ON a.id = g.artifact_id"
    )
    assert growing == [(beside.id,)]


def test_artifacts_of_a_cancelled_staging_go_to_another_staging_of_them(at):
    url = at.build()
    first = ask(at, url, "payload", "suites")
    second = ask(at, url, "suites", "symbols", caller=OTHER)
    third = ask(at, url, "payload", caller=THIRD)
    at.service.cancel(third.id, THIRD)
    at.service.cancel(second.id, OTHER)
    assert unsettled(at) == []
    work(at)
    assert at.service.find(first.id).state == "staged"
    assert states(at.database, url) == {
        "payload": "staged",
        "suites": "staged",
        "symbols": "failed",
    }


def test_an_artifact_cancelled_in_work_goes_on_for_another_staging(at):
    url = at.build()
    first = ask(at, url, "payload", "suites")
    second = ask(at, url, "payload", caller=OTHER)
    with at.database.begin() as conn:
        staging_rows.request_cancel(conn, second.id)
    [due] = [i for i in due_ids(at) if i == second.id]
    resume(at.service, at.service.find(due), OTHER)
    assert outcomes(at.service.find(second.id)) == {"payload": ("failed", "cancelled")}
    work(at)
    assert at.service.find(first.id).state == "staged"


def test_a_request_with_a_short_upload_wait_does_not_fail_one_with_a_longer(
    database, database_url, tmp_path
):
    terms = UploadTerms(wait_seconds=60, poll_seconds=0.01)
    with bench(database, database_url, tmp_path, uploads=terms) as at:
        url = at.build().replace("R17-1", "R17-9")
        first = ask(at, url, "payload")
        at.service.queue_behind(at.service.check_request(url, ("payload",), 60), OTHER)
        for staging_id in due_ids(at):
            resume(at.service, at.service.find(staging_id), ORIGIN)
        resume(at.service, at.service.find(first.id), ORIGIN)
        assert outcomes(at.service.find(first.id)) == {"payload": ("failed", "archive_not_found")}
        [(waiting,)] = at.rows("SELECT id FROM stagings WHERE finished_at IS NULL")
        assert outcomes(at.service.find(waiting)) == {"payload": ("pending", None)}
        at.build("R17-9")
        execute(at.database, "UPDATE staged_artifacts SET next_attempt_at = NULL")
        work(at)
        assert at.service.find(waiting).state == "staged"
        assert at.service.find(first.id).state == "failed"


def test_a_finished_staging_keeps_its_own_error_when_another_brings_it(at):
    url = at.build(suites_tgz=packed({"suites/control": b"x"}))
    with pytest.raises(ArtifactNotFound):
        at.service.stage(at.service.check_request(url, ("payload", "suites")), ORIGIN)
    [(first_id,)] = at.rows("SELECT id FROM stagings")
    before = at.service.find(first_id)
    (at.builds / "board" / "R17-1" / "payload.bin").write_bytes(b"late")
    second = at.stage(url, "payload")
    after = at.service.find(first_id)
    assert outcomes(after) == outcomes(before)
    assert {a.name: a.brought_since_by for a in after.artifacts} == {
        "payload": second.id,
        "suites": None,
    }
    assert after.tag != before.tag
    assert (second.state, outcomes(second)) == ("staged", {"payload": ("staged", None)})


def test_an_eviction_is_shown_and_changes_the_tag(at):
    url = at.build()
    staging = at.stage(url, "payload", "suites")
    tags = [staging.tag]
    [payload] = [a for a in staging.artifacts if a.name == "payload"]
    at.service.artifacts.evict(payload.id, ORIGIN)
    shown = at.service.find(staging.id)
    tags.append(shown.tag)
    assert outcomes(shown) == {"payload": ("evicted", None), "suites": ("staged", None)}
    again = at.stage(url, "payload")
    shown = at.service.find(staging.id)
    tags.append(shown.tag)
    assert [a.brought_since_by for a in shown.artifacts] == [again.id, None]
    assert len(set(tags)) == 3
    assert at.service.nothing_left(at.service.check_request(url, ("payload", "suites"))) is not None


def test_an_entry_removed_from_the_catalogue_fails_alone(at):
    url = at.build()
    staging = ask(at, url, "payload", "suites")
    execute(
        at.database,
        "UPDATE stagings SET requested = '{payload,suites,gone}'",
    )
    execute(
        at.database,
        "INSERT INTO staged_artifacts (id, staging_id, archive_url, name, lock_kind, phase, state,"
        " path) VALUES ('01ARZ3NDEKTSV4RRFFQ69G5FAV', :s, :u, 'gone', 'archive', 'foreground',"
        " 'pending', 'x')",
        s=staging.id,
        u=url,
    )
    work(at)
    assert outcomes(at.service.find(staging.id)) == {
        "payload": ("staged", None),
        "suites": ("staged", None),
        "gone": ("failed", "invalid_request"),
    }


def test_a_cancellation_during_the_work_of_another_is_done_afterwards(at):
    first = ask(at, at.build(), "payload")
    # A hold belongs to its thread: the request to cancel comes from another thread.
    with hold(at.service.locks, ARCHIVE, first.archive_url, OTHER), ThreadPoolExecutor() as pool:
        assert pool.submit(at.service.cancel, first.id, ORIGIN).result().state == "queued"
    work(at)
    shown = at.service.find(first.id)
    assert (shown.state, outcomes(shown)) == ("cancelled", {"payload": ("failed", "cancelled")})


def test_a_row_cannot_be_opened_again_for_a_finished_staging(at):
    staging = at.stage(at.build(), "payload")
    with pytest.raises(DBAPIError, match="which is finished"), at.database.begin() as conn:
        conn.execute(
            text("UPDATE staged_artifacts SET state = 'pending' WHERE staging_id = :id"),
            {"id": staging.id},
        )


def test_inconsistent_rows_of_older_versions_are_repaired(at):
    url, other = at.build(), at.build("R17-2")
    left, wanted_too = ask(at, url, "payload", "suites"), ask(at, url, "suites", caller=OTHER)
    beside = ask(at, other, "payload")
    at.tamper(
        "UPDATE stagings SET state = 'failed', finished_at = clock_timestamp(), error_code = 'x',"
        " error_message = 'gone' WHERE id = :id",
        id=left.id,
    )
    at.tamper(
        "UPDATE staged_artifacts SET staging_id = :id WHERE archive_url = :u", id=left.id, u=url
    )
    assert len(unsettled(at)) == 2
    with at.database.begin() as conn:
        conn.execute(
            text("SELECT staging_hand_over(s) FROM stagings s WHERE s.id = :id"), {"id": left.id}
        )
    assert unsettled(at) == []
    assert states(at.database, url) == {"payload": "failed", "suites": "pending"}
    work(at)
    assert at.service.find(wanted_too.id).state == "staged"
    assert at.service.find(beside.id).state == "staged"


def test_artifacts_of_an_unfinished_staging_are_not_evicted_for_space(at):
    url = at.build()
    at.stage(url, "payload")
    unfinished = ask(at, url, "payload", "suites")

    def idle() -> list[str]:
        with at.database.connect() as conn:
            return [each.name for each in space_rows.idle_artifacts(conn, 0, None, 10)]

    assert idle() == []
    work(at)
    assert at.service.find(unfinished.id).state == "staged"
    assert idle() == ["payload", "suites"]
