"""Copy of rows from one database into another with an older schema, as its pods left them."""

from collections.abc import Mapping, Sequence
from typing import Any

from sqlalchemy import Connection, text

Rows = Mapping[str, str]

_COLUMNS = text("""
    SELECT string_agg(format('%I', column_name), ', ' ORDER BY ordinal_position)
    FROM information_schema.columns
    WHERE table_schema = 'public' AND table_name = :table AND is_generated = 'NEVER'
""")
_SEQUENCES = text("""
    SELECT column_name FROM information_schema.columns
    WHERE table_schema = 'public' AND table_name = :table AND is_identity = 'YES'
""")


def rows_of(conn: Connection, tables: Sequence[str]) -> Rows:
    """Return all rows of these tables as JSON; the text of JSON columns is kept exactly."""
    return {
        table: str(
            conn.execute(
                text(f"SELECT coalesce(json_agg(to_json(t)), '[]')::text FROM {table} t")
            ).scalar_one()
        )
        for table in tables
    }


def put_rows(conn: Connection, rows: Rows) -> list[str]:
    """Insert rows into those tables and columns that exist; return the tables.

    Triggers are disabled: the rows that triggers wrote in the other database are copied as well.
    """
    conn.execute(text("SET LOCAL session_replication_role = 'replica'"))
    there = [table for table in rows if _scalar(conn, _COLUMNS, table) is not None]
    for table in there:
        columns = _scalar(conn, _COLUMNS, table)
        conn.execute(
            text(
                f"INSERT INTO {table} ({columns}) OVERRIDING SYSTEM VALUE"
                f" SELECT {columns}"
                f" FROM json_populate_recordset(NULL::{table}, CAST(:rows AS json))"
            ),
            {"rows": rows[table]},
        )
        for (column,) in conn.execute(_SEQUENCES, {"table": table}):
            highest = f"(SELECT coalesce(max({column}), 0) + 1 FROM {table})"
            conn.execute(
                text(f"SELECT setval(pg_get_serial_sequence('{table}', '{column}'), {highest})")
            )
    return there


def _scalar(conn: Connection, statement: Any, table: str) -> Any:
    return conn.execute(statement, {"table": table}).scalar_one_or_none()
