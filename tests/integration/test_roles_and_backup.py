"""Roles of docs/roles.sql, and a dump that is restored and used, as operators do."""

import os
import subprocess
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest
from sqlalchemy import URL, create_engine, make_url, text
from sqlalchemy.exc import DBAPIError

from staging_api.db.embedded import find_binaries
from staging_api.db.migrate import check_schema, migrate
from staging_api.locks import store
from staging_api.locks.hold import hold
from staging_api.locks.model import ARCHIVE, Lease
from staging_api.processes.bootstrap import build
from staging_api.processes.services import Services
from staging_api.settings import Settings
from staging_api.staging.resuming import resume
from tests.builds import build as objects_of_a_build
from tests.builds import build_path
from tests.databases import new_database
from tests.factories import ORIGIN, lock_request
from tests.source import ArchiveSource, archive_source

ROLES_SQL = Path(__file__).parents[2] / "docs" / "roles.sql"
#: Roles that log in; the auditors' role is shared by all databases of the server.
ROLES = ("staging_owner", "staging_app", "staging_backup")


@dataclass(frozen=True)
class Installed:
    """A database with the roles of the document."""

    superuser: URL

    def url(self, role: str) -> str:
        return self.superuser.set(username=role, password=None).render_as_string(False)

    def run(self, role: str, statement: str) -> None:
        engine = create_engine(self.url(role))
        try:
            with engine.begin() as conn:
                conn.execute(text(statement))
        finally:
            engine.dispose()


@pytest.fixture(scope="module")
def installed(database_url: str) -> Iterator[Installed]:
    with new_database(database_url) as url:
        made = Installed(make_url(url))
        for _ in range(2):
            program("psql", made.superuser, "--quiet", "-v", "ON_ERROR_STOP=1", "-f", ROLES_SQL)
        migrate(made.url("staging_owner"))
        yield made
    drop = Installed(make_url(database_url))
    for role in ROLES:
        drop.run(str(drop.superuser.username), f"DROP ROLE {role}")


@pytest.fixture(scope="module")
def source() -> Iterator[ArchiveSource]:
    with archive_source() as found:
        yield found


@pytest.fixture(scope="module")
def home(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return a folder with the store that belongs to the database."""
    return tmp_path_factory.mktemp("home")


@pytest.fixture
def services(installed: Installed, source: ArchiveSource, home: Path) -> Iterator[Services]:
    """Yield a process with the permissions of a pod."""
    made = services_on(installed.url("staging_app"), source, home)
    yield made
    made.close()


def services_on(url: str, source: ArchiveSource, home: Path) -> Services:
    return build(Settings.from_env(database_url=url, home=home, sources=f"{source.url}/"))


def program(name: str, url: URL, *arguments: str | Path) -> None:
    """Run one of PostgreSQL's own programs on a database."""
    where = {
        "PGHOST": url.host or str(url.query.get("host", "")),
        "PGPORT": str(url.port or url.query.get("port", "5432")),
        "PGUSER": url.username or "",
        "PGPASSWORD": url.password or "",
        "PGDATABASE": url.database or "",
    }
    command = [find_binaries() / name, *arguments]
    done = subprocess.run(
        command, env={**os.environ, **where}, capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr


def programs_are_of(services: Services) -> bool:
    """Return whether programs and server have one version: pg_restore supports no older server."""
    shown = subprocess.run(
        [find_binaries() / "pg_restore", "--version"], capture_output=True, text=True, check=True
    )
    with services.stagings.database.connect() as conn:
        server = str(conn.execute(text("SHOW server_version")).scalar_one())
    return shown.stdout.split()[-1].partition(".")[0] == server.partition(".")[0]


def test_a_pod_needs_no_more_than_its_role(services: Services, source: ArchiveSource):
    """Stage, clean up, create partitions: everything that the API and workers do."""
    check_schema(services.stagings.database)
    url = source.add(build_path(), objects_of_a_build())
    wanted = services.stagings.check_request(url, ["build"])
    staging = services.stagings.stage(wanted, ORIGIN)
    resume(services.stagings, staging, ORIGIN)
    assert services.stagings.find(staging.id).state == "staged"
    with services.stagings.database.connect() as conn:
        store.record_expired(conn, "tester")
        store.extend_history(conn)
        store.delete_unused_scopes(conn)


@pytest.mark.parametrize(
    ("role", "statement"),
    [
        ("staging_app", "CREATE TABLE mine (a int)"),
        ("staging_app", "ALTER TABLE stagings ADD COLUMN mine int"),
        ("staging_app", "DROP TABLE stagings"),
        ("staging_app", "TRUNCATE api_locks"),
        ("staging_app", "SET ROLE staging_owner"),
        ("staging_backup", "SET ROLE staging_audit"),
        ("staging_backup", "UPDATE stagings SET caller = 'me'"),
    ],
)
def test_a_role_may_do_no_more_than_its_name_says(installed: Installed, role: str, statement: str):
    with pytest.raises(DBAPIError, match=r"permission denied|must be owner"):
        installed.run(role, statement)


def test_an_auditor_reads_and_changes_nothing(installed: Installed):
    administrator = str(installed.superuser.username)
    as_auditor = "SET ROLE staging_audit; "
    installed.run(administrator, as_auditor + "SELECT 1 FROM api_locks, stagings, staged_artifacts")
    with pytest.raises(DBAPIError, match="permission denied"):
        installed.run(administrator, as_auditor + "DELETE FROM api_locks")


def test_a_dump_taken_under_load_is_restored_and_worked_on(
    installed: Installed, services: Services, source: ArchiveSource, home: Path, tmp_path: Path
):
    if not programs_are_of(services):
        pytest.skip("the programs that come with the wheel are of another version")
    url = source.add(build_path(), objects_of_a_build("dumped"))
    staged = services.stagings.stage(services.stagings.check_request(url, ["build"]), ORIGIN)
    other = source.add(build_path(), objects_of_a_build("in the middle"))
    dump = tmp_path / "staging.dump"
    with hold(services.locks, ARCHIVE, other, ORIGIN) as held:
        backup = make_url(installed.url("staging_backup"))
        program("pg_dump", backup, "--format=custom", f"--file={dump}")
    with new_database(installed.url(str(installed.superuser.username))) as empty:
        program(
            "pg_restore",
            make_url(empty),
            "--exit-on-error",
            f"--dbname={make_url(empty).database}",
            dump,
        )
        restored = services_on(empty, source, home)
        check_schema(restored.stagings.database)
        assert restored.stagings.find(staged.id) == staged
        # The lease in the dump must expire; the scope's next holder must have a higher fence.
        with restored.locks.database.connect() as conn:
            conn.execute(
                text("UPDATE lock_scopes SET expires_at = clock_timestamp() WHERE scope = :s"),
                {"s": other},
            )
            taken = store.acquire(conn, lock_request(other))
        assert isinstance(taken, Lease)
        assert taken.fence > held.lease.fence
        restored.close()
