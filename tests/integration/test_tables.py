"""Tables: equal in the migrations, the code and docs/reference/tables.md."""

from pathlib import Path

from sqlalchemy import Connection, Table, text
from sqlalchemy.dialects import postgresql

from staging_api.db.engine import Database
from staging_api.db.schema import DOMAINS
from staging_api.db.tables import metadata

DOCUMENT = Path(__file__).parents[2] / "docs" / "reference" / "tables.md"
HISTORIES = ("api_locks_", "staging_events_")


def documented() -> str:
    """Return the document as generated from the code."""
    tables = "\n\n".join(map(shown, sorted(metadata.tables.values(), key=lambda t: t.name)))
    return (
        "# The tables\n\n"
        "A public interface: the role `staging_audit`\n"
        "([audit.md](../how-to/audit.md)) may read them,\n"
        "and only migrations change them. Made from the code; a test compares.\n\n"
        f"{tables}\n"
    )


def shown(table: Table) -> str:
    """Return the section of one table."""
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
        reported = {(table, column): comment for table, column, comment in rows}
    assert reported == {
        (table.name, column.name): column.comment
        for table in metadata.tables.values()
        for column in table.columns
    }


def test_the_database_has_the_checks_of_the_tables_and_no_others(database: Database) -> None:
    with database.begin() as conn, conn.begin_nested() as savepoint:
        there = checks(conn, "public")
        conn.execute(text("CREATE SCHEMA beside"))
        conn.execute(text("SET LOCAL search_path = beside, public"))
        metadata.create_all(conn, checkfirst=False)
        wanted = checks(conn, "beside")
        savepoint.rollback()
    assert there == wanted


def test_the_database_has_the_domains_of_the_tables(database: Database) -> None:
    with database.begin() as conn, conn.begin_nested() as savepoint:
        there = domains(conn, "public")
        conn.execute(text("CREATE SCHEMA beside"))
        for name, (kind, condition) in DOMAINS.items():
            conn.exec_driver_sql(f"CREATE DOMAIN beside.{name} AS {kind} CHECK ({condition})")
        wanted = domains(conn, "beside")
        savepoint.rollback()
    assert there == wanted


def domains(conn: Connection, schema: str) -> dict[str, tuple[str, str, str]]:
    """Return type, collation and condition of each domain of a schema."""
    rows = conn.execute(
        text(
            "SELECT d.typname, format_type(d.typbasetype, d.typtypmod), o.collname,"
            " pg_get_constraintdef(c.oid)"
            " FROM pg_type d JOIN pg_constraint c ON c.contypid = d.oid"
            " JOIN pg_collation o ON o.oid = d.typcollation"
            " WHERE d.typnamespace = CAST(:schema AS regnamespace)"
        ),
        {"schema": schema},
    )
    return {
        name: (kind, order, said.removesuffix(" NOT VALID")) for name, kind, order, said in rows
    }


def checks(conn: Connection, schema: str) -> dict[tuple[str, str], str]:
    """Return a schema's CHECK constraints by table and name, in PostgreSQL's own words."""
    rows = conn.execute(
        text(
            "SELECT t.relname, c.conname, pg_get_constraintdef(c.oid)"
            " FROM pg_constraint c JOIN pg_class t ON t.oid = c.conrelid"
            " WHERE c.contype = 'c' AND t.relnamespace = CAST(:schema AS regnamespace)"
            " AND NOT t.relispartition"
        ),
        {"schema": schema},
    )
    # NOT VALID describes how a constraint was added, not what it checks.
    return {(table, name): said.removesuffix(" NOT VALID") for table, name, said in rows}
