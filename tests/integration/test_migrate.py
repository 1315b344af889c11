"""Schema: migrated by several processes at once, equal to the code's, refused if outdated."""

import os
import subprocess
import sys
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from configparser import ConfigParser
from pathlib import Path

import pytest
from alembic import command
from alembic.script import ScriptDirectory
from sqlalchemy import text

from staging_api.db import migrate as migration
from staging_api.db.engine import Database, open_database
from staging_api.db.migrate import check_schema, migrate, revisions, wanted_revision
from staging_api.db.tables import metadata
from staging_api.errors import MigrationFailed, SchemaOutdated
from tests import forked_command
from tests.databases import Schemas, new_database
from tests.rows import select
from tests.service import eventually

PROJECT = Path(__file__).parents[2]
AT_ONCE = 3
#: The advisory lock key of migrations/env.py.
MIGRATION_LOCK = 0x57A6E


@pytest.fixture
def empty_url(database_url: str) -> Iterator[str]:
    """Yield an empty database."""
    with new_database(database_url) as url:
        yield url


def test_processes_that_migrate_at_once_take_turns(empty_url: str, tmp_path: Path) -> None:
    pools = open_database(empty_url, 2)
    try:
        with pools.begin() as first:
            # The first lock of a migration: all of them have started before any of them continues.
            first.execute(text("SELECT pg_advisory_xact_lock(:key)"), {"key": MIGRATION_LOCK})
            running = [
                subprocess.Popen(
                    [*forked_command.words(), "migrate"],
                    env=environment(empty_url, tmp_path),
                    stderr=subprocess.PIPE,
                )
                for _ in range(AT_ONCE)
            ]
            eventually(lambda: waiting_for_lock(pools) == AT_ONCE, "they do not wait")
        ended = [(each.communicate(timeout=60)[1], each.returncode) for each in running]
    finally:
        pools.close()
    assert ended == [(b"", 0)] * AT_ONCE
    check_schema_of(empty_url)


def waiting_for_lock(pools: Database) -> int:
    """Return the number of sessions that wait for an advisory lock."""
    waiting = "SELECT count(*) FROM pg_locks WHERE locktype = 'advisory' AND NOT granted"
    ((count,),) = select(pools, waiting)
    return int(count)


def environment(url: str, home: Path) -> dict[str, str]:
    """Return the environment with which a process of the service is started."""
    return {**os.environ, "STAGING_DATABASE_URL": url, "STAGING_HOME": str(home)}


def check_schema_of(url: str) -> None:
    """Assert that the database has the schema that this version needs."""
    pools = open_database(url, 1)
    try:
        check_schema(pools)
    finally:
        pools.close()


def set_revision(url: str, revision: str) -> None:
    """Set the revision that a migrated database reports."""
    pools = open_database(url, 1)
    try:
        with pools.begin() as conn:
            conn.execute(text("UPDATE alembic_version SET version_num = :r"), {"r": revision})
    finally:
        pools.close()


def test_a_database_without_a_schema_is_refused_in_words(empty_url: str) -> None:
    with pytest.raises(SchemaOutdated, match=r"schema none, .*run `staging-api migrate`"):
        check_schema_of(empty_url)


def test_a_server_that_is_too_old_is_named(
    database_url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(migration, "_OLDEST_SERVER", 99)
    said = r"the server is PostgreSQL \d+\.\d+, this version needs PostgreSQL 99 or a newer one"
    with pytest.raises(MigrationFailed, match=said):
        migrate(database_url)


def test_an_old_schema_is_refused_and_a_newer_one_is_not(own_url: str) -> None:
    set_revision(own_url, "0000")
    with pytest.raises(SchemaOutdated, match="at schema 0000, this version needs"):
        check_schema_of(own_url)
    set_revision(own_url, "9999")
    check_schema_of(own_url)


@pytest.mark.parametrize("verb", ["api", "worker"])
def test_a_process_does_not_start_on_an_old_schema(
    empty_url: str, tmp_path: Path, verb: str
) -> None:
    ran = subprocess.run(
        [*forked_command.words(), verb],
        env=environment(empty_url, tmp_path),
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    assert ran.returncode != 0
    assert "staging-api migrate" in ran.stderr


@pytest.fixture
def outdated_url(schemas: Schemas) -> Iterator[str]:
    """Yield a database that lacks only the newest step."""
    with schemas(revisions()[-2]) as url:
        yield url


def test_many_threads_that_migrate_at_once_are_as_good_as_one(outdated_url: str) -> None:
    with ThreadPoolExecutor(AT_ONCE) as pool:
        reached = list(pool.map(migrate, [outdated_url] * AT_ONCE))
    assert reached == [wanted_revision()] * AT_ONCE
    check_schema_of(outdated_url)


def test_the_migrate_verb_brings_it_up(outdated_url: str, tmp_path: Path) -> None:
    ran = subprocess.run(
        [sys.executable, "-m", "staging_api", "migrate"],
        env=environment(outdated_url, tmp_path),
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    assert (ran.returncode, ran.stderr) == (0, "")
    check_schema_of(outdated_url)


# SQLAlchemy 2.1 reflects a NOT VALID constraint with an option that it then does not accept.
@pytest.mark.filterwarnings("ignore:Can't validate argument 'dialect_options'")
def test_autogenerate_finds_nothing_to_migrate(own_url: str) -> None:
    pools = open_database(own_url, 1)
    with pools.transactions.connect() as conn:
        command.check(migration._config(conn))
    pools.close()


def test_the_migrations_make_what_the_tables_say(own_url: str) -> None:
    """Autogenerate does not compare check constraints, comments or storage: this test does."""
    pools = open_database(own_url, 1)
    try:
        migrated = catalogue(pools)
        # The migrations create the types of columns; only the tables are created again.
        with pools.begin() as conn:
            for table in metadata.sorted_tables:
                conn.execute(text(f"DROP TABLE {table.name} CASCADE"))
            metadata.create_all(conn)
        declared = catalogue(pools)
    finally:
        pools.close()
    for kind, things in declared.items():
        assert migrated[kind] == things, f"{kind} differ"


def catalogue(database: Database) -> dict[str, set[tuple[object, ...]]]:
    """Return PostgreSQL's catalogue of our tables, without partitions, which change with time."""
    ours = ", ".join(f"'{table.name}'" for table in metadata.sorted_tables)
    with database.connect() as conn:
        return {
            kind: {tuple(row) for row in conn.execute(text(query.replace(":ours", ours)))}
            for kind, query in _CATALOGUE.items()
        }


_CATALOGUE = {
    "columns": """
        SELECT c.relname, a.attname, format_type(a.atttypid, a.atttypmod), a.attnotnull,
            pg_get_expr(d.adbin, d.adrelid), co.collname, a.attidentity,
            col_description(c.oid, a.attnum)
        FROM pg_class c
        JOIN pg_attribute a ON a.attrelid = c.oid AND a.attnum > 0 AND NOT a.attisdropped
        LEFT JOIN pg_attrdef d ON d.adrelid = c.oid AND d.adnum = a.attnum
        LEFT JOIN pg_collation co ON co.oid = a.attcollation
        WHERE c.relname IN (:ours)""",
    # Constraints added to existing rows may be unvalidated. Constraints of type t are triggers,
    # which only migrations create.
    "constraints": """
        SELECT conrelid::regclass::text, conname,
            replace(pg_get_constraintdef(oid), ' NOT VALID', '')
        FROM pg_constraint WHERE conrelid::regclass::text IN (:ours) AND contype <> 't'""",
    "indexes": "SELECT tablename, indexname, indexdef FROM pg_indexes WHERE tablename IN (:ours)",
    "tables": """
        SELECT relname, relkind, relpersistence, reloptions::text, pg_get_partkeydef(oid),
            obj_description(oid)
        FROM pg_class WHERE relname IN (:ours)""",
}


def test_setup_cfg_names_every_package_on_disk() -> None:
    config = ConfigParser()
    config.read(PROJECT / "setup.cfg")
    named = set(config["options"]["packages"].split())
    tops = {"staging_api": "staging_api", "migrations": "staging_api_migrations"}
    on_disk = {
        ".".join((package, *found.parent.relative_to(PROJECT / folder).parts))
        for folder, package in tops.items()
        for found in (PROJECT / folder).rglob("__init__.py")
    }
    assert named == on_disk


def test_a_migration_settles_what_older_versions_left_to_do(empty_url: str) -> None:
    """A staging that failed with two artifacts pending, one of which another staging needs."""
    config = migration._config()
    settling = next(
        step
        for step in ScriptDirectory.from_config(config).walk_revisions()
        if Path(step.path).stem.endswith("nothing_left_unsettled")
    )
    before = str(settling.down_revision)
    pools = open_database(empty_url, 2)
    try:
        with pools.begin() as conn:
            command.upgrade(migration._config(conn), before)
        with pools.begin() as conn:
            conn.execute(text(_LEFT_BEHIND))
        migrate(empty_url)
        found = select(
            pools, "SELECT name, state, staging_id, error_code FROM staged_artifacts ORDER BY name"
        )
        failures = select(
            pools, "SELECT id, failures ->> '4' IS NOT NULL FROM stagings ORDER BY id"
        )
    finally:
        pools.close()
    assert found == [
        ("mine", "failed", "1", "artifact_not_found"),
        ("shared", "pending", "2", None),
        ("theirs", "failed", "2", "artifact_not_found"),
        ("whole", "staged", "1", None),
    ]
    assert failures == [("1", False), ("2", True)]


_LEFT_BEHIND = """
    INSERT INTO archives (archive_url, static_prefix) VALUES ('u', 'p');
    INSERT INTO stagings (id, archive_url, state, requested, caller, finished_at, error_code)
    VALUES ('1', 'u', 'failed', '{mine,shared,whole}', 'a', now(), 'artifact_not_found'),
        ('2', 'u', 'running', '{shared,theirs}', 'b', NULL, NULL);
    INSERT INTO staged_artifacts (id, staging_id, archive_url, name, lock_kind, phase, state, path,
        error_code)
    VALUES ('1', '1', 'u', 'mine', 'archive', 'foreground', 'pending', 'p/1', NULL),
        ('2', '1', 'u', 'shared', 'archive', 'foreground', 'pending', 'p/2', NULL),
        ('4', '2', 'u', 'theirs', 'archive', 'foreground', 'failed', 'p/4', 'artifact_not_found');
    INSERT INTO staged_artifacts (id, staging_id, archive_url, name, lock_kind, phase, state, path,
        sha256, size_bytes, staged_at, source_url, fence)
    VALUES ('3', '1', 'u', 'whole', 'archive', 'foreground', 'staged', 'p/3', repeat('0', 64), 1,
        clock_timestamp(), 'u', 1);
"""
