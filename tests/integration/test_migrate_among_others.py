"""Migrations with concurrent users, with the wrong role, and on schemas of other versions."""

import logging
import os
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator
from contextlib import closing, contextmanager
from pathlib import Path

import psycopg2
import pytest
from sqlalchemy import make_url, text
from sqlalchemy.exc import OperationalError

from staging_api.db.engine import Database, open_database
from staging_api.db.lock_watch import LockWatch
from staging_api.db.migrate import engine_of, migrate, revisions, wanted_revision
from staging_api.errors import DeadlineOver, MigrationFailed, SchemaUnknown
from tests import forked_command
from tests.databases import Migrated, Schemas, new_database
from tests.service import eventually
from tests.traffic import Traffic

#: The last but one of the steps that lock many tables.
BEFORE = "0012"
_OF_MIGRATIONS = """
    SELECT count(*) FROM pg_stat_activity
    WHERE application_name = 'staging_api migrate' AND datname = current_database()"""


@pytest.fixture
def old_url(schemas: Schemas) -> Iterator[str]:
    """Yield a database with the schema before step 0013."""
    with schemas(BEFORE) as url:
        yield url


@pytest.fixture
def outdated_url(schemas: Schemas) -> Iterator[str]:
    """Yield a database that lacks only the newest step."""
    with schemas(revisions()[-2]) as url:
        yield url


def scalar(url: str, statement: str, *given: object) -> object:
    """Return the single value of a query, on a connection of its own."""
    with psycopg2.connect(dsn(url)) as conn, conn.cursor() as cursor:
        cursor.execute(statement, given or None)
        (value,) = cursor.fetchone() or (None,)
    conn.close()
    return value


def dsn(url: str) -> str:
    return make_url(url).set(drivername="postgresql").render_as_string(hide_password=False)


def revision_of(url: str) -> object:
    return scalar(url, "SELECT version_num FROM alembic_version")


@contextmanager
def reading(url: str, table: str, application: str = "report") -> Iterator[int]:
    """Yield the pid of a session that has read a table and keeps its transaction open."""
    conn = psycopg2.connect(dsn(url), application_name=application)
    try:
        with conn.cursor() as cursor:
            cursor.execute(f"SELECT count(*) FROM {table}")
        yield conn.info.backend_pid
    finally:
        conn.close()


def command(url: str) -> "subprocess.Popen[str]":
    return subprocess.Popen(
        [*forked_command.words(), "migrate"],
        env={**os.environ, "STAGING_DATABASE_URL": url},
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )


@pytest.mark.parametrize(
    "table",
    # Other tests have a reader of the first table.
    [pytest.param("blobs", marks=pytest.mark.prove), "release_files", "staging_events"],
)
def test_behind_a_long_reader_no_statement_waits_for_the_migration(
    old_url: str, table: str, caplog: pytest.LogCaptureFixture
):
    """First, last and partitioned table of a step: each queue of waiting statements is as short."""
    caplog.set_level(logging.WARNING)
    migrating = threading.Thread(target=migrate, args=(old_url,))
    with Traffic(old_url) as traffic, reading(old_url, table) as pid:
        migrating.start()
        eventually(
            lambda: f"waits for pid {pid} (report, role " in caplog.text,
            "the blocking session is not named",
        )
        traffic.go_on(50)
        assert revision_of(old_url) == BEFORE
    migrating.join(60)
    assert revision_of(old_url) == wanted_revision()
    assert f"SELECT count(*) FROM {table}" in caplog.text


def test_waits_of_a_step_for_several_locks_add_up(own_url: str):
    """A session releases its locks one by one, each early enough for `lock_timeout`."""
    keys = range(1, 101)
    engine = engine_of(own_url)
    with closing(psycopg2.connect(dsn(own_url))) as holder, holder.cursor() as cursor:
        holder.autocommit = True
        pid = holder.info.backend_pid
        cursor.execute("SELECT pg_advisory_lock(k) FROM generate_series(1, 100) k")
        stop = threading.Event()

        def release_all() -> None:
            for key in keys:
                waited = "SELECT count(*) FROM pg_locks WHERE objid = %s AND NOT granted"
                while not scalar(own_url, waited, key) and not stop.is_set():
                    stop.wait(0.01)
                stop.wait(0.05)
                cursor.execute("SELECT pg_advisory_unlock(%s)", [key])

        giving = threading.Thread(target=release_all)
        giving.start()
        watch = LockWatch(engine, limit_seconds=0.3)
        with pytest.raises(OperationalError, match="due to user request"), engine.begin() as conn:
            conn.execute(text("SET LOCAL lock_timeout = '10s'"))
            with watch.watching(conn):
                conn.execute(text("SELECT pg_advisory_xact_lock(k) FROM generate_series(1, 100) k"))
        stop.set()
        giving.join()
    engine.dispose()
    assert f"pid {pid} " in watch.blockers


def test_a_killed_migration_leaves_no_session_behind(old_url: str):
    with reading(old_url, "blobs"):
        running = command(old_url)
        eventually(lambda: bool(waiting_for_lock(old_url)), "it does not wait")
        running.kill()
        running.communicate()
        eventually(lambda: scalar(old_url, _OF_MIGRATIONS) == 0, "its session is there")
        assert revision_of(old_url) == BEFORE


def test_a_migration_killed_behind_another_leaves_no_session_either(old_url: str):
    """It waits for the other migration without a limit; its server notices its death."""
    with psycopg2.connect(dsn(old_url)) as other, other.cursor() as cursor:
        cursor.execute("SELECT pg_advisory_xact_lock(%s)", [0x57A6E])
        running = command(old_url)
        eventually(lambda: bool(waiting_for_lock(old_url)), "it does not wait")
        running.kill()
        running.communicate()
        eventually(lambda: scalar(old_url, _OF_MIGRATIONS) == 0, "its session is there")
    other.close()


def waiting_for_lock(url: str) -> object:
    return scalar(url, _OF_MIGRATIONS + " AND wait_event_type = 'Lock'")


def test_settings_of_the_role_do_not_end_a_migration(database_url: str, own_role: "Role"):
    with new_database(database_url) as url:
        name = make_url(url).database
        own_role.run(url, f'GRANT CREATE ON DATABASE "{name}" TO {own_role.name}')
        own_role.run(url, f"GRANT ALL ON SCHEMA public TO {own_role.name}")
        for setting in (
            "statement_timeout = '200ms'",
            "lock_timeout = '1ms'",
            "idle_in_transaction_session_timeout = '200ms'",
            "default_transaction_isolation = 'serializable'",
            "default_transaction_read_only = on",
        ):
            own_role.run(url, f"ALTER ROLE {own_role.name} SET {setting}")
        assert migrate(own_role.url(url)) == wanted_revision()
        own_role.run(url, f"REASSIGN OWNED BY {own_role.name} TO CURRENT_USER")
        own_role.run(url, f"DROP OWNED BY {own_role.name}")


class Role:
    """A role of one test, without permissions."""

    name = "staging_test_migrator"

    def url(self, url: str) -> str:
        """Return the URL of a database, for this role."""
        made = make_url(url).set(username=self.name, password="open-sesame")
        return made.render_as_string(hide_password=False)

    def run(self, url: str, statement: str) -> None:
        """Run a statement as the owner of the server."""
        conn = psycopg2.connect(dsn(url))
        conn.autocommit = True
        with conn.cursor() as cursor:
            cursor.execute(statement)
        conn.close()


@pytest.fixture
def own_role(database_url: str) -> Iterator[Role]:
    role = Role()
    role.run(database_url, f"DROP ROLE IF EXISTS {role.name}")
    role.run(database_url, f"CREATE ROLE {role.name} LOGIN PASSWORD 'open-sesame'")
    yield role
    role.run(database_url, f"DROP ROLE {role.name}")


@pytest.mark.parametrize("start", ["empty", "old"])
def test_a_role_without_rights_is_refused_in_one_line(schemas: Schemas, own_role: Role, start: str):
    with schemas(BEFORE if start == "old" else "") as url:
        if start == "old":
            own_role.run(url, f"GRANT SELECT, UPDATE ON alembic_version TO {own_role.name}")
        ran = command(own_role.url(url))
        _, said = ran.communicate(timeout=60)
        own_role.run(url, f"DROP OWNED BY {own_role.name}")
    assert ran.returncode == 4
    assert len(said.splitlines()) == 1, said
    assert "step 00" in said
    assert "whose role owns the tables" in said


def test_another_refusal_of_the_server_is_one_line(old_url: str):
    scalar(old_url, "CREATE VIEW stagings_told AS SELECT 1 AS one; SELECT 1")
    with pytest.raises(MigrationFailed, match=r"step 0013 .*already exists \(SQLSTATE 42P07\)"):
        migrate(old_url)


def test_a_blocked_migration_names_the_blocking_session(old_url: str):
    with reading(old_url, "blobs") as pid, pytest.raises(DeadlineOver, match=f"way: pid {pid} "):
        migrate(old_url, patience_seconds=0.1)
    assert migrate(old_url) == wanted_revision()


@pytest.fixture
def at(migrated: Migrated) -> Iterator[Callable[[str], str]]:
    """Yield a function that makes a migrated database report another revision."""
    with migrated() as url:

        def set_revision(revision: str) -> str:
            scalar(url, "UPDATE alembic_version SET version_num = %s RETURNING 1", revision)
            return url

        yield set_revision


@pytest.mark.parametrize("newer", ["9999", "12345"])
def test_a_newer_schema_is_not_changed(at: Callable[[str], str], newer: str):
    url = at(newer)
    ran = command(url)
    said, wrong = ran.communicate(timeout=60)
    assert (ran.returncode, wrong) == (0, "")
    assert f"at schema {newer}, newer than {wanted_revision()}: nothing to do" in said
    assert revision_of(url) == newer


@pytest.mark.parametrize("unknown", ["0012a", "3f2b9c01d4e7", "zzzz", "0000"])
def test_a_schema_that_is_not_in_the_line_is_named(at: Callable[[str], str], unknown: str):
    url = at(unknown)
    ran = command(url)
    _, said = ran.communicate(timeout=60)
    assert ran.returncode == 1
    assert len(said.splitlines()) == 1
    assert f"at schema {unknown}, this version needs {wanted_revision()}" in said
    assert "not in its line (0001 to " in said
    assert revision_of(url) == unknown


def test_two_schema_numbers_at_once_are_named(at: Callable[[str], str]):
    url = at("0012")
    scalar(url, "INSERT INTO alembic_version VALUES ('0011') RETURNING 1")
    with pytest.raises(SchemaUnknown, match="at schema 0011, 0012"):
        migrate(url)


def test_a_migration_of_an_old_version_beside_a_newer_one_does_nothing(own_url: str):
    pools: Database = open_database(own_url, 1)
    with pools.begin() as conn:
        conn.execute(text("CREATE TABLE of_a_later_version (id int)"))
        conn.execute(text("UPDATE alembic_version SET version_num = '8888'"))
    assert migrate(own_url) == "8888"
    with pools.connect() as conn:
        assert conn.execute(text("SELECT count(*) FROM of_a_later_version")).scalar_one() == 0
    pools.close()


def test_migrations_accept_the_usual_form_of_url(outdated_url: str):
    assert migrate(dsn(outdated_url)) == wanted_revision() == revision_of(outdated_url)


def test_alembic_by_hand_accepts_it_too(outdated_url: str):
    root = Path(__file__).parents[2]
    ran = subprocess.run(
        [sys.executable, "-m", "alembic", "upgrade", "head"],
        cwd=root,
        env={**os.environ, "STAGING_DATABASE_URL": dsn(outdated_url)},
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    assert ran.returncode == 0, ran.stderr
    assert revision_of(outdated_url) == wanted_revision()
