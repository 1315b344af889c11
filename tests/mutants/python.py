"""Mutations of Python: found in the syntax tree, applied to the text, so that the rest stays."""

import ast
import re
from collections.abc import Iterator
from dataclasses import dataclass
from itertools import pairwise

from tests.mutants import sql

# Start of a change, its end, the replacement, and its kind.
Change = tuple[int, int, str, str]

_COMPARISONS = {
    ast.Eq: ("==", "!="),
    ast.NotEq: ("!=", "=="),
    ast.Lt: ("<", ">="),
    ast.GtE: (">=", "<"),
    ast.Gt: (">", "<="),
    ast.LtE: ("<=", ">"),
    ast.Is: ("is", "is not"),
    ast.IsNot: (r"is\s+not", "is"),
    ast.In: ("in", "not in"),
    ast.NotIn: (r"not\s+in", "in"),
}
#: Calls that decide what a power cut leaves, and their order.
_DURABLE = {
    *("sync", "fsync", "fdatasync", "sync_folder", "flush", "truncate", "ftruncate"),
    *("rename", "replace", "link", "unlink", "rmdir", "rmtree", "write_bytes", "write_text"),
}
_LOGGING = {"debug", "info", "warning", "error", "exception", "log"}
#: Calls that read the content at a name.
_READING = {"get", "pop", "get_header", "getheader"}
_HEADER = re.compile(
    r"Cache-Control|ETag|Vary|Accept-Ranges|Content-[A-Z][A-Za-z-]+|Last-Modified|Location"
    r"|Retry-After|WWW-Authenticate|Connection|Allow|Age|X-[A-Z][A-Za-z-]+"
)
_CACHING = re.compile(r"(?:no-store|no-cache|public|private|immutable|max-age=)\b[\w=, -]*\Z")
_FOR_EVER = "public, max-age=31536000, immutable"


def changes(source: bytes) -> Iterator[Change]:
    """Yield every change of a Python file, unordered and without duplicates."""
    return iter(sorted(set(_Finder(source).found())))


@dataclass
class _Finder:
    source: bytes

    def found(self) -> Iterator[Change]:
        tree = ast.parse(self.source)
        self._starts = [0]
        for line in self.source.splitlines(keepends=True):
            self._starts.append(self._starts[-1] + len(line))
        self._prose = _prose(tree)
        self._defaults = set(_defaults(tree))
        for node in ast.walk(tree):
            if node not in self._prose:
                yield from self._of(node)

    def _of(self, node: ast.AST) -> Iterator[Change]:
        match node:
            case ast.Compare():
                yield from self._comparison(node)
            case ast.BoolOp():
                yield from self._bool_op(node)
            case ast.UnaryOp(op=ast.Not()):
                # A bracket may precede the operand: only the word is removed.
                yield self._start(node), self._start(node) + len("not"), "", "boolean"
            case ast.If(test=test) | ast.While(test=test) | ast.IfExp(test=test):
                yield from self._inverted(test)
            case ast.Constant():
                yield from self._constant(node)
            case ast.JoinedStr():
                yield from self._sql(node)
            case ast.Expr(value=ast.Call() as call):
                yield from self._deleted(node, call)
            case ast.Call():
                yield from self._call(node)
            case ast.Dict() | ast.Assign():
                yield from self._header_values(node)

    def _comparison(self, node: ast.Compare) -> Iterator[Change]:
        for op, (left, right) in zip(
            node.ops, pairwise([node.left, *node.comparators]), strict=True
        ):
            pattern, after = _COMPARISONS[type(op)]
            yield from self._between(left, right, pattern, after, "comparison")

    def _bool_op(self, node: ast.BoolOp) -> Iterator[Change]:
        word, after = ("and", "or") if isinstance(node.op, ast.And) else ("or", "and")
        for left, right in pairwise(node.values):
            yield from self._between(left, right, word, after, "boolean")

    def _between(
        self, left: ast.expr, right: ast.expr, pattern: str, after: str, kind: str
    ) -> Iterator[Change]:
        start, end = self._end(left), self._start(right)
        # Comments between the operands could contain the word, too; there are few.
        gap = self.source[start:end]
        found = re.search(pattern.encode(), gap)
        if found and b"#" not in gap:
            yield start + found.start(), start + found.end(), after, kind

    def _inverted(self, test: ast.expr) -> Iterator[Change]:
        # Comparisons and `not` are inverted elsewhere; `while True` would do nothing.
        if isinstance(test, ast.Compare | ast.Constant) or _is_not(test):
            return
        yield self._start(test), self._end(test), f"not ({self._text(test)})", "boolean"

    def _constant(self, node: ast.Constant) -> Iterator[Change]:
        kind = "default" if node in self._defaults else None
        match node.value:
            case bool():
                yield self._all(node, str(not node.value), kind or "boolean")
            case int():
                yield self._all(node, str(node.value + 1), kind or "constant")
            case str() if _CACHING.match(node.value):
                turned = _FOR_EVER if node.value.startswith(("no-", "private")) else "no-store"
                yield self._all(node, repr(turned), "header")
            case str() if kind and node.value.isidentifier():
                yield self._all(node, repr(f"other_{node.value}"), kind)
            case str():
                yield from self._sql(node)

    def _sql(self, node: ast.Constant | ast.JoinedStr) -> Iterator[Change]:
        text = self._text(node)
        if not sql.IS_SQL.match(text.lstrip("rf").lstrip("\"'")):
            return
        first = self._start(node)
        for start, end, after, kind in sql.changes(text):
            before, until = len(text[:start].encode()), len(text[:end].encode())
            yield first + before, first + until, after, f"SQL {kind}"

    def _deleted(self, node: ast.Expr, call: ast.Call) -> Iterator[Change]:
        name = _name(call.func)
        if name not in _LOGGING:
            kind = "durability" if name in _DURABLE else "statement"
            yield self._all(node, "pass", kind)

    def _call(self, call: ast.Call) -> Iterator[Change]:
        if isinstance(call.func, ast.Attribute) and call.func.attr == "where" and call.args:
            yield self._end(call.func.value), self._end(call), "", "SQL where"
        match call.args:
            case [ast.Constant(value=str() as name), value] if _name(call.func) not in _READING:
                yield from self._header(name, value)

    def _header_values(self, node: ast.Dict | ast.Assign) -> Iterator[Change]:
        match node:
            case ast.Dict():
                for key, value in zip(node.keys, node.values, strict=True):
                    if isinstance(key, ast.Constant) and isinstance(key.value, str):
                        yield from self._header(key.value, value)
            case ast.Assign(targets=[ast.Subscript(slice=ast.Constant(value=str() as name))]):
                yield from self._header(name, node.value)

    def _header(self, name: str, value: ast.expr) -> Iterator[Change]:
        """Yield another value of a header; Cache-Control is changed as a constant, too."""
        if _HEADER.fullmatch(name) and not self._caching(value):
            yield self._all(value, '"of-a-mutant"', "header")

    @staticmethod
    def _caching(value: ast.expr) -> bool:
        known = isinstance(value, ast.Constant) and isinstance(value.value, str)
        return known and bool(_CACHING.match(value.value))  # type: ignore[attr-defined]

    def _all(self, node: ast.stmt | ast.expr, after: str, kind: str) -> Change:
        return self._start(node), self._end(node), after, kind

    def _text(self, node: ast.expr) -> str:
        return self.source[self._start(node) : self._end(node)].decode()

    def _start(self, node: ast.stmt | ast.expr) -> int:
        return self._starts[node.lineno - 1] + node.col_offset

    def _end(self, node: ast.stmt | ast.expr) -> int:
        assert node.end_lineno is not None
        assert node.end_col_offset is not None
        return self._starts[node.end_lineno - 1] + node.end_col_offset


def _prose(tree: ast.Module) -> set[ast.AST]:
    """Return nodes that no test should depend on: docstrings, annotations, log messages,
    and defaults of a protocol's methods, which are never called.

    An f-string is changed only as SQL: before 3.12 Python reports wrong positions of its parts.
    """
    skipped: list[ast.AST] = []
    for node in ast.walk(tree):
        match node:
            case ast.Expr(value=ast.Constant()):
                skipped.append(node)
            case ast.Expr(value=ast.Call(func=func)) if _name(func) in _LOGGING:
                skipped.append(node)
            case ast.arg(annotation=ast.expr() as annotation):
                skipped.append(annotation)
            case ast.AnnAssign(annotation=annotation):
                skipped.append(annotation)
            case ast.FunctionDef(returns=returns, args=arguments):
                skipped += [returns] if returns else []
                skipped += _default_values(arguments) if _is_declared_only(node) else []
            case ast.JoinedStr(values=values):
                skipped += values
            case ast.keyword(arg="frozen" | "strict", value=value):
                # The types ensure that nothing writes to these; and zip's lengths never differ.
                skipped.append(value)
            case ast.If(test=ast.Name(id="TYPE_CHECKING")):
                skipped.append(node)
    return {inner for node in skipped for inner in ast.walk(node)}


def _defaults(tree: ast.Module) -> Iterator[ast.AST]:
    for node in ast.walk(tree):
        if isinstance(node, ast.arguments):
            yield from _default_values(node)


def _default_values(arguments: ast.arguments) -> list[ast.expr]:
    return [*arguments.defaults, *filter(None, arguments.kw_defaults)]


def _is_declared_only(function: ast.FunctionDef) -> bool:
    """Return whether its body is only a docstring or an ellipsis."""
    return all(
        isinstance(each, ast.Expr) and isinstance(each.value, ast.Constant)
        for each in function.body
    )


def _is_not(node: ast.expr) -> bool:
    return isinstance(node, ast.UnaryOp) and isinstance(node.op, ast.Not)


def _name(func: ast.expr) -> str:
    match func:
        case ast.Attribute(attr=name) | ast.Name(id=name):
            return name
    return ""
