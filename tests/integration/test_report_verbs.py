"""Reports about the whole service in the client and the command line, against the real API."""

import json
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from staging_api.cli import main
from staging_api.client import StagingClient
from staging_api.db.engine import Database
from staging_api.heartbeats import rows
from staging_api.heartbeats.model import ProcessDescription, ProcessLoad
from staging_api.locks import store
from staging_api.locks.hold import hold
from staging_api.locks.model import ARCHIVE, IDEMPOTENCY
from tests.factories import ORIGIN, lock_request
from tests.serving import serving
from tests.stagings import NO_QUOTA, Bench, bench

Run = Callable[..., str]
POD = ProcessDescription("pod-1:7:ABCD", "api", "1.0", "0123456789ab", "0029", None, 64)


@pytest.fixture
def at(database: Database, database_url: str, tmp_path: Path) -> Iterator[Bench]:
    with bench(database, database_url, tmp_path, store=NO_QUOTA) as made:
        yield made


@pytest.fixture
def url(at: Bench) -> Iterator[str]:
    with serving(at) as served:
        yield served


@pytest.fixture
def run(url: str, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> Run:
    """Return a function that runs a verb, asserts success, and returns its output."""

    def run(*arguments: str) -> str:
        monkeypatch.setenv("STAGING_SERVER", url)
        with pytest.raises(SystemExit) as ended:
            main(arguments)
        assert not ended.value.code
        return capsys.readouterr().out

    return run


def as_json(run: Run, *arguments: str) -> Any:
    return json.loads(run(*arguments, "--json"))


def test_builds_are_listed_by_prefix(at: Bench, run: Run, url: str) -> None:
    first, second = at.build("R1"), at.build("R2")
    at.stage(first, "payload")
    at.stage(second, "payload")
    line, *others = run("builds", second).splitlines()
    assert (line.split()[:2], others) == ([second, "staged"], [])
    assert line.endswith("1 staged")
    with StagingClient(url) as client:
        found = [each["archive_url"] for each in client.builds(page_size=1)]
    assert found == [first, second]


def test_lists_are_filtered_by_options(at: Bench, run: Run) -> None:
    staging = at.stage(at.build("R1"), "payload", "suites")
    at.stage(at.build("R2"), "payload")
    url = staging.archive_url
    (shown,) = as_json(run, "status", "--prefix", url)["items"]
    assert shown["id"] == staging.id
    assert as_json(run, "status", "--error", "no_space")["items"] == []
    payload = next(each for each in staging.artifacts if each.name == "payload")
    for option, value in (("--sha256", payload.sha256), ("--path", f"/{payload.path}/")):
        (found,) = as_json(run, "artifacts", option, str(value))["items"]
        assert found["id"] == payload.id
    assert as_json(run, "artifacts", "--pinned")["items"] == []
    run("pin", payload.id, "--days", "1")
    assert [each["id"] for each in as_json(run, "artifacts", "--pinned")["items"]] == [payload.id]


def test_locks_show_who_waits_and_leave_keys_out(at: Bench, run: Run) -> None:
    scope, locks = "gs://bucket/board/R17-1", at.service.locks
    with hold(locks, ARCHIVE, scope, ORIGIN) as held, hold(locks, IDEMPOTENCY, "key", ORIGIN):
        with at.database.connect() as conn:
            store.wait(conn, lock_request(scope, caller="second", holder="pod-2"), 60)
        assert len(run("locks").splitlines()) == 2
        (line,) = run("locks", "--no-keys").splitlines()
        assert line.endswith("1 wait")
        (same,) = run("locks", "--kind", "archive", "--scope", f"{scope}/").splitlines()
        assert same.split()[0] == line.split()[0] == held.lease.id
        (waiter,) = run("locks", "waiters", held.lease.id).splitlines()
        assert waiter.split()[:2] == ["second", "pod-2"]


def test_events_of_all_stagings_are_listed(at: Bench, run: Run, url: str) -> None:
    stagings = {at.stage(at.build(name), "payload").id for name in ("R1", "R2")}
    with StagingClient(url) as client:
        events = list(client.all_events(page_size=3))
    assert {event.staging_id for event in events} == stagings
    lines = run("events", "--to", "staged", "--since", "2000-01-01").splitlines()
    assert len(lines) == 4
    assert {line.split()[0] for line in lines} == stagings


def test_the_store_is_shown_and_pruned_only_with_a_reason(at: Bench, run: Run, url: str) -> None:
    at.stage(at.build("R1", payload_bin=b"1" * 2000), "payload")
    assert ["used", "2.0", "kB"] in [line.split() for line in run("store").splitlines()]
    preview = run("store", "prune", "--idle-days", "0")
    assert "would be evicted: payload" in preview
    assert at.rows("SELECT state FROM staged_artifacts") == [("staged",)]
    done = run("store", "prune", "--idle-days", "0", "--reason", "make room")
    assert "evicted: 1 artifacts; freed: 2.0 kB" in done
    assert "packages are never evicted" not in preview + done
    assert "packages are never evicted" in run("store", "prune", "--idle-days", "0")
    with StagingClient(url) as client:
        (record,) = client.prunes()
        assert record["reason"] == "make room"
        assert client.store()["used_bytes"] == 0


def test_processes_and_oneself_are_shown(at: Bench, run: Run, url: str) -> None:
    with at.database.connect() as conn:
        rows.beat(conn, POD, ProcessLoad(busy=3), threads=70, every_seconds=5)
    (line,) = run("processes").splitlines()
    assert line.split()[:3] == ["pod-1:7:ABCD", "api", "alive"]
    assert "3 of 64 busy" in line
    assert run("me").startswith("anonymous: ")
    with StagingClient(url) as client:
        assert "GET /api/v1.0/me" in client.me()["may"]
        assert len(client.counts("minute", limit=3)["items"]) == 3
