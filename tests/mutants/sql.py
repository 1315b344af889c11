"""Mutations of SQL, in the files of functions and in strings of Python.

A change that PostgreSQL cannot parse would count as killed and prove nothing. So a condition is
made constant with ``true OR``, which leaves the rest of the clause whole, and the ``=`` of an
assignment is left alone.
"""

import re
from collections.abc import Iterator

#: A string of Python is SQL if it begins like this, after its quotes.
IS_SQL = re.compile(r"\s*(SELECT|INSERT INTO|UPDATE|DELETE FROM|WITH(?: RECURSIVE)? \w+ AS)\s")

_CONDITION = r"\b(?:WHERE|AND|OR|ON|IF|ELSIF|WHEN|NOT|HAVING)\b(?:(?!\bSET\b)[^=<>;\n])*?"
# Pattern, number of the replaced group, replacement, and kind.
_CHANGES = (
    (r"\bWHERE (?!CURRENT OF)()", "true OR ", "where"),
    (rf"{_CONDITION}(?<![<>!:=])(=)(?![=>])", "<>", "comparison"),
    (r"(<>)", "=", "comparison"),
    (r"(?<=\s)(>)(?=\s)", "<=", "comparison"),
    (r"(?<=\s)(<)(?=\s)", ">=", "comparison"),
    (r"(?<=\s)(<=)(?=\s)", ">", "comparison"),
    (r"(?<=\s)(>=)(?=\s)", "<", "comparison"),
    (r"\b(IS NOT NULL)\b", "IS NULL", "comparison"),
    (r"\b(IS NULL)\b", "IS NOT NULL", "comparison"),
    (r"\b(IS NOT DISTINCT FROM)\b", "IS DISTINCT FROM", "comparison"),
    (r"\b(IS DISTINCT FROM)\b", "IS NOT DISTINCT FROM", "comparison"),
    (r"\b(NOT EXISTS)\b", "EXISTS", "boolean"),
    (r"(?<!NOT )(?<!IF )\b(EXISTS)(?= \()", "NOT EXISTS", "boolean"),
    (r"\bIF (NOT FOUND)\b", "FOUND", "boolean"),
    (r"\bIF (FOUND)\b", "NOT FOUND", "boolean"),
    (r"\b(true)\b", "false", "boolean"),
    (r"\b(false)\b", "true", "boolean"),
    (r"\b(FOR (?:NO KEY |KEY )?(?:UPDATE|SHARE)(?: OF \w+)?(?: SKIP LOCKED)?)\b", "", "row lock"),
    (r"[+-] (1)\b", "0", "constant"),
    (r"\bLIMIT (\d+)\b", "+1", "constant"),
    (r"\b(greatest)\(", "least", "constant"),
    (r"\b(least)\(", "greatest", "constant"),
)
_COMPILED = tuple((re.compile(pattern), after, kind) for pattern, after, kind in _CHANGES)
# Never changed: comments, and the text of the database's own documentation.
_PROSE = re.compile(r"--[^\n]*|^COMMENT ON.*?;$", re.MULTILINE | re.DOTALL)


def changes(text: str) -> Iterator[tuple[int, int, str, str]]:
    """Yield start, end, replacement and kind of every change of a piece of SQL.

    Args:
        text: SQL, or the source of a Python string that contains SQL, including its quotes.
    """
    prose = [found.span() for found in _PROSE.finditer(text)]
    seen = set()
    for pattern, after, kind in _COMPILED:
        for found in pattern.finditer(text):
            start, end = found.span(1)
            if any(first <= start < last for first, last in prose) or (start, after) in seen:
                continue
            seen.add((start, after))
            yield start, end, _next(found[1]) if after == "+1" else after, kind


def _next(number: str) -> str:
    return str(int(number) + 1)
