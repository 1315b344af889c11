"""``staging-api audit verify``: prove that the record of events is complete and unaltered."""

from collections.abc import Mapping
from contextlib import closing
from datetime import UTC, datetime
from typing import Annotated

import typer

from staging_api.cli.options import AsJson
from staging_api.cli.output import exit_on_error, print_json, say
from staging_api.db.engine import open_database
from staging_api.documents.audit import DocumentVerdict, verify_documents
from staging_api.errors import RecordBroken
from staging_api.processes.run import known_database_of
from staging_api.settings import Settings
from staging_api.staging.audit import AuditVerdict
from staging_api.staging.audit import verify as verify_events

_SHOWN = 20


Moment = Annotated[
    datetime | None,
    typer.Option(
        formats=["%Y-%m-%d", "%Y-%m-%dT%H:%M:%S"], help="UTC; check stagings created in this time."
    ),
]


def verify(
    *,
    since: Moment = None,
    until: Moment = None,
    expect: Annotated[
        str | None,
        typer.Option(
            metavar="HEAD", help="The digest that an earlier run with the same times printed."
        ),
    ] = None,
    expect_documents: Annotated[
        str | None,
        typer.Option(metavar="HEAD", help="The earlier digest of the events of documents."),
    ] = None,
    as_json: AsJson = False,
) -> None:
    """Compute every digest anew, and report whether an event was altered or removed.

    Events of documents are all checked, whatever the times; their head covers those before UNTIL.

    Exit code 0: the record is complete and unaltered; 1: it is not. Reads the database of
    STAGING_DATABASE_URL.
    """
    with exit_on_error(as_json), known_database_of(Settings.from_env()) as settings:
        # One connection: a verb runs one query after the other.
        with closing(open_database(settings.database_url, 1)) as database:
            verdict = verify_events(database, _in_utc(since), _in_utc(until))
            of_documents = verify_documents(database, _in_utc(until))
        _raise_if_broken(verdict, of_documents)
        _raise_if_replaced("head", verdict.head, expect)
        _raise_if_replaced("head of documents", of_documents.head, expect_documents)
        _print(verdict, of_documents, as_json)


def _print(verdict: AuditVerdict, of_documents: DocumentVerdict, as_json: bool) -> None:
    if as_json:
        documents = {"events": of_documents.events, "head": of_documents.head}
        whole = {"stagings": verdict.stagings, "events": verdict.events, "head": verdict.head}
        print_json({**whole, "documents": documents})
    else:
        say(f"{verdict.events} events of {verdict.stagings} stagings are whole")
        say(f"head {verdict.head}")
        say(f"{of_documents.events} events of documents are whole")
        say(f"head of documents {of_documents.head or '-'}")


def _raise_if_broken(verdict: AuditVerdict, of_documents: DocumentVerdict) -> None:
    breaks: list[dict[str, str | int | None]] = [
        {"staging_id": one.staging_id, "number": one.number, "what": one.what}
        for one in verdict.breaks
    ]
    breaks += [
        {"document_revision": one.revision, "number": one.number, "what": one.what}
        for one in of_documents.breaks
    ]
    if breaks:
        first = "; ".join(_line(one) for one in breaks[:_SHOWN])
        events = verdict.events + of_documents.events
        raise RecordBroken(
            f"{len(breaks)} breaks in {events} events: {first}", extra={"breaks": breaks}
        )


def _line(one: Mapping[str, str | int | None]) -> str:
    of = one.get("staging_id") or f"document revision {one['document_revision']}"
    return f"{of} {one['number'] or ''}: {one['what']}"


def _raise_if_replaced(name: str, head: str, expected: str | None) -> None:
    if expected is not None and expected != head:
        raise RecordBroken(f"the {name} is {head}, and was {expected}: the record was replaced")


def _in_utc(moment: datetime | None) -> datetime | None:
    return moment.replace(tzinfo=UTC) if moment is not None else None
