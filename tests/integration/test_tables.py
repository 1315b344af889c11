"""The tables: as migrations make them, as the code has them and as docs/tables.md shows them."""

from pathlib import Path

from sqlalchemy import Table, text
from sqlalchemy.dialects import postgresql

from staging_api.db.engine import Database
from staging_api.db.tables import metadata

DOCUMENT = Path(__file__).parents[2] / "docs" / "tables.md"
HISTORIES = ("api_locks_", "staging_events_")


def documented() -> str:
    """The document, as it has to be."""
    tables = "\n\n".join(map(shown, sorted(metadata.tables.values(), key=lambda t: t.name)))
    return (
        "# The tables\n\n"
        "A public interface: the role `staging_audit` ([audit.md](audit.md)) may read them,\n"
        "and only migrations change them. Made from the code; a test compares.\n\n"
        f"{tables}\n"
    )


def shown(table: Table) -> str:
    """One table."""
    lines = [f"## {table.name}", "", str(table.comment), "", "| column | type | |", "|---|---|---|"]
    for column in table.columns:
        kind = column.type.compile(dialect=postgresql.dialect())
        kind = kind.replace(' COLLATE "C"', "").lower()
        marks = "" if column.nullable else ", not null"
        lines.append(f"| {column.name} | {kind}{marks} | {column.comment or ''} |")
    return "\n".join(lines)


def test_every_table_and_column_is_explained():
    silent = [
        f"{table.name}.{column.name}"
        for table in metadata.tables.values()
        for column in table.columns
        if not (column.comment and table.comment)
    ]
    assert silent == []


def test_the_document_shows_the_tables_as_they_are():
    assert DOCUMENT.read_text() == documented()


def test_the_database_explains_itself(database: Database) -> None:
    with database.connect() as conn:
        rows = conn.execute(
            text(
                "SELECT c.relname, a.attname, col_description(c.oid, a.attnum) FROM pg_class c"
                " JOIN pg_attribute a ON a.attrelid = c.oid AND a.attnum > 0"
                " WHERE NOT a.attisdropped AND c.relname = ANY (:names)"
            ),
            {"names": list(metadata.tables)},
        )
        told = {(table, column): comment for table, column, comment in rows}
    assert told == {
        (table.name, column.name): column.comment
        for table in metadata.tables.values()
        for column in table.columns
    }
