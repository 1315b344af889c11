"""Lists: each row that matches the filters once; and due work, found for each kind."""

from collections.abc import Callable, Iterator
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from sqlalchemy import Connection, event, text

from staging_api.db.engine import Database, database_time
from staging_api.staging.lists import ArtifactFilter, StagingFilter
from staging_api.staging.repository import event_rows, lists, reading, space_rows
from tests.integration.test_rows_of_other_stagings import ROWS
from tests.rows import only_rows

# Each staging is an hour older than the next; '1' is one archive's folder, '2' the other's.
AGED = """
    UPDATE stagings SET created_at = now() - make_interval(hours => 7 - substr(id, 2)::int);
    UPDATE staged_artifacts SET path = '1/' || name WHERE id IN ('1a', '1b');
    UPDATE staged_artifacts SET path = '2/' || name || '/' WHERE id = '2a';
    UPDATE staged_artifacts SET sha256 = repeat('2', 64) WHERE id = '1e';
    UPDATE loose_files SET sha256 = repeat('3', 64), path = '2/a/f' WHERE artifact_id = '2c';
"""


@pytest.fixture
def conn(database: Database) -> Iterator[Connection]:
    with only_rows(database, ROWS + AGED) as made:
        yield made


def stagings(conn: Connection, limit: int = 9, after: str | None = None, **only: Any) -> list[str]:
    found = lists.list_stagings(conn, limit=limit, after=after, only=StagingFilter(**only))
    return [each.id for each in found]


def artifacts(conn: Connection, limit: int = 99, after: str | None = None, **only: Any) -> set[str]:
    found = lists.list_artifacts(conn, limit=limit, after=after, only=ArtifactFilter(**only))
    return {each.id for each in found}


def ago(conn: Connection, hours: float) -> Any:
    # The rows were created at the beginning of this transaction.
    now = conn.execute(text("SELECT now()")).scalar_one()
    return now - timedelta(hours=hours)


Call = Callable[[Connection], Any]
READS: dict[str, tuple[Call, Any]] = {
    "all stagings": (stagings, ["s6", "s5", "s4", "s3", "s2", "s1"]),
    "a page": (lambda c: stagings(c, 2, "s5"), ["s4", "s3"]),
    "unfinished": (lambda c: stagings(c, unfinished=True), ["s5", "s4", "s2", "s1"]),
    "since": (lambda c: stagings(c, since=ago(c, 3)), ["s6", "s5", "s4"]),
    "until": (lambda c: stagings(c, until=ago(c, 3)), ["s3", "s2", "s1"]),
    "of a caller": (lambda c: stagings(c, equal={"caller": "you"}), ["s5", "s2"]),
    "of both": (
        lambda c: stagings(c, equal={"caller": "me", "archive_url": "gs://two"}),
        ["s6", "s4"],
    ),
    "of an archive": (lambda c: stagings(c, prefix="gs://o"), ["s3", "s2", "s1"]),
    "of no archive": (lambda c: stagings(c, prefix="gs://one/"), []),
    "artifacts of an archive": (
        lambda c: artifacts(c, prefix="gs://two"),
        {"2a", "2b", "2c", "2d"},
    ),
    "a page of artifacts": (lambda c: artifacts(c, 2, "1e"), {"1d", "1c"}),
    "by content": (lambda c: artifacts(c, sha256="2" * 64), {"1e"}),
    "by the content of a file": (lambda c: artifacts(c, sha256="3" * 64), {"2c"}),
    "by path": (lambda c: artifacts(c, path="1/b"), {"1b"}),
    "by folder": (lambda c: artifacts(c, path="2/a"), {"2a"}),
    "by the path of a file": (lambda c: artifacts(c, path="2/a/f"), {"2c"}),
    "by no path": (lambda c: artifacts(c, path="1"), set()),
    "pinned": (lambda c: artifacts(c, pinned=True), {"1c"}),
    "by name": (lambda c: artifacts(c, equal={"name": "a"}), {"1a", "1x", "2a"}),
    "by name and state": (
        lambda c: artifacts(c, equal={"name": "a", "state": "pending"}),
        {"1a", "2a"},
    ),
    "due one of each": (lambda c: due(c, 1), ["s1", "s5", "s4"]),
}


@pytest.mark.parametrize("name", READS)
def test_a_list_has_the_rows_that_are_asked_for(conn: Connection, name: str) -> None:
    call, expected = READS[name]
    assert call(conn) == expected


def due(conn: Connection, each: int) -> list[str]:
    return [found.staging_id for found in reading.due(conn, each=each)]


@pytest.mark.parametrize("caller", ["aa", "zz"])
def test_callers_whose_stagings_are_final_take_no_turn_from_others(
    conn: Connection, caller: str
) -> None:
    given = {"caller": caller}
    conn.execute(text("UPDATE stagings SET caller = :caller WHERE id IN ('s3', 's6')"), given)
    assert due(conn, 9) == ["s1", "s5", "s4"]
    conn.execute(text("UPDATE stagings SET caller = :caller WHERE id = 's4'"), given)
    assert due(conn, 9) == ["s1", "s5", "s4"]
    conn.execute(text("UPDATE stagings SET turn_of = 'mm' WHERE id IN ('s1', 's5')"))
    assert due(conn, 1) == ["s1", "s4"]


@pytest.mark.parametrize(("phase", "is_due"), [("foreground", False), ("background", True)])
def test_a_background_that_is_due_is_no_foreground(
    conn: Connection, phase: str, is_due: bool
) -> None:
    conn.execute(
        text(
            "UPDATE staged_artifacts SET next_attempt_at = now() + interval '1 h'"
            " WHERE phase = :phase"
        ),
        {"phase": phase},
    )
    assert reading.foreground_is_due(conn) is is_due
    assert due(conn, 9) != []


def test_one_cheap_query_finds_that_all_stagings_are_final(conn: Connection) -> None:
    asked: list[str] = []

    def note(*given: Any) -> None:
        asked.append(given[2])

    event.listen(conn, "before_cursor_execute", note)
    assert due(conn, 9)
    assert len(asked) == 2
    conn.exec_driver_sql(
        "UPDATE stagings SET state = 'staged', finished_at = now(), foreground_staged_at = now()"
        " WHERE finished_at IS NULL"
    )
    asked.clear()
    assert due(conn, 9) == []
    assert len(asked) == 1


def test_the_space_of_what_is_marked_is_garbage_and_all_is_used(conn: Connection) -> None:
    conn.exec_driver_sql("""
        DELETE FROM store_ledger;
        INSERT INTO store_ledger (bytes) VALUES (7), (-1), (5);
        UPDATE blobs SET doomed_at = now() WHERE sha256 = repeat('2', 64);
        INSERT INTO blobs (sha256, size_bytes, doomed_at)
            VALUES (repeat('4', 64), 4, now()), (repeat('5', 64), 5, NULL);
    """)
    found = space_rows.space(conn)
    assert (found.used, found.garbage, found.staying, found.reserved) == (11, 6, 5, 0)
    space_rows.compact_ledger(conn)
    assert conn.execute(text("SELECT bytes FROM store_ledger")).scalars().all() == [11]


def test_the_time_of_the_database_goes_on_within_a_transaction(conn: Connection) -> None:
    began = conn.execute(text("SELECT now()")).scalar_one()
    assert began < database_time(conn) <= database_time(conn)


@pytest.mark.parametrize(("limit", "numbers"), [(1, [2]), (2, [2, 3]), (9, [2, 3])])
def test_the_events_of_a_staging_are_read_behind_a_number_in_order(
    conn: Connection, limit: int, numbers: list[int]
) -> None:
    conn.exec_driver_sql("""
        INSERT INTO staging_events (id, staging_id, number, at, kind, to_state, actor, detail,
            digest, previous_digest)
        SELECT ulid_floor(now()) || staging || number, staging, number, now(), 'staging', 'queued',
            'me', '{}', repeat('1', 64), CASE WHEN number > 1 THEN repeat('1', 64) END
        FROM unnest(ARRAY['s1', 's2']) staging, generate_series(3, 1, -1) number
    """)
    found = event_rows.events_of(conn, "s1", 1, limit)
    assert [(each.staging_id, each.number) for each in found] == [("s1", each) for each in numbers]


NOON = datetime(2026, 3, 4, 12, tzinfo=UTC)
DAY = timedelta(days=1)
#: A staging of a day with two events and four artifacts, and an event whose staging is deleted.
RECORDED = """
    INSERT INTO stagings (id, archive_url, state, requested, caller, events_count, events_digest,
        events_dropped)
    SELECT begin || 's', 'gs://' || begin, 'running', '{a}', 'me', 9, repeat('1', 64), dropped
    FROM (VALUES (ulid_floor(:at), :dropped)) AS made (begin, dropped);
"""
EVENTS_OF_DAY = """
    INSERT INTO staging_events (id, staging_id, number, at, kind, artifact_id, to_state, actor,
        detail, digest, previous_digest)
    SELECT ulid_floor(:at) || staging || number || coalesce(artifact, ''),
        ulid_floor(:at) || staging, number, :at, kind, ulid_floor(:at) || artifact, state, 'me',
        jsonb_build_object('sha256', repeat(digit, 64)), repeat('1', 64),
        CASE WHEN number > 1 THEN repeat('1', 64) END
    FROM (VALUES
            ('s', 2, 'artifact', 'a', 'staged', '1'), ('s', 1, 'artifact', 'a', 'staging', '2'),
            ('s', 3, 'cancel_requested', 'a', 'queued', '3'),
            ('s', 4, 'artifact', 'b', 'staged', '2'), ('s', 5, 'artifact', 'c', 'pending', '1'),
            ('gone', 6, 'staging', NULL, 'queued', '1'))
        AS made (staging, number, kind, artifact, state, digit)
"""
ARTIFACTS_OF_DAY = """
    INSERT INTO staged_artifacts (id, staging_id, archive_url, name, lock_kind, phase, state, path,
        attempt, sha256, size_bytes, source_url, fence, staged_at)
    SELECT ulid_floor(:at) || name, ulid_floor(:at) || 's', 'gs://' || ulid_floor(:at), name,
        'archive', 'foreground', 'staged', ulid_floor(:at) || name, 1, repeat('1', 64), 1, 'x', 1,
        now()
    FROM unnest(ARRAY['a', 'b', 'c', 'd']) name
"""


@pytest.fixture
def record(database: Database) -> Iterator[Connection]:
    with only_rows(database, "SELECT 1") as made:
        for days in (-1, 0, 1, 2):
            given = {"at": NOON + days * DAY, "dropped": 3 if days == 1 else 0}
            for statement in (RECORDED, EVENTS_OF_DAY, ARTIFACTS_OF_DAY):
                typed = statement.replace(":at", "CAST(:at AS timestamptz)")
                made.execute(text(typed.replace(":dropped", "CAST(:dropped AS int)")), given)
        yield made


def begins(conn: Connection, *days: int) -> list[str]:
    floor = text("SELECT ulid_floor(CAST(:at AS timestamptz))")
    return [conn.execute(floor, {"at": NOON + each * DAY}).scalar_one() for each in days]


@pytest.mark.parametrize(
    ("since", "until", "days"),
    [(None, None, (-1, 0, 1, 2)), (0, None, (0, 1, 2)), (None, 1, (-1, 0)), (0, 2, (0, 1))],
)
def test_the_record_is_read_of_the_stagings_that_were_made_in_a_time(
    record: Connection, since: int | None, until: int | None, days: tuple[int, ...]
) -> None:
    bounds = [None if each is None else NOON + each * DAY for each in (since, until)]
    found = [
        (row.chain, row.staging is None, row.number) for row in event_rows.chains(record, *bounds)
    ]
    assert found == [
        row
        for begin in begins(record, *days)
        for row in [
            (f"{begin}gone", True, 6),
            *((f"{begin}s", False, number) for number in range(1, 6)),
        ]
    ]
    wrong = event_rows.contradictions(record, *bounds)
    assert wrong == [
        (f"{begin}s", f"{begin}{name}")
        for day, begin in zip(days, begins(record, *days), strict=True)
        # Of a dropped month nothing is known: no event contradicts its rows.
        for name in ("bc" if day == 1 else "bcd")
    ]
