"""Audit questions with a time window: rows before and after the window do not count."""

from collections.abc import Iterator
from datetime import UTC, datetime, timedelta

import pytest
from sqlalchemy import Connection, text

from staging_api.db.audit_queries import audit_queries
from staging_api.db.engine import Database

NOON = datetime(2026, 3, 4, 12, tzinfo=UTC)
DAY = timedelta(days=1)
#: Stagings whose rows state how many events they should have.
ROWS = """
    INSERT INTO stagings (id, archive_url, state, requested, caller, events_count, events_digest)
    SELECT ulid_floor(CAST(:at AS timestamptz)) || name, 'gs://one', 'running', '{a}', 'me', said,
        repeat('0', 64)
    FROM (VALUES ('A', 1), ('B', 2)) AS made (name, said)
"""


@pytest.fixture
def conn(database: Database) -> Iterator[Connection]:
    with database.begin() as made:
        # Without triggers, rows with missing events can be inserted.
        made.exec_driver_sql("SET LOCAL session_replication_role = 'replica'")
        for days in (-1, 0, 1, 2):
            made.execute(text(ROWS), {"at": NOON + days * DAY})
        yield made
        made.rollback()


@pytest.mark.parametrize(
    ("since", "until", "cut_off"), [(-9, 9, 8), (0, 1, 2), (0, 2, 4), (3, 9, 0), (-9, -2, 0)]
)
def test_stagings_without_their_last_event_are_counted_in_the_time_that_is_asked_about(
    conn: Connection, since: int, until: int, cut_off: int
) -> None:
    [query] = [each for each in audit_queries() if each.name == "unbroken"]
    given = {"since": NOON + since * DAY, "until": NOON + until * DAY}
    row = conn.execute(text(query.sql), given).mappings().one()
    assert (row["stagings_cut_off"], row["events"]) == (cut_off, 0)
