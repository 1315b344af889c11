"""Files and functions stay short enough to be read at once."""

import ast
import io
import re
import tokenize
from collections.abc import Iterator
from functools import cache
from pathlib import Path

import staging_api

PACKAGE = Path(staging_api.__file__).parent
_NOT_CODE = frozenset(
    {
        tokenize.COMMENT,
        tokenize.NL,
        tokenize.NEWLINE,
        tokenize.INDENT,
        tokenize.DEDENT,
        tokenize.ENDMARKER,
    }
)
_BRANCHES = (
    ast.If, ast.IfExp, ast.For, ast.AsyncFor, ast.While, ast.ExceptHandler, ast.match_case
)  # fmt: skip
_FUNCTIONS = (ast.FunctionDef, ast.AsyncFunctionDef)


def code_lines(source: str, tree: ast.Module) -> set[int]:
    """The lines that are neither blank nor a comment nor a docstring."""
    found: set[int] = set()
    for token in tokenize.generate_tokens(io.StringIO(source).readline):
        if token.type not in _NOT_CODE:
            found.update(range(token.start[0], token.end[0] + 1))
    for node in ast.walk(tree):
        if isinstance(node, ast.Expr) and isinstance(node.value, ast.Constant):
            found.difference_update(range(node.lineno, (node.end_lineno or 0) + 1))
    return found


@cache
def figures() -> tuple[dict[str, int], dict[str, int], list[int]]:
    """Code lines of files and of functions, and the branches of functions."""
    files, functions, branches = {}, {}, []
    for path in PACKAGE.rglob("*.py"):
        source, name = path.read_text(), str(path.relative_to(PACKAGE))
        tree = ast.parse(source)
        lines = code_lines(source, tree)
        files[name] = len(lines)
        for function in functions_of(tree):
            own = lines.intersection(range(function.lineno, (function.end_lineno or 0) + 1))
            functions[f"{name}:{function.lineno} {function.name}"] = len(own)
            branches.append(1 + sum(isinstance(node, _BRANCHES) for node in ast.walk(function)))
    return files, functions, branches


def functions_of(tree: ast.Module) -> Iterator[ast.FunctionDef | ast.AsyncFunctionDef]:
    return (node for node in ast.walk(tree) if isinstance(node, _FUNCTIONS))


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


#: Names that a library, or the ancestor of an operation, fixes; and where a process is the noun.
_NAMED_BY_OTHERS = re.compile(
    r"process_(re\w+|name)|_?process_accepted|run_process|init_(process|poolmanager)|_?processes"
    r"|handle\w*|add_error_handlers|init_poolmanager"
)
_VAGUE = re.compile(r"_and_|(^|_)(helper|util|manager|process|handle|handler)s?(_|$)")


def test_a_function_does_one_thing_that_its_name_says() -> None:
    """No name has an "and", and none says only that something is helped, managed or processed."""
    vague = {
        function.name
        for path in PACKAGE.rglob("*.py")
        for function in functions_of(ast.parse(path.read_text()))
        if _VAGUE.search(function.name) and not _NAMED_BY_OTHERS.fullmatch(function.name)
    }
    assert vague == set()
