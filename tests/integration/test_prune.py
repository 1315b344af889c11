"""The verb that drops old months of the history of locks."""

from datetime import UTC, datetime

import pytest
from sqlalchemy import text

from staging_api.cli import main
from staging_api.db.engine import Database
from tests.leases import acquired, grant_of, released, rows


@pytest.fixture
def old_month(database: Database) -> str:
    """A month of the history that ended long ago."""
    with database.begin() as conn:
        conn.execute(
            text(
                "CREATE TABLE api_locks_2020_01 PARTITION OF api_locks FOR VALUES"
                " FROM ('01DXEKZQ000000000000000000') TO ('01DZ0HR8000000000000000000')"
            )
        )
    return "api_locks_2020_01"


def test_prune_drops_months_that_are_over_and_keeps_the_rest(
    database: Database,
    database_url: str,
    old_month: str,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    lease = acquired(database)
    released(database, lease)
    monkeypatch.setenv("STAGING_DATABASE_URL", database_url)
    with pytest.raises(SystemExit) as ended:
        main(["prune", "--keep-days", "31"])
    assert ended.value.code == 0
    assert capsys.readouterr().out == f"dropped {old_month}; forgot 0 unused scopes\n"
    assert grant_of(database, lease).outcome == "released"
    this_month = f"api_locks_{datetime.now(UTC):%Y_%m}"
    assert rows(database, "SELECT to_regclass(:name) IS NOT NULL", name=this_month) == [(True,)]
