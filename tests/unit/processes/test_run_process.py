"""Order of a process's checks before its work, and of the work."""

from types import SimpleNamespace
from typing import Any

import pytest

from staging_api import logs
from staging_api.errors import Invalid
from staging_api.processes import run
from staging_api.settings import Settings

SETTINGS: Any = SimpleNamespace(log_format="json")


@pytest.fixture
def done(monkeypatch: pytest.MonkeyPatch) -> list[tuple[Any, ...]]:
    """Record the steps, in order."""
    found: list[tuple[Any, ...]] = []

    def note(name: str, *given: Any, returned: Any = None) -> Any:
        found.append((name, *given))
        return returned

    monkeypatch.setattr(
        Settings, "from_env", lambda **chosen: note("settings", chosen, returned=SETTINGS)
    )
    for name in ("check_configuration", "wait_for_addresses", "stop_with_parent", "_run_with"):
        monkeypatch.setattr(run, name, lambda *given, name=name: note(name, *given))
    monkeypatch.setattr(run, "database_of", lambda settings: ("database of", settings))
    monkeypatch.setattr(logs, "configure", lambda form: note("logs", form))
    return found


def work(_settings: Any) -> None:
    raise AssertionError("it is run with its database")


@pytest.mark.parametrize("with_parent", [False, True])
def test_a_process_checks_listens_to_its_parent_if_it_shall_and_runs(
    done: list[tuple[Any, ...]], with_parent: bool
) -> None:
    run.run_process(work, "api", with_parent=with_parent, bind="127.0.0.1:1", threads=3)
    assert done == [
        ("settings", {"bind": "127.0.0.1:1", "threads": 3}),
        ("check_configuration", SETTINGS, "api"),
        ("wait_for_addresses", SETTINGS, "api"),
        ("logs", "json"),
        *([("stop_with_parent",)] if with_parent else []),
        ("_run_with", ("database of", SETTINGS), work),
    ]


def test_what_cannot_work_starts_nothing(
    done: list[tuple[Any, ...]], monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse(_settings: Any, _kind: str) -> None:
        raise Invalid("it cannot work")

    monkeypatch.setattr(run, "check_configuration", refuse)
    with pytest.raises(Invalid, match="it cannot work"):
        run.run_process(work, "worker", with_parent=True)
    assert done == [("settings", {})]
