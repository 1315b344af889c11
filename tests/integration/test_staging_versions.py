"""Versions of a staging: each change makes a new version, which ends a client's wait."""

from collections.abc import Iterator

import pytest
from sqlalchemy import Connection, text

from staging_api.db.engine import Database

ROWS = """
    INSERT INTO archives (archive_url, static_prefix) VALUES ('gs://one', '1');
    INSERT INTO stagings (id, archive_url, state, requested, caller)
    SELECT id, 'gs://one', 'running', '{a}', 'me' FROM unnest(ARRAY['s1', 's2']) id;
"""


@pytest.fixture
def conn(database: Database) -> Iterator[Connection]:
    with database.begin() as made:
        made.exec_driver_sql(ROWS)
        yield made
        made.rollback()


def versions(conn: Connection) -> tuple[int, ...]:
    return tuple(conn.execute(text("SELECT version FROM stagings ORDER BY id")).scalars())


@pytest.mark.parametrize(
    "change",
    [
        "caller = 'you'",
        "requested = '{a,b}'",
        "cancel_requested_at = now()",
        "upload_wait_seconds = 7",
    ],
)
def test_a_change_of_one_staging_makes_one_more_version_of_it_alone(
    conn: Connection, change: str
) -> None:
    first, other = versions(conn)
    for more in (1, 1):  # writing the same values again is no change
        conn.exec_driver_sql(f"UPDATE stagings SET {change} WHERE id = 's1'")
        assert versions(conn) == (first + more, other)


def test_a_version_that_is_written_is_not_raised_once_more(conn: Connection) -> None:
    first, other = versions(conn)
    conn.exec_driver_sql("UPDATE stagings SET version = version + 5 WHERE id = 's2'")
    assert versions(conn) == (first, other + 5)


ARTIFACTS = """
    INSERT INTO staged_artifacts (id, staging_id, archive_url, name, lock_kind, phase, state, path)
    SELECT id, 's1', 'gs://one', id, 'archive', 'foreground', 'pending', id
    FROM unnest(ARRAY['a1', 'a2']) id;
"""


@pytest.mark.parametrize(
    ("change", "more"),
    [("bytes_done = 7", 1), ("bytes_total = 9", 1), ("last_accessed_at = now()", 0)],
)
def test_a_change_of_an_artifact_but_of_its_last_read_makes_one_more_version_of_it_alone(
    conn: Connection, change: str, more: int
) -> None:
    conn.exec_driver_sql(ARTIFACTS)
    versions_of = text("SELECT version FROM staged_artifacts ORDER BY id")
    first, other = conn.execute(versions_of).scalars()
    for _ in range(2):
        conn.exec_driver_sql(f"UPDATE staged_artifacts SET {change} WHERE id = 'a1'")
        assert list(conn.execute(versions_of).scalars()) == [first + more, other]
