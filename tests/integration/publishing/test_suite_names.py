"""Names and aliases of suites: unique within an archive."""

from collections.abc import Iterator

import pytest
from sqlalchemy import Connection, text

from staging_api.db.engine import Database
from staging_api.errors import Conflict
from staging_api.publishing.rows import apt_archives

ROWS = """
    INSERT INTO apt_archives (name, forms, retention_seconds, quarantine_seconds)
        VALUES ('one', '{gz}', 1, 1), ('two', '{gz}', 1, 1);
    INSERT INTO suites (archive_id, name, codename, aliases)
    SELECT a.id, s.name, s.name, s.aliases
    FROM apt_archives a, (VALUES ('one', 'stable', '{current,next}'::text[]),
        ('one', 'testing', '{}'), ('two', 'old', '{older}')) AS s (archive, name, aliases)
    WHERE a.name = s.archive;
"""


@pytest.fixture
def conn(database: Database) -> Iterator[Connection]:
    with database.begin() as made:
        made.exec_driver_sql(ROWS)
        yield made
        made.rollback()


@pytest.mark.parametrize(
    ("name", "aliases", "suite", "taken"),
    [
        ("stable", [], "stable", ["stable"]),
        ("next", [], "stable", ["next"]),
        ("new", ["next", "newer", "current"], "stable", ["current", "next"]),
        ("new", ["testing"], "testing", ["testing"]),
    ],
)
def test_a_name_that_is_taken_is_named_with_its_suite(
    conn: Connection, name: str, aliases: list[str], suite: str, taken: list[str]
) -> None:
    values = {"name": name, "codename": name, "aliases": aliases}
    archive = apt_archives.find_apt_archive(conn, "one")
    with pytest.raises(Conflict) as refused:
        apt_archives.add_suite(conn, archive, values)
    assert refused.value.detail == f"the suite {suite} is called {taken} already"


def test_names_of_another_archive_are_free(conn: Connection) -> None:
    before = conn.execute(text("SELECT count(*) FROM suites")).scalar_one()
    for archive, name in (("one", "old"), ("two", "stable")):
        values = {"name": name, "codename": name, "aliases": [f"{name}-er"]}
        apt_archives.add_suite(conn, apt_archives.find_apt_archive(conn, archive), values)
    assert conn.execute(text("SELECT count(*) FROM suites")).scalar_one() == before + 2
