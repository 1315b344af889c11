"""Verbs and fixtures for a lab: staged artifacts, pins, events, SQL, and builds in folders."""

import json
import subprocess
import sys
from collections.abc import Callable, Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from staging_api import errors
from staging_api.cli import main
from staging_api.client import StagingClient
from staging_api.database_url import libpq_environment
from staging_api.db.engine import Database
from tests.serving import serving
from tests.stagings import Bench, bench

Run = Callable[..., tuple[int, str]]


@pytest.fixture
def at(database: Database, database_url: str, tmp_path: Path) -> Iterator[Bench]:
    with bench(database, database_url, tmp_path) as made:
        yield made


@pytest.fixture
def url(at: Bench) -> Iterator[str]:
    with serving(at) as found:
        yield found


@pytest.fixture
def archive_url(at: Bench) -> str:
    """Return a fully staged build."""
    made = at.build()
    at.stage(made)
    return made


@pytest.fixture
def run(url: str, capfd: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> Run:
    """Return a function that runs the command line against the service: exit code and output."""
    monkeypatch.setenv("STAGING_SERVER", url)

    def run(*arguments: str) -> tuple[int, str]:
        capfd.readouterr()
        with pytest.raises(SystemExit) as ended:
            main(arguments)
        return int(ended.value.code or 0), capfd.readouterr().out

    return run


def artifact_id(run: Run, name: str) -> str:
    """Return the id of a staged artifact."""
    code, out = run("artifacts", "--state", "staged", "--name", name, "--json")
    assert code == 0
    (item,) = json.loads(out)["items"]
    return str(item["id"])


def test_artifacts_are_listed_shown_pinned_and_evicted(run: Run, archive_url: str) -> None:
    code, out = run("artifacts", "--archive", archive_url, "--state", "staged")
    assert (code, len(out.splitlines())) == (0, 2)
    found = artifact_id(run, "suites")
    code, out = run("artifacts", found)
    assert "suites/control" in out
    assert json.loads(run("artifacts", found, "--json")[1])["files"][0]["name"] == "suites/control"
    assert "pinned until" in run("pin", found, "--days", "1")[1]
    assert run("evict", found)[0] == 3
    assert "2999-01-01T00:00:00" in run("pin", found, "--until", "2999-01-01")[1]
    assert "pinned" not in run("pin", found, "--release")[1]
    code, out = run("evict", found)
    assert (code, out.split()[0]) == (0, "evicted")
    assert run("evict", found)[0] == 5
    assert run("pin", found)[0] == 2
    assert run("artifacts", found)[0] == 0


def test_events_come_in_order_until_the_staging_is_final(run: Run, archive_url: str) -> None:
    (staging,) = json.loads(run("status", "--json")[1])["items"]
    code, out = run("events", staging["id"])
    assert code == 0
    assert "payload staging -> staged" in out
    lines = [json.loads(line) for line in run("events", staging["id"], "--json")[1].splitlines()]
    assert [line["number"] for line in lines] == list(range(1, len(lines) + 1))
    code, out = run("events", staging["id"], "--after", str(len(lines) - 1), "--json")
    assert [json.loads(line)["number"] for line in out.splitlines()] == [len(lines)]


def test_psql_reads_the_tables_and_writes_only_when_told_to(
    run: Run, database_url: str, archive_url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("STAGING_DATABASE_URL", database_url)
    asked = "SELECT name FROM staged_artifacts WHERE state = 'staged' ORDER BY name"
    code, out = run("psql", "-c", asked, "--", "-tA")
    assert (code, out.split()) == (0, ["payload", "suites"])
    changed = "CREATE TABLE lab (a int); DROP TABLE lab"
    assert run("psql", "-c", changed)[0] == 1
    assert run("psql", "--write", "-c", changed)[0] == 0


def test_a_database_url_becomes_the_variables_of_its_programs() -> None:
    url = "postgresql+psycopg2://u:p%40@h:7/d?sslmode=require&application_name=x"
    assert libpq_environment(url) == {
        "PGHOST": "h",
        "PGPORT": "7",
        "PGDATABASE": "d",
        "PGUSER": "u",
        "PGPASSWORD": "p@",
        "PGSSLMODE": "require",
        "PGAPPNAME": "x",
    }


def test_a_borrowed_build_is_pinned_while_it_is_used_and_its_folder_goes(
    url: str, archive_url: str
) -> None:
    with StagingClient(url) as client:
        with client.borrow(archive_url, pin_seconds=60) as folder:
            assert (folder / "payload.bin").read_bytes() == b"payload of R17-1"
            (payload,) = client.artifacts(name="payload")
            with pytest.raises(errors.Conflict):
                client.evict(payload.id)
        assert not folder.exists()
        assert client.evict(payload.id).state == "evicted"


def pins(client: StagingClient) -> dict[str, datetime | None]:
    return {each.name: each.pinned_until for each in client.artifacts(state="staged")}


def test_a_borrowed_build_leaves_every_pin_of_others_as_it_is(url: str, archive_url: str) -> None:
    now = datetime.now(UTC).replace(microsecond=0)
    past, soon, late = (now + timedelta(days=days) for days in (-1, 1, 9))
    with StagingClient(url) as client, StagingClient(url) as other:
        payload, suites = (
            next(iter(client.artifacts(name=name))).id for name in ("payload", "suites")
        )
        # Before the block: a pin that ends earlier than the block's pin, and one that ends later.
        client.pin(payload, soon)
        client.pin(suites, late)
        with client.borrow(archive_url, pin_seconds=2 * 86400):
            meanwhile = pins(other)
            assert meanwhile["payload"] is not None
            assert soon < meanwhile["payload"] < late
            assert meanwhile["suites"] == late
        assert pins(other) == {"payload": soon, "suites": late}
        # An expired pin keeps nothing; a pin that is set within the block stays.
        client.pin(payload, past)
        client.pin(suites, past)
        with client.borrow(archive_url, pin_seconds=86400):
            with pytest.raises(errors.Conflict):
                other.evict(payload)
            other.pin(suites, late)
        assert pins(other) == {"payload": None, "suites": late}


def test_a_borrowed_build_may_have_a_folder_that_stays(
    url: str, archive_url: str, tmp_path: Path
) -> None:
    with StagingClient(url) as client, client.borrow(archive_url, ["payload"], to=tmp_path / "b"):
        pass
    assert (tmp_path / "b/payload.bin").exists()


USING = """
def test_one(staged_build):
    assert (staged_build({url!r}, "payload") / "payload.bin").exists()
    assert not (staged_build({url!r}, "payload") / "suites").exists()

def test_two(staged_build, staging_client):
    assert (staged_build({url!r}) / "suites/control").exists()
"""


def test_a_pytest_fixture_brings_builds(
    url: str, archive_url: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("STAGING_SERVER", url)
    (tmp_path / "conftest.py").write_text('pytest_plugins = ["staging_api.client.pytest_plugin"]\n')
    (tmp_path / "test_lab.py").write_text(USING.format(url=archive_url))
    (tmp_path / "pytest.ini").write_text("[pytest]\n")
    ran = subprocess.run(
        [sys.executable, "-m", "pytest", "-q", "-p", "no:schemathesis", str(tmp_path)],
        cwd=tmp_path,
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    assert "2 passed" in ran.stdout, ran.stdout + ran.stderr
