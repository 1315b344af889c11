"""``staging-api events``: follow the changes of a staging, or list those of all stagings."""

from datetime import UTC, datetime
from typing import Annotated

import typer

from staging_api.cli.options import CALL_SECONDS, ServiceOptions, connected, of_service
from staging_api.cli.output import print_json, say
from staging_api.client import Event

_JsonLines = Annotated[bool, typer.Option("--json", help="Print one line of JSON for each event.")]


@of_service(timeout=3600, as_json=_JsonLines)
def events(
    service: ServiceOptions,
    staging_id: Annotated[
        str | None, typer.Argument(metavar="[ID]", help="ULID of a staging; default: all.")
    ] = None,
    *,
    after: Annotated[
        int, typer.Option(min=0, metavar="N", help="Only events after this number.")
    ] = 0,
    since: Annotated[
        datetime | None,
        typer.Option(
            formats=["%Y-%m-%d", "%Y-%m-%dT%H:%M:%S"],
            help="Without ID: events of this time or later, in UTC.",
        ),
    ] = None,
    to_state: Annotated[
        str | None,
        typer.Option("--to", metavar="STATE", help="Without ID: only changes to this state."),
    ] = None,
) -> None:
    """Follow the events of a staging until it is final; or list the events of all stagings.

    Each event is printed once, in order.
    """
    with connected(service, CALL_SECONDS) as client:
        if staging_id is None:
            moment = since.replace(tzinfo=UTC) if since else None
            found = client.all_events(since=moment, to_state=to_state)
        else:
            found = client.events(staging_id, after=after, timeout=service.timeout)
        # Printed as they arrive: a staging is followed for hours, and all events may be millions.
        is_empty = True
        for event in found:
            is_empty = False
            if service.as_json:
                print_json(event.document)
            else:
                say(_line(event))
        if is_empty and not service.as_json:
            say("no events", err=True)


def _line(event: Event) -> str:
    change = f"{event.from_state or ''} -> {event.to_state}" if event.to_state else event.kind
    words = (
        f"{event.staging_id} {event.number}" if event.staging_id else str(event.number),
        event.at.isoformat(timespec="seconds"),
        event.name or "staging",
        change.strip(),
        f"({event.code})" if event.code else "",
        event.message or "",
        f"by {event.actor}",
    )
    return " ".join(filter(None, words))
