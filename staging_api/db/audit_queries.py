"""The auditors' questions as SQL: the files of ``db/audit``, which docs/how-to/audit.md shows.

A file's name is its number and its name; its first line is the question. A word behind a colon is a
parameter.
"""

import re
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import datetime, timedelta
from functools import cache, cached_property
from importlib.resources import files
from typing import Any

from sqlalchemy import Connection, text

from staging_api.db.engine import Database

#: Of a question about a time between two dates that names none.
_DAYS = 30
_NOW = text("SELECT clock_timestamp()")
# Not behind another colon: ``::`` is a cast.
_PARAMETER = re.compile(r"(?<!:):([a-z0-9_]+)")
_FILE = re.compile(r"(?P<number>\d+)_(?P<name>\w+)\.sql")


@dataclass(frozen=True)
class AuditQuery:
    """One question.

    Attributes:
        number: its place on the page.
        name: the word by which the command line has it.
        question: a sentence.
        sql: the query, without a semicolon.
    """

    number: int
    name: str
    question: str
    sql: str

    @cached_property
    def parameters(self) -> Sequence[str]:
        """The names of its parameters, in the order of the text."""
        return tuple(dict.fromkeys(_PARAMETER.findall(self.sql)))


@cache
def audit_queries() -> Sequence[AuditQuery]:
    """Return all of them, by number."""
    folder = files("staging_api.db").joinpath("audit")
    named = [(_FILE.fullmatch(file.name), file) for file in folder.iterdir()]
    found = [_read(match, file.read_text("utf-8")) for match, file in named if match]
    return tuple(sorted(found, key=lambda query: query.number))


@contextmanager
def answered(
    database: Database, query: AuditQuery, given: Mapping[str, Any]
) -> Iterator[tuple[Sequence[str], Iterator[Sequence[Any]]]]:
    """Run a query in a transaction that can only read; for the block, its columns and its rows.

    Args:
        database: read as the role of its URL.
        query: the question.
        given: a value for each parameter: times, text; of ``allowed`` a list. Of times that are
            not given, the usual ones.

    Raises:
        Unavailable: the database cannot be reached.
    """
    with database.begin() as conn:
        conn.exec_driver_sql("SET TRANSACTION READ ONLY")
        values = {**usual_times(conn), **given}
        rows = conn.execute(text(query.sql), {name: values[name] for name in query.parameters})
        yield tuple(rows.keys()), (tuple(row) for row in rows)


def usual_times(conn: Connection) -> Mapping[str, datetime]:
    """Return the times of a question that names none.

    By the clock that dated what is asked about: a machine whose own is wrong would miss the newest.
    """
    now: datetime = conn.execute(_NOW).scalar_one()
    return {"since": now - timedelta(days=_DAYS), "until": now, "moment": now}


def _read(match: "re.Match[str]", content: str) -> AuditQuery:
    question, _, sql = content.partition("\n")
    return AuditQuery(
        number=int(match["number"]),
        name=match["name"].replace("_", "-"),
        question=question.removeprefix("-- "),
        sql=sql.rstrip().removesuffix(";"),
    )
