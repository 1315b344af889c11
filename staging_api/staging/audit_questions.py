"""Answer the auditors' questions, with parameters and results as text.

The SQL is that of ``db/audit``, which the documentation, the command line and the pages show.
"""

from collections.abc import Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from datetime import UTC, datetime
from decimal import Decimal
from itertools import islice
from typing import Any

from staging_api.db.audit_queries import AuditQuery, answered, audit_queries, usual_times
from staging_api.db.engine import Database
from staging_api.errors import Invalid, NotFound
from staging_api.staging.audit import AuditVerdict, verify

#: Parameters that are times, in UTC unless they have an offset.
TIMES = frozenset({"since", "until", "moment"})


@dataclass(frozen=True)
class AuditAnswer:
    """Rows of the answer to a question.

    Attributes:
        more: whether there are further rows beyond the limit.
    """

    columns: Sequence[str]
    rows: Sequence[Sequence[Any]]
    more: bool


@dataclass(frozen=True)
class AuditQuestions:
    """The questions, and the database that answers them.

    Attributes:
        allowed: the prefixes of the present allow-list, a parameter of one question.
    """

    database: Database
    allowed: Sequence[str] = ()

    @property
    def all(self) -> Sequence[AuditQuery]:
        """The questions, by number."""
        return audit_queries()

    def find(self, name: str) -> AuditQuery:
        """Return a question.

        Raises:
            NotFound: there is no question of this name.
        """
        found = next((query for query in self.all if query.name == name), None)
        if found is None:
            raise NotFound(f"there is no question {name}")
        return found

    def defaults(self) -> dict[str, Any]:
        """Return the default values of parameters.

        Raises:
            Unavailable: the database cannot be reached.
        """
        with self.database.connect() as conn:
            times = usual_times(conn)
        return {
            **{name: moment.astimezone(UTC) for name, moment in times.items()},
            "allowed": list(self.allowed),
        }

    def ask(self, query: AuditQuery, given: Mapping[str, str], most: int) -> AuditAnswer:
        """Answer a question with at most `most` rows, in a read-only transaction.

        Raises:
            Invalid: a parameter is missing, unknown, or no time.
            Unavailable: the database cannot be reached.
        """
        values = values_of(query, given, self.allowed)
        with answered(self.database, query, values) as (columns, rows):
            # One more row, which shows that there are further rows.
            found = list(islice(rows, most + 1))
        return AuditAnswer(columns, found[:most], len(found) > most)

    def verify(self, since: datetime | None, until: datetime | None) -> AuditVerdict:
        """Verify the events of stagings made between two times; see `audit.verify`."""
        return verify(self.database, since, until)


def values_of(
    query: AuditQuery, given: Mapping[str, str], allowed: Sequence[str]
) -> Mapping[str, Any]:
    """Return the values of a query's parameters, without times that are not given.

    Args:
        query: the question.
        given: values by parameter, as text.
        allowed: the present allow-list, the default for its parameter.

    Raises:
        Invalid: a parameter is missing, unknown, or no time.
    """
    values: dict[str, Any] = {"allowed": list(allowed)}
    for name, value in given.items():
        if name not in query.parameters:
            raise Invalid.field(name, f"{query.name} takes {parameters_line(query)}")
        values[name] = time_of(name, value) if name in TIMES else value
        if name == "allowed":
            values[name] = value.split(",")
    for name in query.parameters:
        if name not in values and name not in TIMES:
            raise Invalid.field(name, f"{query.name} needs {name}=...")
    return values


def time_of(name: str, value: str) -> datetime:
    """Parse a time, in UTC unless it has an offset.

    Raises:
        Invalid: the field is no time.
    """
    with suppress(ValueError, OverflowError):
        moment = datetime.fromisoformat(value)
        return moment.astimezone(UTC) if moment.tzinfo else moment.replace(tzinfo=UTC)
    raise Invalid.field(name, f"{value!r} is no time such as 2026-01-31T12:00:00")


def parameters_line(query: AuditQuery) -> str:
    """Return the parameters of a question, in words."""
    return ", ".join(f"{name}=..." for name in query.parameters) or "nothing: it has no parameters"


def cell(value: Any) -> str:
    """Return a value as a table shows it."""
    if value is None:
        return ""
    return value if isinstance(value, str) else str(plain(value))


def plain(value: Any) -> Any:
    """Return a value that JSON can represent."""
    if isinstance(value, datetime):
        return value.isoformat()
    if isinstance(value, Decimal):
        return int(value) if value == value.to_integral_value() else float(value)
    if isinstance(value, (list, tuple)):
        return " ".join(map(cell, value))
    return str(value)
