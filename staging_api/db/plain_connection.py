"""Statements that the driver sends, without the work that SQLAlchemy adds to each of them.

A connection of SQLAlchemy's, its events and the description of a result take longer than most
statements of a publisher run. `PlainConnection` has the method of a connection that such a
statement needs, so that one function serves both. On one of `Database.plain_connection` each
statement commits by itself; `engine.plain_connection_of` is for the statements of a transaction.
"""

from collections import namedtuple
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import lru_cache
from typing import Any

from sqlalchemy import Connection, TextClause
from sqlalchemy.dialects.postgresql import psycopg2

_DIALECT: Any = psycopg2.dialect()  # type: ignore[no-untyped-call]

#: Names of the columns, and the rows, of a statement in the driver's words.
Send = Callable[[str, Mapping[str, Any]], tuple[Sequence[str], list[tuple[Any, ...]]]]


@dataclass(frozen=True)
class FoundRows:
    """The rows of a statement, whose columns are attributes; it is read like a `CursorResult`."""

    rows: Sequence[Any]

    def __iter__(self) -> Iterator[Any]:
        return iter(self.rows)

    def all(self) -> Sequence[Any]:
        """Return all rows."""
        return self.rows

    def one(self) -> Any:
        """Return the only row."""
        (row,) = self.rows
        return row

    def one_or_none(self) -> Any:
        """Return the only row; None if there is none."""
        return self.one() if self.rows else None

    def scalars(self) -> Iterator[Any]:
        """Yield the first column."""
        return (row[0] for row in self.rows)

    def scalar_one_or_none(self) -> Any:
        """Return the first column of the only row; None if there is none."""
        return self.scalar_one() if self.rows else None

    def scalar_one(self) -> Any:
        """Return the first column of the only row."""
        return self.one()[0]


@dataclass(frozen=True)
class PlainConnection:
    """Stand-in for a connection of SQLAlchemy's.

    Attributes:
        send: sends a statement, and raises `DBAPIError` as SQLAlchemy does.
    """

    send: Send

    def execute(self, statement: TextClause, given: Mapping[str, Any] | None = None) -> FoundRows:
        """Send a statement; return its rows, or those of its last part if it has several."""
        names, rows = self.send(_for_driver(statement), given or {})
        return FoundRows([*map(_row_with(tuple(names))._make, rows)] if rows else ())


#: What executes statements.
Statements = Connection | PlainConnection


@lru_cache(maxsize=256)
def _for_driver(statement: TextClause) -> str:
    """Return a statement with the parameters as the driver names them."""
    return str(statement.compile(dialect=_DIALECT))


@lru_cache(maxsize=256)
def _row_with(names: tuple[str, ...]) -> Any:
    """Return the class of rows with these columns."""
    return namedtuple("Found", names, rename=True)  # noqa: PYI024 - of any columns
