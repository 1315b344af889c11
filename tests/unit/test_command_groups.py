"""Verbs with actions: output without an action, and unknown actions."""

from typing import Any

import typer

from staging_api import cli
from staging_api.db.audit_queries import audit_queries


def groups() -> dict[str, Any]:
    """Return each group by its name."""
    found: dict[str, Any] = {}
    for name in cli.VERBS:
        root: Any = typer.main.get_command(cli._application([name]))
        if hasattr(root.commands[name], "commands"):
            found[name] = root.commands[name]
    return found


def test_a_group_without_an_action_shows_its_list_or_else_its_help() -> None:
    shows = {name for name, group in groups().items() if group.invoke_without_command}
    helps = {name for name, group in groups().items() if group.no_args_is_help}
    assert shows == {"locks", "store"}
    assert helps == {"audit", "documents", "publish"}


def test_completion_is_of_the_whole_command_and_no_group_offers_its_own() -> None:
    for name, group in groups().items():
        options = {option for each in group.params for option in each.opts}
        assert not {option for option in options if "completion" in option}, name


def test_a_question_of_auditors_is_asked_by_its_name_or_its_number_and_listed_once() -> None:
    audit = groups()["audit"]
    listed = {name for name, command in audit.commands.items() if not command.hidden}
    assert listed == {"verify", *(query.name for query in audit_queries())}
    for query in audit_queries():
        by_number, by_name = audit.commands[str(query.number)], audit.commands[query.name]
        assert by_number.help == by_name.help == query.question


def test_what_only_the_service_gives_itself_is_not_listed() -> None:
    for name in ("api", "worker"):
        root: Any = typer.main.get_command(cli._application([name]))
        (option,) = (each for each in root.commands[name].params if "--with-parent" in each.opts)
        assert (option.hidden, option.default) == (True, False)
