"""``staging-api audit``: the auditors' questions by name, and the proof that all is recorded."""

import csv
import json
import sys
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import closing
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from typing import Annotated, Any

import typer

from staging_api.cli.audit_verify import verify
from staging_api.cli.exits import EXIT_CODES
from staging_api.cli.options import AsJson
from staging_api.cli.output import exit_on_error, print_json, print_table
from staging_api.db.audit_queries import AuditQuery, answered, audit_queries
from staging_api.db.engine import open_database
from staging_api.errors import Invalid
from staging_api.processes.run import database_of
from staging_api.settings import Settings

#: Of a question about a time between two dates that names none.
_DAYS = 30
_TIMES = frozenset({"since", "until", "moment"})


def _verb(query: AuditQuery) -> Callable[..., None]:
    """Return the function of one question; they have the same options."""

    def ask(
        given: Annotated[
            list[str] | None,
            typer.Argument(metavar="[NAME=VALUE...]", help=f"Of {_parameters_line(query)}."),
        ] = None,
        *,
        as_csv: Annotated[
            bool, typer.Option("--csv", help="Comma-separated values, with a heading.")
        ] = False,
        as_json: AsJson = False,
    ) -> None:
        if as_csv and as_json:
            raise typer.BadParameter("either --csv or --json")
        with exit_on_error(as_json):
            settings = Settings.from_env()
            values = _values(query, given or (), settings.sources)
            with (
                database_of(settings) as found,
                closing(open_database(found.database_url, 1)) as database,
                answered(database, query, values) as (columns, rows),
            ):
                _print(columns, rows, as_csv=as_csv, as_json=as_json)

    ask.__doc__ = query.question
    return ask


def _values(query: AuditQuery, given: Sequence[str], sources: str) -> Mapping[str, Any]:
    """Return the values of a query's parameters; times and the allow-list have defaults.

    Raises:
        Invalid: one is missing, unknown, or no time.
    """
    values = _defaults(sources)
    for each in given:
        name, mark, value = each.partition("=")
        if not mark or name not in query.parameters:
            raise Invalid.field(name, f"{query.name} takes {_parameters_line(query)}")
        values[name] = _time(name, value) if name in _TIMES else value
        if name == "allowed":
            values[name] = value.split(",")
    for name in query.parameters:
        if name not in values:
            raise Invalid.field(name, f"{query.name} needs {name}=...")
    return values


def _defaults(sources: str) -> dict[str, Any]:
    now = datetime.now(UTC)
    allowed = [prefix.strip() for prefix in sources.split(",") if prefix.strip()]
    since = now - timedelta(days=_DAYS)
    return {"since": since, "until": now, "moment": now, "allowed": allowed}


def _time(name: str, value: str) -> datetime:
    try:
        moment = datetime.fromisoformat(value)
    except ValueError:
        raise Invalid.field(name, f"{value!r} is no time such as 2026-01-31T12:00:00") from None
    return moment if moment.tzinfo else moment.replace(tzinfo=UTC)


def _parameters_line(query: AuditQuery) -> str:
    return ", ".join(f"{name}=..." for name in query.parameters) or "nothing: it has no parameters"


def _print(
    columns: Sequence[str], rows: Iterable[Sequence[Any]], *, as_csv: bool, as_json: bool
) -> None:
    if as_json:
        items = [dict(zip(columns, row, strict=True)) for row in rows]
        print_json(json.loads(json.dumps({"items": items}, default=_plain)))
    elif as_csv:
        writer = csv.writer(sys.stdout, lineterminator="\n")
        writer.writerow(columns)
        writer.writerows([_cell(value) for value in row] for row in rows)
    else:
        print_table(_cells(rows), "no rows", heading=columns)


def _cells(rows: Iterable[Sequence[Any]]) -> Iterator[tuple[str, ...]]:
    for row in rows:
        yield tuple(map(_cell, row))


def _cell(value: Any) -> str:
    if value is None:
        return ""
    return value if isinstance(value, str) else str(_plain(value))


def _plain(value: Any) -> Any:
    if isinstance(value, datetime):
        return value.isoformat()
    if isinstance(value, Decimal):
        return int(value) if value == value.to_integral_value() else float(value)
    if isinstance(value, (list, tuple)):
        return " ".join(map(_cell, value))
    return str(value)


audit = typer.Typer(
    help="Ask the auditors' questions, or prove that the record of events is whole.\n\n"
    "A time is in UTC unless it says otherwise; `since` is 30 days ago and `until` now if they are"
    " not given. Only reads, in the database of STAGING_DATABASE_URL. The SQL is on the page"
    " how-to/audit of the documentation.",
    no_args_is_help=True,
    add_completion=False,
    rich_markup_mode=None,
    context_settings={"help_option_names": ["-h", "--help"]},
)
audit.command("verify", epilog=EXIT_CODES)(verify)
for _query in audit_queries():
    audit.command(_query.name, epilog=EXIT_CODES)(_verb(_query))
    audit.command(str(_query.number), epilog=EXIT_CODES, hidden=True)(_verb(_query))
