"""Rows of the tables, and checks that they match the store."""

import hashlib
import re
from collections.abc import Collection, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import Connection, text
from sqlalchemy.exc import DBAPIError

from staging_api.db.engine import Database
from staging_api.db.tables import metadata
from staging_api.errors import DatabaseRefused
from tests.source import ArchiveSource

Row = tuple[Any, ...]


def select(database: Database, query: str, **given: object) -> list[Row]:
    """Return the rows of a query, in the form in which an auditor would write it."""
    with database.connect() as conn:
        return [tuple(row) for row in conn.execute(text(query), given)]


def execute(database: Database, statement: str, **given: object) -> None:
    """Change rows from outside, as an operator or the passage of time would."""
    with database.begin() as conn:
        conn.execute(text(statement), given)


@contextmanager
def refused_by_database(words: str) -> Iterator[None]:
    """Expect the database to refuse the block's change, with this message."""
    with pytest.raises((DBAPIError, DatabaseRefused)) as refused:
        yield
    said = refused.value.__cause__ or refused.value
    assert re.search(words, str(said)), said


def dump(database: Database, but: Collection[str] = ()) -> dict[str, list[str]]:
    """Return every row of every table except the given ones.

    The progress of a worker's checks and the status of processes are left out, too.
    """
    return {
        table.name: sorted(row[0] for row in select(database, f"SELECT t::text FROM {table} t"))
        for table in metadata.sorted_tables
        if table.name not in {*but, "store_checks", "service_processes"}
    }


def keyed_rows(conn: Connection, keys: Mapping[str, str]) -> dict[tuple[str, str], str]:
    """Return the rows of these tables by table and key; each key is an SQL expression."""
    return {
        (table, row.key): row.shown
        for table, key in keys.items()
        for row in conn.execute(text(f"SELECT {key} AS key, t::text AS shown FROM {table} t"))
    }


@contextmanager
def only_rows(database: Database, statements: str) -> Iterator[Connection]:
    """Yield a transaction with the rows of these statements, rolled back at the end.

    Foreign keys and triggers are disabled: only the statements under test change anything.
    """
    with database.begin() as conn:
        conn.exec_driver_sql("SET LOCAL session_replication_role = 'replica'")
        conn.exec_driver_sql(statements)
        yield conn
        conn.rollback()


def states(database: Database, archive_url: str) -> dict[str, str]:
    """Return the state of each live artifact of an archive, by name."""
    live = "archive_url = :url AND state <> 'evicted'"
    found = select(
        database, f"SELECT name, state FROM staged_artifacts WHERE {live}", url=archive_url
    )
    return dict(found)


def grants(database: Database, archive_url: str) -> list[Row]:
    """Return kind, caller and outcome of each grant on an archive, oldest first."""
    return select(
        database,
        "SELECT kind, caller, outcome FROM api_locks WHERE scope = :url ORDER BY fence, id",
        url=archive_url,
    )


def check_read_once(source: ArchiveSource, database: Database, archive_url: str) -> None:
    """Fail if an object was read again, unless a lease was lost on a machine that stalled."""
    lost = sum(outcome != "released" for *_, outcome in grants(database, archive_url))
    begun = source.begun(archive_url)
    assert begun
    assert max(begun.values()) <= 1 + lost, f"{begun} and {lost} lost leases"


def check_store(database: Database, store: Path) -> None:
    """Fail unless each file of the store has the digest in its name, and each row has its file."""
    kept = {}
    for path in (store / "sha256").glob("*/*"):
        content = path.read_bytes()
        assert hashlib.sha256(content).hexdigest() == path.name
        kept[path.name] = len(content)
    rows = (
        "SELECT coalesce(pack_sha256, sha256), coalesce(pack_bytes, size_bytes)"
        " FROM staged_files WHERE pack_offset IS NULL OR pack_sha256 IS NOT NULL"
    )
    for digest, size in select(database, rows):
        assert kept.get(digest) == size, f"a row names {digest}, which the store does not have"


def temporary_files(store: Path) -> list[Path]:
    """Return the files that are being written to the store."""
    return [path for path in (store / "tmp").rglob("*") if path.is_file()]
