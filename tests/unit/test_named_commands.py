"""Command lines in messages, pages and documents: all of them are valid."""

import ast
import re
from collections.abc import Iterator
from functools import cache
from pathlib import Path
from typing import Any

import pytest
import typer

import staging_api
from staging_api import cli

PACKAGE = Path(staging_api.__file__).parent
REPOSITORY = PACKAGE.parent
#: Placeholder of unknown values.
_VALUE = "\0"
# Double backticks contain the subject of a module, which may be a verb with all its actions.
_LINE = re.compile(r"(?<![\w/.-])(?<!``)staging-api ([a-z\0-][^`\"'()<|#&;\n]*)")


def texts(path: Path) -> Iterator[str]:
    """Yield the texts of a file; of Python its literals, adjacent ones joined."""
    if path.suffix != ".py":
        yield path.read_text()
        return
    nodes = list(ast.walk(ast.parse(path.read_text())))
    formatted = [node for node in nodes if isinstance(node, ast.JoinedStr)]
    parts = {id(each) for node in formatted for each in node.values}
    for text in formatted:
        values = (each.value if isinstance(each, ast.Constant) else _VALUE for each in text.values)
        yield "".join(map(str, values))
    for node in nodes:
        if isinstance(node, ast.Constant) and isinstance(node.value, str) and id(node) not in parts:
            yield node.value


def faults(text: str) -> Iterator[str]:
    """Yield the errors in the command lines of a text."""
    for line in _LINE.findall(text):
        verb, *others = line.rstrip(" ,:").split()
        if verb.startswith((_VALUE, "-")):
            continue
        command = _command(verb)
        if command is None:
            yield f"no verb {verb}: {line}"
            continue
        actions: dict[str, Any] = getattr(command, "commands", {})
        action = others[0] if others else ""
        if actions and action in actions:
            command = actions[action]
        elif actions and (action.isalpha() or not (action or command.invoke_without_command)):
            yield f"{verb} has no action {action!r}: {line}"
            continue
        known = {option for each in command.params for option in (*each.opts, *each.secondary_opts)}
        for option in re.findall(r"(?<=\s)--[a-z][a-z0-9-]*", line):
            if option not in known:
                yield f"no option {option}: {line}"


@cache
def _command(verb: str) -> Any:
    if verb not in cli.VERBS:
        return None
    root: Any = typer.main.get_command(cli._application([verb]))
    return root.commands[verb]


FILES = [
    *(path for suffix in ("py", "html") for path in sorted(PACKAGE.rglob(f"*.{suffix}"))),
    *(REPOSITORY / "docs").rglob("*.md"),
    REPOSITORY / "README.md",
]


def test_every_command_that_is_named_exists() -> None:
    named = [path for path in FILES if any(_LINE.search(text) for text in texts(path))]
    assert len(named) > 40
    found = [
        f"{path.relative_to(REPOSITORY)}: {fault}"
        for path in named
        for text in texts(path)
        for fault in faults(text)
    ]
    assert not found, "\n".join(sorted(set(found)))


@pytest.mark.parametrize(
    "line",
    [
        "staging-api publsh list",
        "see `staging-api publish show`",
        "`staging-api audit`, which names the row",
        "$ staging-api locks brake ID",
        "staging-api status --newest",
        "staging-api publish list tools --newest",
    ],
)
def test_an_invalid_command_line_is_found(line: str) -> None:
    assert len(list(faults(line))) == 1
    assert not list(faults("`staging-api locks --all`, `staging-api locks break ID --reason R`"))
