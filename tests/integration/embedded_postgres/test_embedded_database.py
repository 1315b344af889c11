"""Embedded PostgreSQL in the service: error messages with setting names, and the URL's driver."""

import os
import subprocess
import sys
from pathlib import Path

import pytest
from sqlalchemy import create_engine, make_url, text

from staging_api.cli.exits import REFUSED
from staging_api.db.embedded import running
from staging_api.errors import DatabaseUnusable
from tests.integration.embedded_postgres.embedded_lives import (
    give_to_another,
    nothing_lives,
    temporary_home,
)
from tests.service import free_port


def test_missing_programs_name_the_extra_and_the_database_url(tmp_path: Path) -> None:
    with (
        pytest.raises(DatabaseUnusable, match=r"staging_api\[embedded\].*STAGING_DATABASE_URL"),
        running(tmp_path, tmp_path),
    ):
        pass
    assert list(tmp_path.iterdir()) == []


def test_the_folder_of_another_user_names_the_home_and_the_database_url() -> None:
    with temporary_home() as home:
        give_to_another(home / "postgresql")
        with (
            pytest.raises(DatabaseUnusable, match=r"user id.*STAGING_HOME.*STAGING_DATABASE_URL"),
            running(home),
        ):
            pass


def test_the_url_names_the_driver_and_the_database_of_a_service_that_loses_nothing() -> None:
    with temporary_home() as home, running(home) as server:
        assert make_url(server.url).drivername == "postgresql+psycopg2"
        engine = create_engine(server.url)
        with engine.connect() as connection:
            assert connection.execute(text("SELECT current_database()")).scalar_one() == "staging"
            assert connection.execute(text("SHOW fsync")).scalar_one() == "on"
        engine.dispose()


@pytest.mark.parametrize("verb", ["serve", "api"])
def test_the_database_starts_beside_imports_and_checks_once_it_was_made(verb: str) -> None:
    with temporary_home() as home, temporary_home() as fresh:
        with running(home):
            pass
        nothing_lives(home)
        log = home / "postgresql" / "server.log"
        log.unlink()
        refused = {"CATALOGUE": "/nowhere", "BIND": f"127.0.0.1:{free_port()}"}
        for folder in (home, fresh):
            given = {f"STAGING_{k}": v for k, v in {**refused, "HOME": str(folder)}.items()}
            program = [sys.executable, "-m", "staging_api", verb]
            ended = subprocess.run(program, check=False, env={**os.environ, **given})
            assert ended.returncode == REFUSED
        assert log.exists()
        assert list(fresh.rglob("*")) == [fresh / "postgresql"]
