"""Services of a process: representation, and order of closing."""

from typing import Any

import pytest

from staging_api import about
from staging_api.db.migrate import wanted_revision
from staging_api.heartbeats.model import ProcessLoad
from staging_api.metrics import LOCKS_REFUSED
from staging_api.processes import services as module
from staging_api.processes.services import Services
from staging_api.settings import Settings
from staging_api.shutdown import Drain, Shutdown
from staging_api.traces import untraced

Done = list[Any]


class Part:
    """Part that records its calls, by a dotted path."""

    def __init__(self, name: str, done: Done) -> None:
        self._name, self._done = name, done

    def __getattr__(self, name: str) -> Any:
        found = Part(f"{self._name}.{name}", self._done)
        self.__dict__[name] = found
        return found

    def __call__(self, *given: Any, **_named: Any) -> Any:
        self._done.append(self._name if not given else (self._name, *given))


@pytest.fixture
def done() -> Done:
    """Return the list of calls, in order."""
    return []


@pytest.fixture
def services(done: Done) -> Services:
    """Return services made of recording parts."""
    names = ("stagings", "watch", "accesses", "joining", "publisher", "blocks", "documents")
    given: dict[str, Any] = {name: Part(name, done) for name in (*names, "probes")}
    given["stagings"].locks.holder = "api-1"
    given["stagings"].locks.shutdown = Shutdown()
    database: Any = Part("probes_database", done)
    found = Services(Settings(), **given, drain=Drain(), probes_database=database)
    found.__dict__.update(changes=Part("changes", done), heartbeat=Part("heartbeat", done))
    return found


def test_locks_are_given_back_before_anything_is_closed_and_databases_go_last(
    services: Services, done: Done, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(module, "finish", lambda: done.append("traces"))
    services.close()
    assert done == [
        "stagings.locks.release_all",
        "changes.close",
        "heartbeat.stop",
        "joining.watch.close",
        "accesses.close",
        "watch.close",
        "stagings.locks.close",
        "stagings.locks.database.close",
        "probes_database.close",
        "traces",
    ]


def test_a_process_is_shown_with_its_version_what_it_does_and_whether_it_ends(
    services: Services, done: Done
) -> None:
    services.begin_heartbeat("api", 8, "127.0.0.1:1", lambda: ProcessLoad(2, 1))
    [(name, described, load)] = done
    assert name == "heartbeat.start"
    assert (described.name, described.kind, described.places) == ("api-1", "api", 8)
    assert (described.address, described.version) == ("127.0.0.1:1", about.package_version())
    assert (described.build, described.schema) == (about.build(), wanted_revision())
    assert load() == ProcessLoad(2, 1, draining=False, refused=load().refused)


def test_what_was_refused_is_counted_for_all_kinds_of_locks_together() -> None:
    before = module.refusals()
    for kind in ("archive", "api"):
        LOCKS_REFUSED.labels(kind).inc(2)
    assert module.refusals() == before + 4


@pytest.mark.parametrize("by", ["drain", "shutdown"])
def test_a_process_ends_once_its_pod_drains_or_it_was_told_to(services: Services, by: str) -> None:
    assert not services._is_ending
    if by == "drain":
        services.drain.begin()
    else:
        services.locks.shutdown.begin(5)
    assert services._is_ending


@pytest.mark.parametrize("endpoint", ["", "http://127.0.0.1:1/v1/traces"])
def test_work_is_traced_where_traces_go_somewhere_and_undoes_what_was_not_confirmed(
    services: Services, done: Done, monkeypatch: pytest.MonkeyPatch, endpoint: str
) -> None:
    settings = Settings.from_env(traces_endpoint=endpoint, worker_jobs=6, worker_jobs_per_caller=3)
    services.__dict__["settings"] = settings
    made: Done = []
    monkeypatch.setattr(
        module, "Worker", lambda *given, **named: made.append((given, named)) or "worker"
    )
    monkeypatch.setattr(module, "work_traced", lambda _engines, url: ("traced", url))
    monkeypatch.setattr(module, "undo_overdue", lambda locks: done.append(("undone", locks)))
    worker: Any = services.worker()
    assert worker == "worker"
    [((stagings, jobs, spans), named)] = made
    assert (stagings, jobs) == (services.stagings, 6)
    assert spans == (("traced", endpoint) if endpoint else untraced)
    assert named["jobs_per_caller"] == 3
    [(chore, run)] = named["chores"].items()
    run()
    assert (chore, done) == ("unconfirmed commits", [("undone", services.locks)])
