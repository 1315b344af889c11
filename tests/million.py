"""Rows of a year: 200,000 stagings with a million artifacts."""

from pathlib import Path

from sqlalchemy import text

from staging_api.db.engine import Database

_SQL = Path(__file__).parent / "million.sql"


def a_million_artifacts(database: Database) -> None:
    """Insert the rows of a year, with triggers disabled, and update the planner's statistics."""
    with database.begin() as conn:
        conn.execute(text("SET LOCAL session_replication_role = 'replica'"))
        for statement in _SQL.read_text().split(";\n\n"):
            conn.execute(text(statement))
    with database.connect() as conn:
        conn.execute(text("VACUUM ANALYZE"))
