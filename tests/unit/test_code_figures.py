"""Code figures: limits for the length of files and functions."""

import ast
import re
from bisect import bisect_left, bisect_right
from collections.abc import Sequence
from functools import cache
from pathlib import Path

import staging_api

PACKAGE = Path(staging_api.__file__).parent
_BRANCHES = (
    ast.If, ast.IfExp, ast.For, ast.AsyncFor, ast.While, ast.ExceptHandler, ast.match_case
)  # fmt: skip
_FUNCTIONS = (ast.FunctionDef, ast.AsyncFunctionDef)


def code_lines(source: str, nodes: Sequence[ast.AST]) -> set[int]:
    """Return the lines that are neither blank nor a comment nor a docstring."""
    lines = enumerate(source.splitlines(), 1)
    found = {number for number, line in lines if (text := line.strip()) and text[0] != "#"}
    # Lines inside a long string that look like a comment, or are blank.
    for node in nodes:
        if isinstance(node, ast.Constant | ast.JoinedStr) and node.end_lineno != node.lineno:
            found.update(_lines(node))
    for node in nodes:
        if isinstance(node, ast.Expr) and isinstance(node.value, ast.Constant):
            found.difference_update(_lines(node))
    return found


def _lines(node: ast.expr | ast.stmt) -> range:
    return range(node.lineno, (node.end_lineno or 0) + 1)


def _line(node: ast.AST) -> int:
    return node.pattern.lineno if isinstance(node, ast.match_case) else node.lineno  # type: ignore[attr-defined]


@cache
def figures() -> tuple[dict[str, int], dict[str, int], list[int]]:
    """Return code lines of files and of functions, and the branches of functions."""
    files, functions, branches = {}, {}, []
    for path in PACKAGE.rglob("*.py"):
        source, name = path.read_text(), str(path.relative_to(PACKAGE))
        nodes = list(ast.walk(ast.parse(source)))
        lines = code_lines(source, nodes)
        files[name] = len(lines)
        forks = sorted(_line(node) for node in nodes if isinstance(node, _BRANCHES))
        for function in (node for node in nodes if isinstance(node, _FUNCTIONS)):
            own = lines.intersection(_lines(function))
            functions[f"{name}:{function.lineno} {function.name}"] = len(own)
            first = min(each.lineno for each in (function, *function.decorator_list))
            last = function.end_lineno or 0
            branches.append(1 + bisect_right(forks, last) - bisect_left(forks, first))
    return files, functions, branches


def at(share: float, values: list[int]) -> int:
    return sorted(values)[int(len(values) * share)]


def test_no_file_has_more_than_300_lines_of_code() -> None:
    files, _, _ = figures()
    assert {name: lines for name, lines in files.items() if lines > 300} == {}
    lines = list(files.values())
    assert (at(0.5, lines) <= 80, at(0.9, lines) <= 200) == (True, True)


def test_no_function_has_more_than_40_lines_of_code() -> None:
    _, functions, _ = figures()
    assert {name: lines for name, lines in functions.items() if lines > 40} == {}
    lines = list(functions.values())
    assert (at(0.5, lines) <= 6, at(0.9, lines) <= 18) == (True, True)


def test_functions_branch_little() -> None:
    _, _, branches = figures()
    assert at(0.9, branches) <= 4
    assert max(branches) <= 9


#: Names fixed by a library or by an ancestor's operation; and names whose noun is a process.
_NAMED_BY_OTHERS = re.compile(
    r"process_(headers|re\w+|name)|_?process_accepted|run_process|init_(process|poolmanager)|_?processes"
    r"|handle\w*|add_error_handlers|init_poolmanager"
)
_VAGUE = re.compile(r"_and_|(^|_)(helper|util|manager|process|handle|handler)s?(_|$)")


def test_a_function_does_one_thing_that_its_name_says() -> None:
    """No name contains "and"; none has only the verb "help", "manage" or "process"."""
    _, functions, _ = figures()
    names = {place.rpartition(" ")[2] for place in functions}
    vague = {name for name in names if _VAGUE.search(name) and not _NAMED_BY_OTHERS.fullmatch(name)}
    assert len(names) > 1000
    assert vague == set()
