"""``staging-api audit``: the auditors' questions by name, and verification of the record."""

import csv
import json
import sys
from collections.abc import Callable, Iterable, Mapping, Sequence
from contextlib import closing
from typing import Annotated, Any

import typer

from staging_api.cli.audit_verify import verify
from staging_api.cli.exits import EXIT_CODES
from staging_api.cli.options import AsJson, verb_group
from staging_api.cli.output import exit_on_error, print_json, print_table
from staging_api.db.audit_queries import AuditQuery, answered, audit_queries
from staging_api.db.engine import open_database
from staging_api.errors import Invalid
from staging_api.processes.run import known_database_of
from staging_api.settings import Settings
from staging_api.staging.audit_questions import cell, parameters_line, plain, values_of


def _verb(query: AuditQuery) -> Callable[..., None]:
    """Return the function of one question; all have the same options."""

    def ask(
        given: Annotated[
            list[str] | None,
            typer.Argument(metavar="[NAME=VALUE...]", help=f"Of {parameters_line(query)}."),
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
            allowed = [each.strip() for each in settings.sources.split(",") if each.strip()]
            values = values_of(query, _given(query, given or ()), allowed)
            with (
                known_database_of(settings) as found,
                closing(open_database(found.database_url, 1)) as database,
                answered(database, query, values) as (columns, rows),
            ):
                _print(columns, rows, as_csv=as_csv, as_json=as_json)

    ask.__doc__ = query.question
    return ask


def _given(query: AuditQuery, words: Sequence[str]) -> Mapping[str, str]:
    """Return the parameters that are given as NAME=VALUE.

    Raises:
        Invalid: a parameter has no value.
    """
    found = {}
    for each in words:
        name, mark, value = each.partition("=")
        if not mark:
            raise Invalid.field(name, f"{query.name} takes {parameters_line(query)}")
        found[name] = value
    return found


def _print(
    columns: Sequence[str], rows: Iterable[Sequence[Any]], *, as_csv: bool, as_json: bool
) -> None:
    if as_json:
        items = [dict(zip(columns, row, strict=True)) for row in rows]
        # Through text, as times and similar values have no JSON form.
        print_json(json.loads(json.dumps({"items": items}, default=plain)))
    elif as_csv:
        writer = csv.writer(sys.stdout, lineterminator="\n")
        writer.writerow(columns)
        writer.writerows([cell(value) for value in row] for row in rows)
    else:
        print_table((tuple(map(cell, row)) for row in rows), "no rows", heading=columns)


audit = verb_group(
    "Ask the auditors' questions, or prove that the record of events is whole.\n\n"
    "A time is in UTC unless it says otherwise; `since` is 30 days ago and `until` now if they are"
    " not given. Only reads, in the database of STAGING_DATABASE_URL. The SQL is on the page"
    " how-to/audit of the documentation."
)
audit.command("verify", epilog=EXIT_CODES)(verify)
for _query in audit_queries():
    audit.command(_query.name, epilog=EXIT_CODES)(_verb(_query))
    # Also by number, as the documentation counts the questions; each is listed once.
    audit.command(str(_query.number), epilog=EXIT_CODES, hidden=True)(_verb(_query))
