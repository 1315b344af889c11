"""The embedded PostgreSQL of the service: its errors name settings, its URL names the driver."""

from pathlib import Path

import pytest
from sqlalchemy import create_engine, make_url, text

from staging_api.db.embedded import running
from staging_api.errors import DatabaseUnusable
from tests.integration.embedded_postgres.embedded_lives import give_to_another, temporary_home


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
