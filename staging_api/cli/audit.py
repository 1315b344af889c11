"""``staging-api audit verify``: prove that the record of events is whole."""

from datetime import UTC, datetime
from enum import StrEnum
from typing import Annotated

import typer

from staging_api.cli.options import AsJson
from staging_api.cli.output import print_json, told
from staging_api.db.engine import open_database
from staging_api.errors import RecordBroken
from staging_api.serving import database_of
from staging_api.settings import Settings
from staging_api.staging.audit import Verdict, verify

_SHOWN = 20


class Action(StrEnum):
    """What to do with the record."""

    VERIFY = "verify"


Moment = Annotated[
    datetime | None,
    typer.Option(formats=["%Y-%m-%d", "%Y-%m-%dT%H:%M:%S"], help="UTC; of stagings made then."),
]


def audit(
    _action: Annotated[Action, typer.Argument(metavar="verify")],
    *,
    since: Moment = None,
    until: Moment = None,
    expect: Annotated[
        str | None,
        typer.Option(metavar="HEAD", help="What an earlier run with the same times gave."),
    ] = None,
    as_json: AsJson = False,
) -> None:
    """Compute every digest anew, and say whether an event was altered or removed.

    Exit code 0: the record is whole; 1: it is not. Reads the database of STAGING_DATABASE_URL.
    """
    with told(as_json), database_of(Settings.from_env()) as settings:
        database = open_database(settings.database_url, 1)
        try:
            verdict = verify(database, _in_utc(since), _in_utc(until))
        finally:
            database.close()
        _raise_if_broken(verdict, expect)
        _print(verdict, as_json)


def _print(verdict: Verdict, as_json: bool) -> None:
    if as_json:
        print_json({"stagings": verdict.stagings, "events": verdict.events, "head": verdict.head})
    else:
        typer.echo(f"{verdict.events} events of {verdict.stagings} stagings are whole")
        typer.echo(f"head {verdict.head}")


def _raise_if_broken(verdict: Verdict, expect: str | None) -> None:
    breaks = [
        {"staging_id": one.staging_id, "number": one.number, "what": one.what}
        for one in verdict.breaks
    ]
    if breaks:
        first = "; ".join(
            f"{one['staging_id']} {one['number'] or ''}: {one['what']}" for one in breaks[:_SHOWN]
        )
        raise RecordBroken(
            f"{len(breaks)} breaks in {verdict.events} events: {first}", extra={"breaks": breaks}
        )
    if expect is not None and expect != verdict.head:
        raise RecordBroken(f"the head is {verdict.head}, and was {expect}: the record was replaced")


def _in_utc(moment: datetime | None) -> datetime | None:
    return moment.replace(tzinfo=UTC) if moment is not None else None
