"""Statements on stagings and artifacts: only the given rows are read and changed."""

from collections.abc import Callable, Iterator
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from sqlalchemy import Connection, text

from staging_api.db.engine import Database
from staging_api.errors import NotFound
from staging_api.locks.model import ARCHIVE, Lease
from staging_api.sources.manifest import Manifest
from staging_api.sources.model import Names
from staging_api.staging.model import CachedObject, Failure
from staging_api.staging.repository import (
    access_rows,
    artifact_rows,
    event_rows,
    growth_rows,
    object_rows,
    reading,
    staging_rows,
    upload_rows,
)
from tests.rows import keyed_rows, only_rows

ROWS = """
    INSERT INTO archives (archive_url, static_prefix) VALUES ('gs://one', '1'), ('gs://two', '2');
    INSERT INTO stagings
        (id, archive_url, state, requested, caller, created_at, upload_wait_seconds, finished_at,
         cancel_requested_at, error_code, upload_wait_began_at, waiting_for, foreground_staged_at)
    SELECT id, archive, state, string_to_array(names, ' '), caller, now() - interval '1 h',
        patience, CASE WHEN state IN ('staged', 'failed') THEN now() END, cancelled,
        CASE state WHEN 'failed' THEN 'x' END, CASE WHEN id <> 's1' THEN now() END,
        CASE WHEN id <> 's1' THEN ARRAY['z'] END,
        CASE WHEN state IN ('staged', 'foreground_staged') THEN now() END
    FROM (VALUES
            ('s1', 'gs://one', 'running', 'a b', 'me', NULL, NULL),
            ('s2', 'gs://one', 'queued', 'b d', 'you', 60.0, NULL),
            ('s3', 'gs://one', 'staged', 'a c e', 'me', NULL, NULL),
            ('s4', 'gs://two', 'foreground_staged', 'a c', 'me', NULL, NULL),
            ('s5', 'gs://two', 'running', 'b', 'you', NULL, now()),
            ('s6', 'gs://two', 'failed', 'd', 'me', NULL, NULL))
        AS made (id, archive, state, names, caller, patience, cancelled);
    INSERT INTO staged_artifacts
        (id, staging_id, archive_url, name, lock_kind, phase, state, path, attempt, next_attempt_at,
         sha256, size_bytes, source_url, fence, staged_at, evicted_at, pinned_until, error_code)
    SELECT id, staging, archive, name, CASE id WHEN '2a' THEN 'images' ELSE 'archive' END, phase,
        state, id || '/' || name, attempt, due,
        repeat('1', 64), 1, archive || '/' || name, 1,
        CASE WHEN state IN ('staged', 'evicted') THEN now() - interval '1 h' END,
        CASE state WHEN 'evicted' THEN now() END, pin, CASE state WHEN 'failed' THEN 'x' END
    FROM (VALUES
            ('1a', 's1', 'gs://one', 'a', 'foreground', 'pending', 1, NULL, NULL),
            ('1b', 's1', 'gs://one', 'b', 'foreground', 'staging', 1, NULL, NULL),
            ('1c', 's3', 'gs://one', 'c', 'foreground', 'staged', 1, NULL, now() + interval '1 h'),
            ('1d', 's2', 'gs://one', 'd', 'background', 'pending', 0, now() + interval '1 h', NULL),
            ('1e', 's3', 'gs://one', 'e', 'background', 'staged', 1, NULL, now() - interval '1 h'),
            ('1x', 's3', 'gs://one', 'a', 'foreground', 'evicted', 1, NULL, NULL),
            ('2a', 's4', 'gs://two', 'a', 'background', 'pending', 1, NULL, NULL),
            ('2b', 's5', 'gs://two', 'b', 'foreground', 'pending', 1, NULL, NULL),
            ('2c', 's4', 'gs://two', 'c', 'foreground', 'staged', 1, NULL, NULL),
            ('2d', 's6', 'gs://two', 'd', 'foreground', 'failed', 1, NULL, NULL))
        AS made (id, staging, archive, name, phase, state, attempt, due, pin);
    INSERT INTO growing_files (artifact_id, attempt, file, bytes_done, size_bytes)
        VALUES ('1b', 1, 'tmp/1', 10, 20), ('2a', 1, 'tmp/2', 10, 20), ('1a', 1, 'tmp/3', 1, 2);
    INSERT INTO loose_files (artifact_id, path, sha256, size_bytes, executable)
        SELECT id, id || '/f', repeat('1', 64), 1, false
        FROM unnest(ARRAY['1b', '1c', '2c', '1a']) AS id;
    INSERT INTO blobs (sha256, size_bytes) VALUES (repeat('1', 64), 1), (repeat('2', 64), 2);
    INSERT INTO artifact_accesses (artifact_id, day, caller, hits, bytes)
        SELECT id, CAST(now() AT TIME ZONE 'UTC' AS date), caller, 1, 10
        FROM (VALUES ('1c', 'me'), ('1c', 'you'), ('2c', 'me')) AS read (id, caller);
    INSERT INTO upload_polls (archive_url, next_poll_at, polled_at, names)
        VALUES ('gs://one', now() - interval '2 h', NULL, NULL),
            ('gs://two', now() + interval '1 h', now(), '{x}');
    INSERT INTO manifests (archive_url, version, sha256, names)
        VALUES ('gs://one', '1', repeat('1', 64), '{x}'), ('gs://two', '2', repeat('2', 64), '{y}');
    INSERT INTO held_objects (url, version, size_bytes, sha256)
        VALUES ('gs://one/a', '1', 1, repeat('1', 64)), ('gs://one/a', '2', 2, repeat('2', 64)),
            ('gs://two/a', '1', 2, repeat('2', 64));
"""
KEYS = {
    "archives": "archive_url",
    "stagings": "id",
    "staged_artifacts": "id",
    "growing_files": "artifact_id",
    "loose_files": "artifact_id",
    "artifact_accesses": "artifact_id || ' ' || caller",
    "upload_polls": "archive_url",
    "manifests": "archive_url",
    "held_objects": "url || ' ' || version",
    "blobs": "left(sha256, 1)",
}
NOW = datetime.now(UTC)
LEASE = Lease("0" * 26, ARCHIVE, "gs://one", 7, NOW, NOW, 60.0)
WHY = Failure("source_failed", "it is away", retryable=True)
ONE, TWO = "1" * 64, "2" * 64

Rows = set[tuple[str, str]]
Call = Callable[[Connection], Any]


def artifact(*ids: str) -> Rows:
    return {("staged_artifacts", each) for each in ids}


def staging(*ids: str) -> Rows:
    return {("stagings", each) for each in ids}


def all_rows(conn: Connection) -> dict[tuple[str, str], str]:
    return keyed_rows(conn, KEYS)


@pytest.fixture
def conn(database: Database) -> Iterator[Connection]:
    with only_rows(database, ROWS) as made:
        yield made


CHANGES: dict[str, tuple[Call, Any, Rows]] = {
    "begin": (lambda c: staging_rows.begin_staging(c, "s2"), None, staging("s2")),
    "begin a final one": (lambda c: staging_rows.begin_staging(c, "s3"), None, set()),
    "request to cancel": (lambda c: staging_rows.request_cancel(c, "s1"), None, staging("s1")),
    "too late": (lambda c: staging_rows.request_cancel(c, "s3"), None, set()),
    "cancel": (
        lambda c: staging_rows.mark_cancelled(c, "gs://two", "s5"),
        None,
        staging("s5"),
    ),
    "cancel a final one": (
        lambda c: staging_rows.mark_cancelled(c, "gs://one", "s3"),
        None,
        set(),
    ),
    "join": (lambda c: staging_rows.note_joined(c, "s1", ["b"], "you"), True, staging("s1")),
    "join a final one": (lambda c: staging_rows.note_joined(c, "s3", ["a"], "you"), False, set()),
    "join a cancelled one": (
        lambda c: staging_rows.note_joined(c, "s5", ["b"], "you"),
        False,
        set(),
    ),
    "touch": (lambda c: staging_rows.touch(c, "gs://one"), None, staging("s1", "s2")),
    "settle": (lambda c: staging_rows.settle(c, "gs://one", LEASE), None, staging("s1", "s2")),
    "known folder": (lambda c: artifact_rows.static_prefix(c, "gs://one", "x", "y"), "1", set()),
    "new folder": (
        lambda c: artifact_rows.static_prefix(c, "gs://new", "x", "y"),
        "x",
        {("archives", "gs://new")},
    ),
    "folder of another": (
        lambda c: artifact_rows.static_prefix(c, "gs://new", "1", "y"),
        "y",
        {("archives", "gs://new")},
    ),
    "plan anew": (
        lambda c: artifact_rows.plan_artifact(
            c,
            "s6",
            "gs://two",
            name="d",
            lock_kind="archive",
            phase="foreground",
            path="2d/d",
            over=("failed",),
        ),
        None,
        artifact("2d"),
    ),
    "plan what is under way": (
        lambda c: artifact_rows.plan_artifact(
            c,
            "s4",
            "gs://two",
            name="a",
            lock_kind="archive",
            phase="foreground",
            path="2a/a",
            over=("failed",),
        ),
        None,
        set(),
    ),
    "begin an artifact": (
        lambda c: artifact_rows.begin_artifact(c, "1b", LEASE),
        None,
        artifact("1b") | {("growing_files", "1b")},
    ),
    "progress": (
        lambda c: artifact_rows.note_progress(c, "1b", 5, 20, 1.0),
        None,
        artifact("1b"),
    ),
    "missing": (
        lambda c: artifact_rows.mark_missing(c, "1b", LEASE, []),
        None,
        artifact("1b") | {("growing_files", "1b"), ("loose_files", "1b")},
    ),
    "fail for now": (
        lambda c: artifact_rows.mark_failed(c, "1b", LEASE, WHY, 60.0),
        None,
        artifact("1b") | {("growing_files", "1b")},
    ),
    "fail for good": (
        lambda c: artifact_rows.mark_failed(c, "1b", LEASE, WHY, None),
        None,
        artifact("1b") | {("growing_files", "1b"), ("loose_files", "1b")},
    ),
    "fail for the impatient": (
        lambda c: artifact_rows.leave_to_patient(c, "1b", "s1", WHY),
        True,
        staging("s1") | artifact("1b") | {("growing_files", "1b")},
    ),
    "nobody is more patient": (
        lambda c: artifact_rows.leave_to_patient(c, "1a", "s1", WHY),
        False,
        set(),
    ),
    "fail for the most patient": (
        lambda c: artifact_rows.leave_to_patient(c, "1b", "s2", WHY),
        False,
        set(),
    ),
    "give back": (
        lambda c: artifact_rows.mark_pending(c, "1b"),
        None,
        artifact("1b") | {("growing_files", "1b")},
    ),
    "evict what nobody wants": (
        lambda c: artifact_rows.mark_evicted(c, "1c", "asked"),
        None,
        artifact("1c") | {("loose_files", "1c")},
    ),
    "pin": (lambda c: artifact_rows.pin(c, "1c", NOW), None, artifact("1c")),
    "hand out": (lambda c: access_rows.note_hand_out(c, "1c"), True, artifact("1c")),
    "hand out what is not staged": (lambda c: access_rows.note_hand_out(c, "1a"), False, set()),
    "reads": (
        lambda c: access_rows.note_accesses(c, {("1c", "me"): (2, 5), ("2c", "you"): (1, 1)}),
        None,
        artifact("1c", "2c") | {("artifact_accesses", "1c me"), ("artifact_accesses", "2c you")},
    ),
    "grow": (
        lambda c: growth_rows.note_growth(c, "1b", "tmp/1", 15, 20),
        None,
        {("growing_files", "1b")},
    ),
    "grow no longer": (
        lambda c: growth_rows.end_growth(c, "1b"),
        None,
        {("growing_files", "1b")},
    ),
    "wait for an upload": (
        lambda c: round(upload_rows.begin_upload_wait(c, "s1", "a", 60.0)),
        60,
        staging("s1"),
    ),
    "wait no longer": (lambda c: upload_rows.end_upload_wait(c, "s2"), None, staging("s2")),
    "put off": (
        lambda c: upload_rows.put_off(c, "gs://one", "a", 60.0),
        None,
        artifact("1a"),
    ),
    "put off what is staged": (
        lambda c: upload_rows.put_off(c, "gs://one", "c", 60.0),
        None,
        set(),
    ),
    "poll": (
        lambda c: upload_rows.claim_poll(c, "gs://one", 60.0),
        True,
        {("upload_polls", "gs://one")},
    ),
    "poll too early": (lambda c: upload_rows.claim_poll(c, "gs://two", 60.0), False, set()),
    "poll first": (
        lambda c: upload_rows.claim_poll(c, "gs://three", 60.0),
        True,
        {("upload_polls", "gs://three")},
    ),
    "polled": (
        lambda c: upload_rows.note_poll(c, "gs://one", Names(["a"])),
        None,
        {("upload_polls", "gs://one")},
    ),
    "forget polls": (
        lambda c: upload_rows.forget_polls(c, 3600.0),
        1,
        {("upload_polls", "gs://one")},
    ),
    "forget no poll": (lambda c: upload_rows.forget_polls(c, 3 * 3600.0), 0, set()),
    "keep a manifest": (
        lambda c: upload_rows.keep_manifest(c, "gs://one", Manifest("9", ONE, Names(["z"]))),
        None,
        {("manifests", "gs://one")},
    ),
    "the same object": (
        lambda c: object_rows.remember_objects(c, [CachedObject("gs://one/a", "1", 1, ONE)]),
        None,
        set(),
    ),
    "another content": (
        lambda c: object_rows.remember_objects(c, [CachedObject("gs://one/a", "1", 2, TWO)]),
        None,
        {("held_objects", "gs://one/a 1")},
    ),
}


@pytest.mark.parametrize("name", CHANGES)
def test_a_statement_changes_only_the_given_stagings_and_artifacts(
    conn: Connection, name: str
) -> None:
    call, expected, rows = CHANGES[name]
    before = all_rows(conn)
    assert call(conn) == expected
    after = all_rows(conn)
    assert {key for key in before | after if before.get(key) != after.get(key)} == rows


def test_an_artifact_is_left_to_the_patient_staging_and_the_impatient_one_records_its_failure(
    conn: Connection,
) -> None:
    assert artifact_rows.leave_to_patient(conn, "1b", "s1", WHY)
    (failures,) = conn.execute(text("SELECT failures FROM stagings WHERE id = 's1'")).one()
    assert {key: (why["code"], why["message"]) for key, why in failures.items()} == {
        "1b": (WHY.code, WHY.message)
    }
    left = reading.find_artifact(conn, "1b")
    assert (left.staging_id, left.state, left.failure) == ("s2", "pending", None)


def test_what_was_evicted_is_brought_again_for_those_who_wait_for_it(conn: Connection) -> None:
    conn.execute(text("UPDATE stagings SET requested = '{b,d,c}' WHERE id = 's2'"))
    before = all_rows(conn)
    artifact_rows.mark_evicted(conn, "1c", "asked")
    made = [
        key for kind, key in all_rows(conn).keys() - before.keys() if kind == "staged_artifacts"
    ]
    (again,) = conn.execute(
        text("SELECT staging_id, name, state FROM staged_artifacts WHERE id = ANY (:ids)"),
        {"ids": made},
    )
    assert tuple(again) == ("s2", "c", "pending")


def another_that_asks(conn: Connection, *, patience: float = 0.0, joined: bool = False) -> None:
    conn.execute(
        text(
            "INSERT INTO stagings (id, archive_url, state, requested, caller, upload_wait_seconds)"
            " VALUES ('s7', 'gs://one', 'queued', '{b,c}', 'he', :patience)"
        ),
        {"patience": patience},
    )
    if joined:
        conn.execute(
            text(
                "UPDATE stagings SET cancel_requested_at = now(), joined = '{c}', joined_by = 'me'"
                " WHERE id = 's7'"
            )
        )
    conn.execute(text("UPDATE stagings SET requested = '{b,d,c}' WHERE id = 's2'"))


@pytest.mark.parametrize(("patience", "gets_it"), [(90.0, "s7"), (60.0, "s2"), (30.0, "s2")])
def test_an_artifact_is_left_to_the_most_patient_staging(
    conn: Connection, patience: float, gets_it: str
) -> None:
    another_that_asks(conn, patience=patience)
    assert artifact_rows.leave_to_patient(conn, "1b", "s1", WHY)
    assert reading.find_artifact(conn, "1b").staging_id == gets_it


@pytest.mark.parametrize(("joined", "gets_it"), [(False, "s7"), (True, "s2")])
def test_an_evicted_artifact_is_assigned_to_the_newest_staging_that_goes_on(
    conn: Connection, joined: bool, gets_it: str
) -> None:
    another_that_asks(conn, joined=joined)
    artifact_rows.mark_evicted(conn, "1c", "asked")
    (again,) = reading.artifacts_of(conn, "gs://one", ["c"])
    assert (again.staging_id, again.state) == (gets_it, "pending")


def test_an_artifact_that_was_evicted_is_not_changed_any_more(conn: Connection) -> None:
    with pytest.raises(NotFound):
        artifact_rows.pin(conn, "1x", NOW)


@pytest.mark.parametrize(
    ("requested", "state"),
    [
        ("{b}", "running"),
        ("{d}", "foreground_staged"),
        ("{c,e}", "staged"),
        ("{of which nothing is left}", "staged"),
    ],
)
def test_a_staging_is_as_its_own_artifacts_are(
    conn: Connection, requested: str, state: str
) -> None:
    conn.execute(text("UPDATE stagings SET requested = :r WHERE id = 's2'"), {"r": requested})
    staging_rows.settle(conn, "gs://one")
    found = dict(tuple(row) for row in conn.execute(text("SELECT id, state FROM stagings")))
    others = {"s1": "running", "s4": "foreground_staged", "s5": "running", "s6": "failed"}
    assert found == {**others, "s2": state, "s3": "staged"}


def test_a_version_rises_by_one_with_each_change_and_an_attempt_counts_once(
    conn: Connection,
) -> None:
    changes: list[Call] = [
        lambda c: staging_rows.begin_staging(c, "s2"),
        lambda c: staging_rows.touch(c, "gs://one"),
        lambda c: staging_rows.request_cancel(c, "s2"),
        lambda c: upload_rows.begin_upload_wait(c, "s2", "b", 1),
        lambda c: upload_rows.end_upload_wait(c, "s2"),
        lambda c: staging_rows.settle(c, "gs://one"),
        lambda c: staging_rows.mark_cancelled(c, "gs://one", "s2"),
    ]
    for number, change in enumerate(changes, 2):
        change(conn)
        query = text("SELECT version, attempt FROM stagings WHERE id = 's2'")
        assert tuple(conn.execute(query).one()) == (number, 1)


def test_polls_of_an_archive_are_counted(conn: Connection) -> None:
    assert upload_rows.claim_poll(conn, "gs://one", -1.0)
    assert upload_rows.claim_poll(conn, "gs://one", 60.0)
    polls = conn.execute(text("SELECT archive_url, polls FROM upload_polls ORDER BY 1"))
    assert [tuple(row) for row in polls] == [("gs://one", 3), ("gs://two", 1)]


def test_a_time_to_come_is_so_many_seconds_away(conn: Connection) -> None:
    artifact_rows.mark_failed(conn, "1b", LEASE, WHY, 90.0)
    upload_rows.put_off(conn, "gs://one", "a", 60.0)
    query = "SELECT next_attempt_at - clock_timestamp() FROM staged_artifacts WHERE id = :id"
    for artifact_id, seconds in (("1b", 90), ("1a", 60)):
        left = conn.execute(text(query), {"id": artifact_id}).scalar_one()
        assert timedelta(0) <= timedelta(seconds=seconds) - left < timedelta(seconds=30)


def test_the_actor_without_a_lock_is_set_for_one_transaction(database: Database) -> None:
    asked = text("SELECT current_setting('staging.actor'), current_setting('staging.holder')")
    with database.begin() as conn:
        event_rows.act_as(conn, "me", "here")
        assert tuple(conn.execute(asked).one()) == ("me", "here")
        # The connection goes on to serve another caller.
        conn.exec_driver_sql("COMMIT")
        assert tuple(conn.execute(asked).one()) == ("", "")


def ids(found: list[Any]) -> list[str]:
    return [each.id for each in found]


READS: dict[str, tuple[Call, Any]] = {
    "artifacts": (lambda c: ids(reading.artifacts_of(c, "gs://one", ["b", "a"])), ["1b", "1a"]),
    "no artifact": (lambda c: ids(reading.artifacts_of(c, "gs://one", ["x"])), []),
    "folder": (lambda c: reading.prefix_of(c, "gs://two"), "2"),
    "versions": (lambda c: reading.versions(c, ["s1", "s9"]), {"s1": 1}),
    "cancelled": (lambda c: staging_rows.cancel_is_requested(c, "s5"), True),
    "not cancelled": (lambda c: staging_rows.cancel_is_requested(c, "s1"), False),
    "pinned": (lambda c: artifact_rows.is_pinned(c, "1c"), True),
    "pinned till an hour ago": (lambda c: artifact_rows.is_pinned(c, "1e"), False),
    "not pinned": (lambda c: artifact_rows.is_pinned(c, "2c"), False),
    "an artifact": (lambda c: reading.find_artifact(c, "1x").id, "1x"),
    "blobs": (lambda c: reading.known_blobs(c, [ONE, "3" * 64]), {ONE}),
    "due": (
        lambda c: [
            (each.staging_id, each.caller, each.background) for each in reading.due(c, each=9)
        ],
        [("s1", "me", False), ("s5", "you", False), ("s4", "me", True)],
    ),
    "a foreground is due": (reading.foreground_is_due, True),
    "a cached object": (
        lambda c: object_rows.cached_object(c, "gs://one/a", "2"),
        CachedObject("gs://one/a", "2", 2, TWO),
    ),
    "no cached object": (lambda c: object_rows.cached_object(c, "gs://two/a", "2"), None),
    "a poll": (lambda c: upload_rows.newest_poll(c, "gs://two").names, ["x"]),
    "a poll without names": (lambda c: upload_rows.newest_poll(c, "gs://one").names, None),
    "no poll": (lambda c: upload_rows.newest_poll(c, "gs://three"), upload_rows.Poll(None, 0.0)),
    "a manifest": (
        lambda c: upload_rows.kept_manifest(c, "gs://two"),
        Manifest("2", TWO, Names(["y"])),
    ),
    "no manifest": (lambda c: upload_rows.kept_manifest(c, "gs://three"), None),
    "a growing file": (
        lambda c: growth_rows.incoming_file(c, "1b/b"),
        growth_rows.IncomingFile("1b", "s1", 1, "tmp/1", 10, 20),
    ),
    "a file that has not begun": (
        lambda c: growth_rows.incoming_file(c, "1a/a"),
        growth_rows.IncomingFile("1a", "s1", 1, None, 0, None),
    ),
    "a file of a cancelled staging": (lambda c: growth_rows.incoming_file(c, "2b/b"), None),
    "a staged file": (lambda c: growth_rows.incoming_file(c, "1c/c"), None),
    "an image": (
        lambda c: growth_rows.incoming_file(c, "images/2a/a"),
        growth_rows.IncomingFile("2a", "s4", 1, None, 0, None),
    ),
    "no image": (lambda c: growth_rows.incoming_file(c, "images/1b/b"), None),
    "who brings it": (lambda c: ids_of(reading.bringer(c, "gs://one", ["b", "d"])), "s1"),
    "nobody brings it": (lambda c: ids_of(reading.bringer(c, "gs://one", ["c"])), None),
    "to rely on for one": (lambda c: ids_of(reading.unfinished_for(c, "gs://one", ["b"])), "s2"),
    "to rely on for both": (
        lambda c: ids_of(reading.unfinished_for(c, "gs://one", ["a", "b"])),
        "s1",
    ),
    "none to rely on": (lambda c: ids_of(reading.unfinished_for(c, "gs://two", ["b"])), None),
    "to do": (
        lambda c: ids(reading.to_do(c, reading.find(c, "s1"), ["b", "a"], "foreground")),
        ["1b", "1a"],
    ),
    "to do later": (
        lambda c: ids(reading.to_do(c, reading.find(c, "s2"), ["d"], "background")),
        [],
    ),
}


def ids_of(found: Any) -> str | None:
    return None if found is None else str(found.id)


@pytest.mark.parametrize("name", READS)
def test_a_query_reads_only_the_given_stagings_and_artifacts(conn: Connection, name: str) -> None:
    call, expected = READS[name]
    assert call(conn) == expected


def test_of_two_stagings_the_older_brings_a_file_in_whatever_order_rows_are_joined(
    conn: Connection,
) -> None:
    # A hash join returns the rows of one artifact in another order than a nested loop.
    conn.exec_driver_sql("SET LOCAL join_collapse_limit = 1; SET LOCAL enable_nestloop = off")
    call, expected = READS["a growing file"]
    assert call(conn) == expected


def test_work_under_a_lock_is_counted_and_has_no_age(conn: Connection) -> None:
    conn.execute(
        text(
            "INSERT INTO lock_scopes"
            " (kind, scope, lock_id, fence, caller, holder, acquired_at, expires_at)"
            " SELECT kind, 'gs://two', repeat('1', 26), 1, 'me', 'here', now(),"
            " now() + interval '1 h' FROM unnest(ARRAY['archive', 'images']) AS kind"
        )
    )
    conn.execute(text("UPDATE stagings SET created_at = now() - interval '9 h' WHERE id > 's3'"))
    count, age = reading.queue(conn)["pending"]
    assert count == 4
    assert 3600 <= age < 2 * 3600
    assert [each.staging_id for each in reading.due(conn, each=9)] == ["s1"]


def test_counts_of_the_queue_are_by_state_with_the_age_of_what_is_due(conn: Connection) -> None:
    found = reading.queue(conn)
    assert {state: count for state, (count, _) in found.items()} == {"pending": 4, "staging": 1}
    assert 3600 <= found["pending"][1] < 3600 + 600
    conn.execute(text("UPDATE staged_artifacts SET next_attempt_at = now() + interval '1 h'"))
    assert {age for _, age in reading.queue(conn).values()} == {0}
    assert not reading.foreground_is_due(conn)
