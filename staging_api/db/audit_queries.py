"""The auditors' questions as SQL: the files of ``db/audit``, shown in docs/how-to/audit.md.

A file name consists of the number and the name of the question. The first line of the file is the
question itself. A word behind a colon is a parameter.
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

from staging_api.db.engine import Database, database_time

#: Length of the period of a question if no dates are given.
_DAYS = 30
# The colon must not follow another one: ``::`` is a cast.
_PARAMETER = re.compile(r"(?<!:):([a-z0-9_]+)")
_FILE = re.compile(r"(?P<number>\d+)_(?P<name>\w+)\.sql")


@dataclass(frozen=True)
class AuditQuery:
    """One question.

    Attributes:
        number: its position on the page.
        name: its name on the command line.
        question: the question, as a sentence.
        sql: the query, without a semicolon.
    """

    number: int
    name: str
    question: str
    sql: str

    @cached_property
    def parameters(self) -> Sequence[str]:
        """The names of the parameters, in the order of their first use."""
        return tuple(dict.fromkeys(_PARAMETER.findall(self.sql)))


@cache
def audit_queries() -> Sequence[AuditQuery]:
    """Return all questions, ordered by number."""
    folder = files("staging_api.db").joinpath("audit")
    named = [(_FILE.fullmatch(file.name), file) for file in folder.iterdir()]
    found = [_read(match, file.read_text("utf-8")) for match, file in named if match]
    return tuple(sorted(found, key=lambda query: query.number))


@contextmanager
def answered(
    database: Database, query: AuditQuery, given: Mapping[str, Any]
) -> Iterator[tuple[Sequence[str], Iterator[Sequence[Any]]]]:
    """Run a query in a read-only transaction; yield its column names and an iterator of its rows.

    Args:
        database: database, read with the role of its URL.
        query: the question.
        given: a value for each parameter: times, text, a list for ``allowed``. Missing times get
            the defaults of `usual_times`.

    Raises:
        Unavailable: the database cannot be reached.
    """
    with database.begin() as conn:
        conn.exec_driver_sql("SET TRANSACTION READ ONLY")
        values = {**usual_times(conn), **given}
        rows = conn.execute(text(query.sql), {name: values[name] for name in query.parameters})
        yield tuple(rows.keys()), (tuple(row) for row in rows)


def usual_times(conn: Connection) -> Mapping[str, datetime]:
    """Return the default times of a question.

    They are by the database's clock, which dated the rows: by a slow local clock the newest rows
    would be missed.
    """
    now = database_time(conn)
    return {"since": now - timedelta(days=_DAYS), "until": now, "moment": now}


def _read(match: "re.Match[str]", content: str) -> AuditQuery:
    question, _, sql = content.partition("\n")
    return AuditQuery(
        number=int(match["number"]),
        name=match["name"].replace("_", "-"),
        question=question.removeprefix("-- "),
        sql=sql.rstrip().removesuffix(";"),
    )
