"""Versions of rows shown in responses: each change of a shown value increases the version."""

from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest
from sqlalchemy import Connection, Table
from sqlalchemy.exc import DBAPIError

from staging_api.db.engine import Database
from staging_api.db.tables import staged_artifacts, stagings
from staging_api.staging.repository import reading, seen_rows
from tests.stagings import Bench, bench

#: Columns of no response about a staging; the chain of events, and the time of the last read.
NOT_SHOWN = {"events_count", "events_digest", "events_dropped", "last_accessed_at", "version"}
#: Values that differ from any existing value; the first that the table accepts is used.
OTHERS = (
    "{c} || 'x'",
    "{c} + 1",
    "NOT coalesce({c}, false)",
    "coalesce({c}, clock_timestamp()) + interval '1 s'",
    "ARRAY['x']",
    "'{{\"x\": {{}}}}'",
    "coalesce({c}, 0) + 1",
    "md5({c}) || md5('x')",
    "'background'",
    "'missing'",
    "'lost'",
    "'01ARZ3NDEKTSV4RRFFQ69G5FAV'",
    "'failed', error_code = 'x'",
    "'x', state = 'failed'",
    "'x', error_code = 'x', state = 'failed'",
    "false, error_code = 'x', state = 'failed'",
    "'missing', staged_at = NULL",
    "'x', state = 'failed', staged_at = NULL",
    "'x', error_code = 'x', state = 'failed', staged_at = NULL",
    "false, error_code = 'x', state = 'failed', staged_at = NULL",
    "'asked', state = 'evicted', evicted_at = clock_timestamp()",
    "ARRAY['x'], joined_by = 'x'",
    "'x', joined = ARRAY['x']",
    "clock_timestamp(), waiting_for = ARRAY['x']",
    "ARRAY['x'], upload_wait_began_at = clock_timestamp()",
    "clock_timestamp(), upload_wait_began_at = clock_timestamp()",
    "clock_timestamp(), state = 'evicted'",
    "NULL",
    "NULL, state = 'running'",
    "coalesce({c}, 'x')",
)
#: Columns that identify a row, or that other tables refer to.
KEYS = {"id", "archive_url", "staging_id"}
COLUMNS = [
    (table, column.name)
    for table in (stagings, staged_artifacts)
    for column in table.columns
    if column.name not in KEYS | NOT_SHOWN
]


@pytest.fixture
def at(database: Database, database_url: str, tmp_path: Path) -> Iterator[Bench]:
    with bench(database, database_url, tmp_path) as made:
        yield made


def seen(conn: Connection, staging_id: str) -> tuple[str, list[tuple[int, str]], str]:
    """Return the rows of a response, as identified there: their versions, and their values."""
    staging = reading.find(conn, staging_id)
    named = conn.exec_driver_sql("SELECT staging_seen(%s)", (staging_id,)).scalar_one()
    versions = [(staging.version, staging.id), *((a.version, a.id) for a in staging.artifacts)]
    return named, versions, repr(replace(staging, events_count=0))


def changed(conn: Connection, table: Table, column: str, row_id: str) -> bool:
    """Change the value of a column; return whether the table accepted it."""
    was = f"SELECT {column}::text FROM {table.name} WHERE id = %s"
    before = conn.exec_driver_sql(was, (row_id,)).scalar_one()
    for other in OTHERS:
        value = other.format(c=column)
        try:
            with conn.begin_nested():
                conn.exec_driver_sql(
                    f"UPDATE {table.name} SET {column} = {value} WHERE id = %s",
                    (row_id,),
                )
        except DBAPIError:
            continue
        if conn.exec_driver_sql(was, (row_id,)).scalar_one() != before:
            return True
    return False


def test_a_change_of_any_column_is_another_version(at: Bench) -> None:
    mine, other = at.stage(at.build("R17-1"), "payload"), at.stage(at.build("R17-2"), "payload")
    for table, column in COLUMNS:
        row_id = mine.id if table is stagings else mine.artifacts[0].id
        with at.database.begin() as conn, conn.begin_nested() as change:
            before, untouched = seen(conn, mine.id), seen(conn, other.id)
            assert changed(conn, table, column, row_id), f"{column}: no value was taken"
            after = seen(conn, mine.id)
            assert seen(conn, other.id) == untouched
            # The next column starts from the same rows.
            change.rollback()
        assert after[0] != before[0], column
        rose = {row: version for version, row in after[1]}
        for version, row in before[1]:
            # Values that are no longer shown need no version.
            assert rose.get(row, version + 1) > version or row != row_id, column
        assert after[1] != before[1], column


@pytest.mark.parametrize("column", ["events_count", "last_accessed_at"])
def test_what_is_not_shown_may_change_without_another_version(at: Bench, column: str) -> None:
    mine = at.stage(at.build(), "payload")
    table = staged_artifacts if column == "last_accessed_at" else stagings
    row_id = mine.id if table is stagings else mine.artifacts[0].id
    with at.database.connect() as conn:
        before = seen(conn, mine.id)
    with at.database.begin() as conn:
        assert changed(conn, table, column, row_id)
    with at.database.connect() as conn:
        assert seen(conn, mine.id)[1] == before[1]


def test_a_row_that_is_taken_away_or_comes_is_seen(at: Bench) -> None:
    mine, other = at.stage(at.build("R17-1"), "payload"), at.stage(at.build("R17-2"), "payload")
    with at.database.connect() as conn:
        before, untouched = seen(conn, mine.id)[0], seen(conn, other.id)
    at.tamper("DELETE FROM staged_artifacts WHERE id = :i", i=mine.artifacts[0].id)
    with at.database.connect() as conn:
        assert seen(conn, mine.id)[0] != before
        assert seen(conn, other.id) == untouched
    at.tamper("DELETE FROM stagings WHERE id = :i", i=mine.id)
    assert seen_rows.answer_rows(at.database, [mine.id])[mine.id] is None
