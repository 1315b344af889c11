"""Change marks for open pages: computed from the rows themselves."""

from collections.abc import Iterator

import pytest
from sqlalchemy import Connection, text

from staging_api.changes import rows
from staging_api.changes.model import TABLES, Topic
from staging_api.db.engine import Database

_PROCESS = text("""
    INSERT INTO service_processes (name, kind, version, build, schema, places, busy, waiting,
        threads, draining, seen_at, every_seconds)
    VALUES (:name, 'api', '1', '', '', 1, 0, 0, 1, false,
        clock_timestamp() - make_interval(secs => :age), 10)""")
_EVENT = text("""
    INSERT INTO staging_events (id, staging_id, number, at, kind, actor, detail, digest)
    SELECT id, id, 1, now(), 'staging', 'me', '{}', repeat('0', 64)
    FROM lpad(:id, 26, '0') AS made (id)""")


@pytest.fixture
def conn(database: Database) -> Iterator[Connection]:
    with database.begin() as made:
        # Without foreign keys, and without triggers that write events of their own.
        made.exec_driver_sql("SET LOCAL session_replication_role = 'replica'")
        yield made
        made.rollback()


def changed(conn: Connection, statement: object, **given: object) -> set[Topic]:
    """Return the topics whose mark a statement changed, and that were not yet reported."""
    before = rows.marks(conn)
    conn.execute(statement, given)  # type: ignore[call-overload]
    after = rows.marks(conn)
    return {topic for topic in TABLES if before[topic][-1] != after[topic][-1]}


def test_a_process_that_lives_is_news_and_one_that_does_not_is_none(conn: Connection) -> None:
    assert "alive" in changed(conn, _PROCESS, name="a", age=0)
    assert "alive" in changed(conn, _PROCESS, name="b", age=29)
    assert "alive" not in changed(conn, _PROCESS, name="c", age=31)
    forget = text("DELETE FROM service_processes WHERE name = :name")
    assert "alive" not in changed(conn, forget, name="c")
    assert "alive" in changed(conn, forget, name="a")


def test_an_event_of_a_staging_is_news_of_the_work_at_once(conn: Connection) -> None:
    conn.execute(_EVENT, {"id": "5"})
    assert "work" in changed(conn, _EVENT, id="7")
    assert "work" not in changed(conn, _EVENT, id="6"), "it is not the newest"
