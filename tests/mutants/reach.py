"""Lines that depend on a mutant: those of its statement, or those that use what it defines."""

import ast
import re
from collections.abc import Iterator
from functools import cache
from itertools import zip_longest

from tests.mutants.model import PACKAGE, ROOT, Mutant

#: Line numbers of a file, from 1.
Lines = tuple[str, range]

_TRIGGER = re.compile(
    r"CREATE (?:OR REPLACE )?(?:CONSTRAINT )?TRIGGER \w+ \w+[^;]*? ON (\w+)[^;]*?"
    r"EXECUTE FUNCTION (\w+)"
)
_MADE = re.compile(r"CREATE (?:OR REPLACE )?(?:FUNCTION|PROCEDURE|VIEW) (\w+)")
_FUNCTION = (ast.FunctionDef, ast.AsyncFunctionDef)


def reached(mutant: Mutant) -> list[Lines]:
    """Return the lines whose tests may notice the mutant.

    For a statement in a function, these are its own lines. Code that runs at import (a default, a
    decorator, the body of a class, a constant) is run by every test, which says nothing: then
    these are the lines of the function or class; for a constant, the lines that name it, anywhere.
    For a database function, these are the lines of Python and of other functions that name it, or
    that name the table of its trigger.
    """
    if mutant.path.endswith(".sql"):
        return [each for name in _names_of_sql(mutant.path) for each in _naming(name)]
    tree = _tree(mutant.path)
    chain, function, statement = _around(mutant)
    if not runs_at_import(mutant):
        return [(mutant.path, _own(statement))]
    if function is not None:
        return [(mutant.path, _body(function))]
    owner = next((each for each in chain if isinstance(each, ast.ClassDef)), None)
    if owner is not None:
        bodies = [
            (mutant.path, _body(each)) for each in ast.walk(owner) if isinstance(each, _FUNCTION)
        ]
        return bodies or list(_naming(owner.name))
    found = [each for name in _assigned(statement) for each in _naming(name)]
    return found or [
        (mutant.path, _body(each)) for each in ast.walk(tree) if isinstance(each, _FUNCTION)
    ]


def runs_at_import(mutant: Mutant) -> bool:
    """Return whether a line of Python runs at import: no record shows who depends on it."""
    _, function, statement = _around(mutant)
    return function is None or statement is function


def _around(mutant: Mutant) -> tuple[list[ast.stmt], ast.stmt | None, ast.stmt]:
    """Return the statements around a mutant, its function, if any, and the innermost statement."""
    chain = list(_chain(_tree(mutant.path), mutant.line))
    function = next((each for each in reversed(chain) if isinstance(each, _FUNCTION)), None)
    return chain, function, chain[-1]


@cache
def _tree(path: str) -> ast.Module:
    return ast.parse((ROOT / path).read_bytes())


def _chain(tree: ast.Module, line: int) -> Iterator[ast.stmt]:
    """Yield the statements around a line, the outermost first."""
    body: list[ast.AST] = [tree]
    while body:
        inner = [
            child
            for node in body
            for child in ast.iter_child_nodes(node)
            if isinstance(child, ast.stmt | ast.excepthandler | ast.match_case)
        ]
        body = []
        for child in inner:
            if isinstance(child, ast.match_case) or _first(child) <= line <= (
                child.end_lineno or 0
            ):
                body.append(child)
                if isinstance(child, ast.stmt):
                    yield child


def _first(node: ast.stmt | ast.excepthandler) -> int:
    decorators: list[ast.expr] = getattr(node, "decorator_list", [])
    return min([node.lineno, *(each.lineno for each in decorators)])


def _own(statement: ast.stmt) -> range:
    """Return the statement's lines, without those of nested statements."""
    body = getattr(statement, "body", None)
    last = body[0].lineno - 1 if body else statement.end_lineno or statement.lineno
    return range(statement.lineno, max(last, statement.lineno) + 1)


def _body(function: ast.AST) -> range:
    assert isinstance(function, _FUNCTION)
    body = function.body
    docstring = isinstance(body[0], ast.Expr) and isinstance(body[0].value, ast.Constant)
    first = body[1] if docstring and len(body) > 1 else body[0]
    return range(first.lineno, (function.end_lineno or first.lineno) + 1)


def _assigned(statement: ast.stmt) -> list[str]:
    return [
        each.id
        for each in ast.walk(statement)
        if isinstance(each, ast.Name) and isinstance(each.ctx, ast.Store)
    ]


@cache
def _naming(name: str) -> list[Lines]:
    """Return the lines of the package's Python that contain the name."""
    word = re.compile(rf"\b{name}\b")
    found = []
    for path, lines in _texts().items():
        # Few lines contain the name at all, and a text search is quick.
        some = [(n, text) for n, text in enumerate(lines, 1) if name in text]
        found += [(path, range(n, n + 1)) for n, text in some if word.search(text)]
    return found


@cache
def _texts() -> dict[str, list[str]]:
    return {
        file.relative_to(ROOT).as_posix(): file.read_text().splitlines()
        for file in (ROOT / PACKAGE).rglob("*.py")
    }


def _names_of_sql(path: str) -> set[str]:
    """Return the names defined in a file of functions, and all functions that depend on them."""
    texts = [file.read_text() for file in sorted((ROOT / path).parent.glob("*.sql"))]
    made = {name: part for text in texts for name, part in _made(text)}
    names = set(_MADE.findall((ROOT / path).read_text()))
    # A trigger's function runs wherever its table is written.
    names |= {
        table for text in texts for table, called in _TRIGGER.findall(text) if called in names
    }
    while True:
        using = {
            name
            for name, part in made.items()
            if re.search("|".join(rf"\b{each}\b" for each in names) or r"\Z.", part)
        }
        if using <= names:
            return names
        names |= using


def _made(text: str) -> Iterator[tuple[str, str]]:
    starts = list(_MADE.finditer(text))
    for found, after in zip_longest(starts, starts[1:]):
        yield found[1], text[found.start() : after.start() if after else len(text)]
