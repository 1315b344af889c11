"""Completeness of the records of events and locks: delayed only by their own open writers."""

import threading
from collections.abc import Iterator

import pytest
from sqlalchemy import Connection, text

from staging_api.db.engine import Database, open_database
from tests.databases import Migrated
from tests.service import eventually

RECORDS = {
    "staging_events_whole_until": "stagings",
    "lock_history_whole_until": "lock_scopes",
}
#: Table locks of a writer's statements: of events, also those that only lock its row.
WRITERS = [
    ("staging_events_whole_until", "ROW SHARE"),
    ("staging_events_whole_until", "ROW EXCLUSIVE"),
    ("lock_history_whole_until", "ROW EXCLUSIVE"),
]


@pytest.fixture(params=RECORDS)
def function(request: pytest.FixtureRequest) -> str:
    name: str = request.param
    return name


@pytest.fixture
def pools(migrated: Migrated) -> Iterator[tuple[Database, Database]]:
    """Yield two services on one server: as copies, their tables have the same numbers."""
    with migrated() as url, migrated() as other:
        ours, theirs = open_database(url, pool_size=3), open_database(other, pool_size=3)
        yield ours, theirs
        ours.close()
        theirs.close()


def holds_back(asking: Database, function: str, writer: Connection) -> bool:
    """Return whether the record is complete only up to the start of `writer`, some time ago."""
    began = writer.execute(text("SELECT now()")).scalar_one()
    with asking.begin() as conn:
        return bool(
            conn.execute(text(f"SELECT {function}() <= :began"), {"began": began}).scalar_one()
        )


@pytest.mark.parametrize(("function", "mode"), WRITERS)
def test_a_writer_holds_the_record_back_until_it_ends(
    pools: tuple[Database, Database], function: str, mode: str
) -> None:
    ours, _ = pools
    with ours.begin() as writer:
        writer.execute(text(f"LOCK TABLE {RECORDS[function]} IN {mode} MODE"))
        assert holds_back(ours, function, writer)
    with ours.begin() as reader:
        assert not holds_back(ours, function, reader)


@pytest.mark.parametrize(
    ("table", "mode"), [("packs", "ROW EXCLUSIVE"), (None, "ACCESS SHARE"), (None, "SHARE")]
)
def test_no_other_session_holds_it_back(
    pools: tuple[Database, Database], function: str, table: str | None, mode: str
) -> None:
    ours, _ = pools
    locked = table or RECORDS[function]
    with ours.begin() as writer:
        writer.execute(text(f"LOCK TABLE {locked} IN {mode} MODE"))
        assert not holds_back(ours, function, writer)


def test_a_writer_of_another_service_on_the_server_does_not(
    pools: tuple[Database, Database], function: str
) -> None:
    ours, theirs = pools
    with theirs.begin() as writer:
        writer.execute(text(f"LOCK TABLE {RECORDS[function]} IN ROW EXCLUSIVE MODE"))
        assert holds_back(theirs, function, writer)
        assert not holds_back(ours, function, writer)


def test_a_session_does_not_hold_back_what_it_asks_itself(
    pools: tuple[Database, Database], function: str
) -> None:
    ours, _ = pools
    with ours.begin() as writer:
        writer.execute(text(f"LOCK TABLE {RECORDS[function]} IN ROW EXCLUSIVE MODE"))
        asked = writer.execute(text(f"SELECT {function}() > now()")).scalar_one()
    assert asked


def test_a_writer_that_waits_for_its_table_lock_does_not_hold_the_record_back(
    pools: tuple[Database, Database], function: str
) -> None:
    ours, _ = pools
    waiting = threading.Event()

    def wait() -> None:
        with ours.begin() as late:
            waiting.set()
            late.execute(text(f"LOCK TABLE {RECORDS[function]} IN ROW EXCLUSIVE MODE"))

    with ours.begin() as first:
        first.execute(text(f"LOCK TABLE {RECORDS[function]} IN SHARE MODE"))
        thread = threading.Thread(target=wait)
        thread.start()
        waiting.wait()
        with ours.connect() as conn:
            eventually(lambda: conn.execute(text(_WAITS)).scalar_one(), "it does not wait")
            seen = conn.execute(text("SELECT clock_timestamp()")).scalar_one()
            whole = conn.execute(text(f"SELECT {function}() >= :seen"), {"seen": seen}).scalar_one()
    assert whole
    thread.join()


_WAITS = "SELECT EXISTS (SELECT FROM pg_locks WHERE NOT granted AND locktype = 'relation')"
