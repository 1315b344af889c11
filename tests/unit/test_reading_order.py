"""Order of a module: public parts before helpers, so that a reader can stop early."""

import ast
from collections.abc import Iterator, Sequence
from pathlib import Path

import pytest

import staging_api

PACKAGE = Path(staging_api.__file__).parent
_FUNCTIONS = ast.FunctionDef | ast.AsyncFunctionDef


def helpers_first(source: str) -> list[str]:
    """Return helpers above public parts of a module or class, unless the import needs them."""
    module = ast.parse(source)
    classes = [node.body for node in ast.walk(module) if isinstance(node, ast.ClassDef)]
    return [name for body in (module.body, *classes) for name in _early(body)]


def _early(body: Sequence[ast.stmt]) -> list[str]:
    definitions = [node for node in body if isinstance(node, _FUNCTIONS | ast.ClassDef)]
    last = max((n.lineno for n in definitions if not is_helper(n.name)), default=0)
    early = {n.name: n for n in definitions if is_helper(n.name) and n.lineno < last}
    needed = {name for node in body if early for name in used_at_once(node)}
    for node in reversed(early.values()):
        if node.name in needed:
            needed |= names(node)
    return [name for name in early if name not in needed]


def is_helper(name: str) -> bool:
    return name.startswith("_") and not name.startswith("__")


def used_at_once(node: ast.stmt) -> Iterator[str]:
    """Return the names that a statement uses when it is executed; annotations can be quoted."""
    match node:
        case ast.FunctionDef() | ast.AsyncFunctionDef():
            defaults = [*node.args.defaults, *filter(None, node.args.kw_defaults)]
            for part in (*node.decorator_list, *defaults):
                yield from names(part)
        case ast.ClassDef():
            for part in (*node.decorator_list, *node.bases):
                yield from names(part)
            for each in node.body:
                yield from used_at_once(each)
        case ast.AnnAssign(value=ast.expr() as value):
            later = (each.body for each in ast.walk(value) if isinstance(each, ast.Lambda))
            yield from names(value).difference(*map(names, later))
        case ast.AnnAssign():
            pass
        case _:
            yield from names(node)


def names(node: ast.AST) -> set[str]:
    return {each.id for each in ast.walk(node) if isinstance(each, ast.Name)}


def test_helpers_follow_what_is_public() -> None:
    found = {
        str(path.relative_to(PACKAGE)): early
        for path in sorted(PACKAGE.rglob("*.py"))
        if (early := helpers_first(path.read_text()))
    }
    assert found == {}


@pytest.mark.parametrize(
    ("source", "early"),
    [
        ("def _help(): pass\ndef use(): _help()", ["_help"]),
        ("def use(): _help()\ndef _help(): pass", []),
        ("def use(): _help()\ndef _help(): pass\ndef other(): pass", ["_help"]),
        ("class Kept:\n    def _help(self): pass\n    def use(self): self._help()", ["_help"]),
        ("class Kept:\n    def __init__(self): pass\n    def use(self): pass", []),
        ("class _Part: pass\nclass Whole:\n    part: _Part", ["_Part"]),
        ("class _Base: pass\nclass Kind(_Base): pass", []),
        ("class Kept:\n    def _mark(f): return f\n    @_mark\n    def use(self): pass", []),
        ("def _one(): pass\ndef _two(): _one()\nTABLE = {1: _two}\ndef use(): pass", []),
        ("def _mark(f): return f\n@_mark\ndef use(): pass", []),
    ],
)
def test_only_what_the_import_needs_may_come_first(source: str, early: list[str]) -> None:
    assert helpers_first(source) == early
