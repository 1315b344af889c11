"""Record of events on a real PostgreSQL: complete, chained, and protected against tampering."""

import json
import threading
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest
from sqlalchemy import text

from staging_api.cli import main
from staging_api.db.engine import Database
from staging_api.errors import ArtifactNotFound
from staging_api.locks.hold import guarded, hold
from staging_api.locks.model import ARCHIVE
from staging_api.staging.audit import verify
from staging_api.staging.repository import artifact_rows, event_rows, staging_rows
from staging_api.staging.side_by_side import HELPERS
from tests.factories import ORIGIN
from tests.rows import refused_by_database
from tests.stagings import Bench, bench


@pytest.fixture
def at(database: Database, database_url: str, tmp_path: Path):
    with bench(database, database_url, tmp_path) as made:
        yield made


def shown(at: Bench, staging_id: str) -> list[tuple[str | None, ...]]:
    """Return the events of a staging as short tuples."""
    with at.database.connect() as conn:
        events = event_rows.events_of(conn, staging_id, 0, 1000)
    return [(event.name, event.from_state, event.to_state) for event in events]


def found(at: Bench) -> list[str]:
    """Return the faults found in the record."""
    return [one.what for one in verify(at.database).breaks]


def test_every_change_of_state_is_an_event_in_order(at):
    # One artifact after another, so that their order is known.
    for _ in range(HELPERS):
        at.service.helpers.acquire()
    staging = at.stage(at.build())
    assert shown(at, staging.id) == [
        (None, None, "queued"),
        ("payload", None, "pending"),
        ("suites", None, "pending"),
        ("notes", None, "pending"),
        (None, "queued", "running"),
        ("payload", "pending", "staging"),
        ("payload", "staging", "staged"),
        ("suites", "pending", "staging"),
        ("suites", "staging", "staged"),
        (None, "running", "foreground_staged"),
        ("notes", "pending", "staging"),
        ("notes", "staging", "missing"),
        (None, "foreground_staged", "staged"),
    ]


def test_an_event_names_who_did_it_and_under_which_grant(at):
    staging = at.stage(at.build())
    who = at.rows(
        "SELECT DISTINCT e.actor, e.holder, e.fence = l.fence, l.outcome"
        " FROM staging_events e JOIN api_locks l ON l.id = e.lock_id"
    )
    assert who == [("tester", "this-process", True, "released")]
    assert at.rows("SELECT count(*) FROM staging_events WHERE lock_id IS NULL") == [(0,)]
    assert staging.final


def test_a_failure_and_its_retry_are_events(at):
    url = at.build(payload_bin=b"payload")
    with pytest.raises(ArtifactNotFound):
        at.stage(url)
    codes = at.rows(
        "SELECT name, code FROM staging_events WHERE to_state = 'failed' ORDER BY number"
    )
    assert codes == [("suites", "artifact_not_found"), (None, "artifact_not_found")]


def test_a_request_to_cancel_and_an_eviction_name_their_actor(at):
    url = at.build()
    queued = at.service.queue(at.service.check_request(url, ()), ORIGIN)
    at.service.cancel(queued.id, ORIGIN)
    staged = at.stage(url)
    at.service.artifacts.evict(staged.artifacts[0].id, ORIGIN)
    assert at.rows(
        "SELECT kind, actor, code FROM staging_events"
        " WHERE kind = 'cancel_requested' OR to_state = 'evicted' ORDER BY id"
    ) == [("cancel_requested", "tester", None), ("artifact", "tester", "asked")]


def test_a_change_by_hand_is_an_event_with_the_role_that_made_it(at):
    staging = at.stage(at.build())
    with at.database.begin() as conn:
        conn.execute(text("UPDATE staged_artifacts SET attempt = 7 WHERE name = 'payload'"))
    with at.database.connect() as conn:
        newest = event_rows.events_of(conn, staging.id, 0, 1000)[-1]
    assert newest.actor.startswith("database role ")
    assert newest.lock_id is None


def test_a_change_that_is_rolled_back_leaves_no_event(at):
    staging = at.stage(at.build())
    before = shown(at, staging.id)
    with at.database.transactions.connect() as conn, conn.begin() as begun:
        conn.execute(text("UPDATE staged_artifacts SET attempt = 7"))
        begun.rollback()
    assert shown(at, staging.id) == before
    assert found(at) == []


def test_an_untouched_record_is_whole(at):
    for number in range(3):
        at.stage(at.build(f"R17-{number}"))
    verdict = verify(at.database)
    assert (verdict.stagings, verdict.events, verdict.breaks) == (3, 39, ())


@pytest.mark.parametrize(
    "statement",
    [
        "UPDATE staging_events SET message = 'x'",
        "DELETE FROM staging_events",
        "TRUNCATE staging_events",
        "TRUNCATE staging_events_other",
    ],
)
def test_events_cannot_be_changed_or_removed(at, statement):
    at.stage(at.build())
    with refused_by_database("append-only"), at.database.begin() as conn:
        conn.execute(text(statement))


@pytest.mark.parametrize(
    ("statement", "what"),
    [
        ("UPDATE staging_events SET actor = 'nobody' WHERE number = 4", "altered"),
        ("UPDATE staging_events SET at = at + interval '1 us' WHERE number = 4", "altered"),
        ("UPDATE staging_events SET detail = '{}' WHERE number = 7", "altered"),
        ("DELETE FROM staging_events WHERE number = 4", "event 4 is gone"),
        ("DELETE FROM staging_events WHERE number = 1", "event 1 is gone"),
        ("DELETE FROM staging_events WHERE number = 13", "newest events"),
        ("DELETE FROM staging_events", "newest events"),
        ("DELETE FROM stagings", "row of the staging is missing"),
        ("UPDATE stagings SET events_count = 0, events_digest = NULL", "not even that it was made"),
        (
            "UPDATE stagings SET state = 'cancelled', cancel_requested_at = now()",
            "its events say staged",
        ),
        (
            "UPDATE staged_artifacts SET state = 'failed', staged_at = NULL, error_code = 'x'",
            "newest event says",
        ),
        (
            "UPDATE staged_artifacts SET sha256 = repeat('0', 64) WHERE sha256 IS NOT NULL",
            "newest event says",
        ),
    ],
)
def test_tampering_past_the_triggers_is_found(at, statement, what):
    at.stage(at.build())
    at.tamper(statement)
    assert any(what in one for one in found(at)), found(at)


def test_an_altered_event_whose_digest_was_made_to_fit_breaks_the_next_link(at):
    at.stage(at.build())
    at.tamper("UPDATE staging_events SET actor = 'nobody' WHERE number = 4")
    at.tamper(
        "UPDATE staging_events e SET digest = staging_event_digest(e) WHERE number = 4",
    )
    assert found(at) == ["it does not follow from the event before it"]


def test_a_chain_computed_anew_as_a_whole_is_found_by_a_head_kept_elsewhere(at):
    at.stage(at.build())
    kept = verify(at.database).head
    at.tamper("UPDATE staging_events SET actor = 'nobody' WHERE number = 13")
    at.tamper("UPDATE staging_events e SET digest = staging_event_digest(e) WHERE number = 13")
    at.tamper(
        "UPDATE stagings s SET events_digest = e.digest FROM staging_events e"
        " WHERE e.staging_id = s.id AND e.number = 13"
    )
    again = verify(at.database)
    assert again.breaks == ()
    assert again.head != kept


def test_the_head_of_a_time_that_is_over_stays(at):
    url = at.build()
    staging = at.stage(url)
    [(moment,)] = at.rows("SELECT clock_timestamp()")
    kept = verify(at.database, until=moment).head
    at.service.artifacts.evict(staging.artifacts[0].id, ORIGIN)
    at.stage(at.build("R17-2"))
    assert verify(at.database, until=moment).head == kept


def test_only_stagings_of_the_given_time_are_looked_at(at):
    at.stage(at.build())
    [(moment,)] = at.rows("SELECT clock_timestamp()")
    at.tamper("UPDATE staging_events SET actor = 'nobody' WHERE number = 4")
    at.stage(at.build("R17-2"))
    assert len(verify(at.database, until=moment).breaks) == 1
    assert verify(at.database, since=moment).breaks == ()


def test_writers_under_locks_of_two_kinds_make_one_chain(at):
    url = at.build()
    both = at.service.queue(at.service.check_request(url, ("build", "symbols")), ORIGIN)
    [build] = at.rows("SELECT id FROM staged_artifacts WHERE name = 'payload'")
    [symbols] = at.rows("SELECT id FROM staged_artifacts WHERE name = 'symbols'")
    start = threading.Barrier(2)

    def change(artifact_id: str) -> None:
        start.wait()
        for _ in range(50):
            with at.database.begin() as conn:
                conn.execute(
                    text("UPDATE staged_artifacts SET attempt = attempt + 1 WHERE id = :id"),
                    {"id": artifact_id},
                )
                staging_rows.settle(conn, url)

    with ThreadPoolExecutor(2) as pool:
        list(pool.map(change, [build[0], symbols[0]]))
    verdict = verify(at.database)
    # Events: queued, four artifacts, running; then the hundred.
    assert (verdict.events, verdict.breaks) == (106, ())
    assert shown(at, both.id)[-1][1:] == ("pending", "pending")


def test_stagings_of_one_archive_under_two_kinds_do_not_wait_for_each_other(at):
    url = at.build()
    at.service.queue(at.service.check_request(url, ("symbols",)), ORIGIN)
    at.service.queue(at.service.check_request(url, ("build",)), ORIGIN)
    start = threading.Barrier(2)

    def change(name: str) -> None:
        start.wait()
        for _ in range(50):
            with at.database.begin() as conn:
                conn.execute(
                    text("UPDATE staged_artifacts SET attempt = attempt + 1 WHERE name = :name"),
                    {"name": name},
                )
                staging_rows.settle(conn, url)

    with ThreadPoolExecutor(2) as pool:
        list(pool.map(change, ["symbols", "payload"]))
    assert found(at) == []


def test_planning_behind_the_holder_and_its_work_do_not_wait_for_each_other(at):
    url = at.build()
    at.service.queue(at.service.check_request(url, ("payload",)), ORIGIN)
    [(payload,)] = at.rows("SELECT id FROM staged_artifacts WHERE name = 'payload'")
    start = threading.Barrier(2)

    def work() -> None:
        start.wait()
        with hold(at.service.locks, ARCHIVE, url, ORIGIN) as held:
            for _ in range(40):
                with guarded(at.database, held) as conn:
                    artifact_rows.begin_artifact(conn, payload, held.lease)
                    staging_rows.settle(conn, url, held.lease)
                with guarded(at.database, held) as conn:
                    artifact_rows.note_progress(conn, payload, 1, 2, 3.0)
                    staging_rows.touch(conn, url)

    def plan() -> None:
        start.wait()
        for _ in range(40):
            at.service.queue_behind(at.service.check_request(url, ("build",)), ORIGIN)
            # Locked in the order of their ids, as by all our statements.
            at.tamper(
                "WITH locked AS MATERIALIZED (SELECT id FROM stagings ORDER BY id FOR UPDATE)"
                " UPDATE stagings SET requested = '{payload}' WHERE id IN (SELECT id FROM locked)"
            )

    with ThreadPoolExecutor(2) as pool:
        for done in [pool.submit(work), pool.submit(plan)]:
            done.result()


def test_old_months_are_dropped_whole_and_the_rest_still_verifies(at):
    staging = at.stage(at.build())
    with at.database.begin() as conn:
        conn.execute(text("SET LOCAL session_replication_role = 'replica'"))
        # The first five events, moved into a month long ago.
        conn.execute(
            text(
                "SELECT staging_events_partition('staging_events_2001_01',"
                " format('FOR VALUES FROM (%L) TO (%L)', ulid_floor('2001-01-01Z'),"
                " ulid_floor('2001-02-01Z')))"
            )
        )
        conn.execute(
            text(
                "UPDATE staging_events"
                " SET id = left(ulid_floor('2001-01-02Z'), 10) || right(id, 16) WHERE number <= 5"
            )
        )
    with at.database.begin() as conn:
        dropped = conn.execute(text("SELECT staging_events_drop('2001-03-01Z', 'age')")).scalar()
    assert dropped == 5
    assert at.rows("SELECT reason, events FROM staging_event_drops") == [("age", 5)]
    assert len(shown(at, staging.id)) == 8
    assert found(at) == []
    at.tamper("DELETE FROM staging_events WHERE number = 6")
    assert found(at) == ["event 6 is gone"]


def code(*options: str) -> object:
    """Return the exit code of the verb."""
    with pytest.raises(SystemExit) as ended:
        main(["audit", "verify", *options])
    return ended.value.code


def test_the_verb_says_whether_the_record_is_whole(at, database_url, monkeypatch, capsys):
    monkeypatch.setenv("STAGING_DATABASE_URL", database_url)
    at.stage(at.build())
    assert code("--json") == 0
    shown = json.loads(capsys.readouterr().out)
    assert (shown["stagings"], shown["events"]) == (1, 13)
    assert code("--expect", shown["head"]) == 0
    assert code("--expect", "0" * 64) == 1
    at.tamper("UPDATE staging_events SET actor = 'nobody' WHERE number = 4")
    assert code("--json") == 1
    assert "it was altered" in capsys.readouterr().out
