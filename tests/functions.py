"""Comparison of the database's functions, triggers and views with the files that define them.

``staging_api/db/functions`` has their current definitions. A migration applies a frozen copy of
statements that it changes, so that a later change of a file never changes what an older step does.
"""

import re
import sys
from collections.abc import Iterator
from pathlib import Path
from tempfile import TemporaryDirectory

from sqlalchemy import Connection, create_engine, text

from staging_api.db.embedded import running
from staging_api.db.migrate import migrate

ROOT = Path(__file__).parents[1]
FILES = ROOT / "staging_api" / "db" / "functions"
FROZEN = ROOT / "migrations" / "sql"
HOW_TO_RENEW = (
    "change the file in staging_api/db/functions, run `make functions STEP=0000` with the number of"
    " your migration, and apply the file that it writes"
)
#: Start of each frozen file: PostgreSQL does not check bodies, so functions may be in any order.
HEAD = """\
-- Statements of staging_api/db/functions as they were at this step, written by `make functions`.
SET LOCAL check_function_bodies = off;
"""

# No line of a body begins with these words. Statements of one object stay together: an ALTER that
# the preceding CREATE would undo, and the DROP of a constraint trigger, which cannot be replaced.
_STATEMENT = re.compile(r"^(?=CREATE OR REPLACE|COMMENT|DROP TRIGGER)", re.MULTILINE)
_NEXT_COMMENT = re.compile(r"\n(--.*\n|\n)*\Z")

_CATALOGUE = text("""
    WITH routines AS (
        SELECT p.oid, p.oid::regprocedure::text AS name, p.proacl FROM pg_proc p
        WHERE p.pronamespace = current_schema()::regnamespace AND p.prokind IN ('f', 'p')
    ), tables AS (
        SELECT c.oid, c.relname, c.relkind FROM pg_class c
        -- The triggers of a partition come with those of its table.
        WHERE c.relnamespace = current_schema()::regnamespace AND NOT c.relispartition
    )
    SELECT 'function ' || name AS name,
        concat_ws(' ', pg_get_functiondef(oid), proacl) AS definition FROM routines
    UNION ALL
    SELECT 'comment on function ' || name, obj_description(oid, 'pg_proc') FROM routines
    UNION ALL
    SELECT 'view ' || relname, pg_get_viewdef(oid) FROM tables WHERE relkind = 'v'
    UNION ALL
    SELECT 'comment on view ' || relname, obj_description(oid, 'pg_class') FROM tables
    WHERE relkind = 'v'
    UNION ALL
    SELECT format('comment on view %s, %s', c.relname, a.attname), col_description(c.oid, a.attnum)
    FROM tables c JOIN pg_attribute a ON a.attrelid = c.oid AND a.attnum > 0 WHERE c.relkind = 'v'
    UNION ALL
    SELECT format('trigger %s on %s', t.tgname, c.relname),
        concat_ws(' ', pg_get_triggerdef(t.oid), t.tgenabled)
    FROM pg_trigger t JOIN tables c ON c.oid = t.tgrelid
    WHERE NOT t.tgisinternal  -- those of foreign keys are PostgreSQL's own
""")
_DROPS = text("""
    SELECT format('DROP VIEW IF EXISTS %I CASCADE', c.relname)
    FROM pg_class c WHERE c.relnamespace = current_schema()::regnamespace AND c.relkind = 'v'
    UNION ALL
    SELECT format('DROP ROUTINE IF EXISTS %s CASCADE', p.oid::regprocedure)
    FROM pg_proc p WHERE p.pronamespace = current_schema()::regnamespace
""")


def statements() -> Iterator[str]:
    """Yield every statement of the files, without the comment lines before it."""
    for path in sorted(FILES.glob("*.sql")):
        for statement in _STATEMENT.split(path.read_text())[1:]:
            yield _NEXT_COMMENT.sub("\n", statement)


def catalogue(conn: Connection) -> dict[str, str | None]:
    """Return the functions, triggers and views of the database by name, with their comments."""
    return {row.name: row.definition for row in conn.execute(_CATALOGUE)}


def catalogue_of_files(conn: Connection) -> dict[str, str | None]:
    """Return the same for the files, applied to this database, which stays unchanged."""
    with conn.begin_nested() as savepoint:
        for drop in conn.execute(_DROPS).scalars().all():
            conn.exec_driver_sql(drop)
        run(conn, HEAD)
        for statement in statements():
            run(conn, statement)
        made = catalogue(conn)
        savepoint.rollback()
    return made


def differences(conn: Connection) -> list[str]:
    """Return the names of objects that differ between files and database, or exist in only one."""
    found, made = catalogue(conn), catalogue_of_files(conn)
    missing = object()
    return sorted(
        name
        for name in found.keys() | made.keys()
        if found.get(name, missing) != made.get(name, missing)
    )


def frozen(conn: Connection) -> str:
    """Return the statements of the files that would change this database, which stays unchanged."""
    changing = []
    with conn.begin_nested() as savepoint:
        run(conn, HEAD)
        before = catalogue(conn)
        for statement in statements():
            run(conn, statement)
            after = catalogue(conn)
            if after != before:
                changing.append(statement)
            before = after
        savepoint.rollback()
    return "\n".join([HEAD, *changing])


def run(conn: Connection, sql: str) -> None:
    """Run statements as a migration does: colons and percent signs do not start a parameter."""
    conn.exec_driver_sql(sql.replace("%", "%%"))


def freeze(step: str) -> Path:
    """Write the frozen copy for one migration, from a database with all other migrations."""
    path = FROZEN / f"{step}_functions.sql"
    path.write_text(HEAD)  # statements of an earlier freeze for this step must not count as applied
    with TemporaryDirectory() as home, running(Path(home), durable=False) as server:
        migrate(server.url)
        engine = create_engine(server.url)
        with engine.connect() as conn:
            path.write_text(frozen(conn))
        engine.dispose()
    return path


if __name__ == "__main__":
    print(freeze(sys.argv[1]))
