"""The verb `prune`: space in the store, in the history of locks and in the record of events."""

import json
from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path

import pytest
from sqlalchemy import text

from staging_api.cli import main
from staging_api.db.engine import Database
from tests.leases import acquired, grant_of, released, rows
from tests.stagings import Bench, bench


def run(*options: str) -> object:
    """Run the verb, and return its exit code."""
    with pytest.raises(SystemExit) as ended:
        main(["prune", *options])
    return ended.value.code


@pytest.fixture
def at(
    database: Database, database_url: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> Iterator[Bench]:
    """Yield a service with its own store, which the verb finds by its settings."""
    with bench(database, database_url, tmp_path) as made:
        monkeypatch.setenv("STAGING_DATABASE_URL", database_url)
        monkeypatch.setenv("STAGING_STORE", f"file://{made.store}")
        yield made


@pytest.fixture
def old_month(database: Database) -> str:
    """Create a month of history that ended long ago, and return its partition."""
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
    assert run("--keep-days", "31") == 0
    assert capsys.readouterr().out == f"dropped {old_month}; forgot 0 unused scopes\n"
    assert grant_of(database, lease).outcome == "released"
    this_month = f"api_locks_{datetime.now(UTC):%Y_%m}"
    assert rows(database, "SELECT to_regclass(:name) IS NOT NULL", name=this_month) == [(True,)]


def test_prune_evicts_unread_artifacts_and_lists_them(
    at: Bench, capsys: pytest.CaptureFixture[str]
) -> None:
    old, pinned, fresh = (at.build(f"R17-{number}") for number in (1, 2, 3))
    for url in (old, pinned, fresh):
        at.stage(url, "payload")
    at.tamper("UPDATE staged_artifacts SET staged_at = staged_at - interval '9 d'")
    at.tamper(
        "UPDATE staged_artifacts SET pinned_until = clock_timestamp() + interval '1 d'"
        " WHERE archive_url = :u",
        u=pinned,
    )
    at.tamper(
        "UPDATE staged_artifacts SET last_accessed_at = clock_timestamp() WHERE archive_url = :u",
        u=fresh,
    )
    assert run("--idle-days", "7", "--dry-run") == 0
    assert f"would be evicted: payload of {old}" in capsys.readouterr().out
    assert at.rows("SELECT 1 FROM staged_artifacts WHERE state = 'evicted'") == []
    assert run("--idle-days", "7", "--json") == 0
    report = json.loads(capsys.readouterr().out)
    assert [each["archive_url"] for each in report["evicted"]] == [old]
    evicted = "SELECT archive_url, evict_reason FROM staged_artifacts WHERE state = 'evicted'"
    assert at.rows(evicted) == [(old, "space")]


def test_prune_stops_evicting_at_the_bytes_to_keep(
    at: Bench, capsys: pytest.CaptureFixture[str]
) -> None:
    for number in (1, 2, 3):
        at.stage(at.build(f"R17-{number}"), "payload")
    size = len(b"payload of R17-1")
    for frees in (True, False):
        assert run("--idle-days", "0", "--keep-bytes", str(2 * size)) == 0
        assert len(at.rows("SELECT 1 FROM staged_artifacts WHERE state = 'staged'")) == 2
        assert ("packages are never evicted" in capsys.readouterr().out) is not frees


def test_prune_drops_old_events_with_a_reason_and_not_without(
    at: Bench, capsys: pytest.CaptureFixture[str]
) -> None:
    at.stage(at.build(), "payload")
    assert run("--events-days", "400") == 4
    assert "--reason" in capsys.readouterr().err
    assert run("--events-days", "400", "--reason", "age") == 0
    assert "dropped 0 events" in capsys.readouterr().out
    assert at.rows("SELECT count(*) > 0 FROM staging_events") == [(True,)]
