"""Defaults of the command line's options."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import typer

from staging_api import cli
from staging_api.cli.options import DEFAULT_SERVER


def commands() -> Iterator[tuple[str, Any]]:
    """Yield every command, with the words that call it."""
    for name in cli.VERBS:
        root: Any = typer.main.get_command(cli._application([name]))
        yield from _below(name, root.commands[name])


def _below(name: str, command: Any) -> Iterator[tuple[str, Any]]:
    inner = getattr(command, "commands", None)
    if inner is None:
        yield name, command
        return
    # `store` alone shows how full the store is.
    if command.invoke_without_command:
        yield name, command
    for word, each in inner.items():
        yield from _below(f"{name} {word}", each)


def defaults() -> dict[str, dict[str, Any]]:
    """Return the default of each command by option; flags by their meaning."""
    found: dict[str, dict[str, Any]] = {}
    for name, command in commands():
        for each in command.params:
            found.setdefault(each.opts[0], {})[name] = each.default
    return found


#: Flags that are on by default: each has an opposite flag.
SET = {"--wait": {"stage"}, "--background": {"wait"}}
NUMBERS: dict[str, dict[str, Any]] = {
    "--days": {"token": 90, "pin": None},
    "--keep-days": {"prune": 400},
    "--keep-bytes": {"prune": 0, "store prune": 0},
    "--connections": {"get": 8},
    "--limit": {"status": 20, "artifacts": 20, "builds": 50, "documents history": None},
    "--after": {"events": 0},
    "--archive-port": {"demo": 8000},
}


def test_no_flag_is_set_unless_it_is_given() -> None:
    assert len(list(commands())) > 70
    for name, command in commands():
        flags = [each for each in command.params if getattr(each, "is_flag", False)]
        is_set = {each.opts[0] for each in flags if each.default}
        assert is_set == {flag for flag, of in SET.items() if name in of}, name


def test_numbers_of_options_that_are_left_out() -> None:
    found = defaults()
    assert {option: found[option] for option in NUMBERS} == NUMBERS


def test_every_verb_asks_the_service_of_this_machine_and_ends_in_time() -> None:
    found = defaults()
    assert set(found["--server"].values()) == {DEFAULT_SERVER} == {"http://127.0.0.1:8080"}
    assert {float(each) for each in found["--timeout"].values()} == {60, 600, 3600}
    assert float(found["--timeout"]["migrate"]) == 600
    assert {float(found["--timeout"][name]) for name in ("stage", "get", "wait")} == {3600}
    assert found["--output"]["get"] == Path()
    assert found["--mode"]["documents create"] == "rejectoncontents"
