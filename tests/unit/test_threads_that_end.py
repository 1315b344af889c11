"""Threads of this package: none keeps a process alive that ends for another reason."""

import ast
from pathlib import Path

import pytest

import staging_api

FILES = sorted(Path(staging_api.__file__).parent.rglob("*.py"))


def kept_by(source: str) -> list[int]:
    """Return the lines that start a thread or timer for which the interpreter would wait."""
    tree = ast.parse(source)
    daemons = {
        target.value.id
        for node in ast.walk(tree)
        if isinstance(node, ast.Assign) and is_true(node.value)
        for target in node.targets
        if isinstance(target, ast.Attribute)
        and target.attr == "daemon"
        and isinstance(target.value, ast.Name)
    }
    return [
        node.lineno
        for node in ast.walk(tree)
        if isinstance(node, ast.Assign | ast.Expr | ast.Return)
        for call in ast.walk(node)
        if isinstance(call, ast.Call) and name_of(call.func) in ("Thread", "Timer")
        if not any(each.arg == "daemon" and is_true(each.value) for each in call.keywords)
        if not (
            isinstance(node, ast.Assign)
            and isinstance(node.targets[0], ast.Name)
            and node.targets[0].id in daemons
        )
    ]


def name_of(called: ast.expr) -> str:
    match called:
        case ast.Attribute(attr=name) | ast.Name(id=name):
            return name
    return ""


def is_true(value: ast.expr) -> bool:
    return isinstance(value, ast.Constant) and value.value is True


@pytest.mark.parametrize(
    ("source", "kept"),
    [
        ("threading.Thread(target=run, daemon=True).start()", []),
        ("threading.Thread(target=run).start()", [1]),
        ("found = Thread(target=run, daemon=False)", [1]),
        ("timer = threading.Timer(1, run)\ntimer.daemon = True", []),
        ("timer = threading.Timer(1, run)\ntimer.daemon = False", [1]),
        ("timer = threading.Timer(1, run)\nother.daemon = True", [1]),
    ],
)
def test_what_keeps_a_process_is_found(source: str, kept: list[int]) -> None:
    assert kept_by(source) == kept


def test_none_keeps_a_process() -> None:
    found = {path.name: lines for path in FILES if (lines := kept_by(path.read_text()))}
    assert found == {}
