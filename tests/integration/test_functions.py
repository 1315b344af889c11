"""Functions, triggers and views: the same in their SQL files and in a migrated database."""

from collections.abc import Iterator
from pathlib import Path

import pytest
from sqlalchemy import Connection

from staging_api.db.engine import Database
from tests import functions
from tests.functions import HOW_TO_RENEW, catalogue, differences, frozen, run

# Each statement that changes one thing in the database, and the name of the changed thing.
DRIFT = {
    "CREATE FUNCTION stray() RETURNS integer LANGUAGE sql AS 'SELECT 1'": "function stray()",
    "CREATE FUNCTION lock_leave(p integer) RETURNS void LANGUAGE sql AS ''": (
        "function lock_leave(integer)"
    ),
    "DROP FUNCTION lock_leave(text)": "function lock_leave(text)",
    "ALTER FUNCTION lock_history_drop RESET lock_timeout": (
        "function lock_history_drop(timestamp with time zone)"
    ),
    "ALTER FUNCTION ulid_of VOLATILE SECURITY DEFINER": (
        "function ulid_of(timestamp with time zone)"
    ),
    "REVOKE EXECUTE ON FUNCTION lock_leave FROM public": "function lock_leave(text)",
    "COMMENT ON FUNCTION lock_leave IS NULL": "comment on function lock_leave(text)",
    "CREATE VIEW stray AS SELECT 1 AS one": "view stray",
    "CREATE OR REPLACE VIEW blob_names AS SELECT sha256 FROM staged_files": "view blob_names",
    "COMMENT ON VIEW staging_queue IS 'another'": "comment on view staging_queue",
    "COMMENT ON COLUMN staging_queue.due IS 'another'": "comment on view staging_queue, due",
    "DROP TRIGGER blobs_added ON blobs": "trigger blobs_added on blobs",
    "ALTER TABLE lock_scopes ENABLE TRIGGER lock_scopes_change_hands": (
        "trigger lock_scopes_change_hands on lock_scopes"
    ),
    "CREATE TRIGGER stray BEFORE DELETE ON archives EXECUTE FUNCTION staging_events_refuse()": (
        "trigger stray on archives"
    ),
}


@pytest.fixture
def conn(database: Database) -> Iterator[Connection]:
    """Yield a connection in a transaction that is rolled back."""
    with database.begin() as conn, conn.begin_nested() as savepoint:
        yield conn
        savepoint.rollback()


def test_the_files_are_what_a_migrated_database_has(conn: Connection) -> None:
    assert differences(conn) == [], HOW_TO_RENEW


@pytest.mark.parametrize("statement", DRIFT)
def test_every_kind_of_difference_is_found_and_only_that(conn: Connection, statement: str) -> None:
    run(conn, statement)
    found = set(differences(conn))
    assert DRIFT[statement] in found
    # An added or removed view also adds or removes its comment and its columns.
    about = DRIFT[statement].removeprefix("comment on ")
    assert all(name.removeprefix("comment on ").startswith(about) for name in found)


def test_every_function_and_view_is_explained_in_the_database(conn: Connection) -> None:
    silent = [
        name
        for name, definition in catalogue(conn).items()
        if name.startswith(("comment on function", "comment on view"))
        # This view has the columns of its table, which are documented there.
        and not (definition or name.startswith("comment on view lock_waiters_alive, "))
    ]
    assert silent == []


def test_a_migration_applies_the_statements_that_changed_and_no_others(
    conn: Connection, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for path in functions.FILES.glob("*.sql"):
        (tmp_path / path.name).write_text(path.read_text())
    monkeypatch.setattr(functions, "FILES", tmp_path)
    renew, queue = tmp_path / "lock_renew.sql", tmp_path / "lock_queue.sql"
    renew.write_text(renew.read_text().replace("SKIP LOCKED", "NOWAIT"))
    queue.write_text(queue.read_text().replace("Gives up a place", "Leaves a place"))
    changed = frozen(conn)
    assert [line for line in changed.splitlines() if line.startswith(("CREATE", "COMMENT"))] == [
        "COMMENT ON FUNCTION lock_leave IS 'Leaves a place in the queue.';",
        "CREATE OR REPLACE FUNCTION lock_extend(",
    ]
    assert differences(conn) == [
        "comment on function lock_leave(text)",
        "function lock_extend(text[],text[],text[],bigint[],double precision[])",
    ]
    run(conn, changed)
    assert differences(conn) == []
