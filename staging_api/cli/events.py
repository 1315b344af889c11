"""``staging-api events``: every change of a staging, as it happens."""

from typing import Annotated

import typer

from staging_api.cli.options import DEFAULT_SERVER, Server, StagingId, Timeout, Token
from staging_api.cli.output import exit_on_error, print_json
from staging_api.client import Event, StagingClient


def events(
    staging_id: StagingId,
    *,
    after: Annotated[
        int, typer.Option(min=0, metavar="N", help="Only those behind this number.")
    ] = 0,
    timeout: Timeout = 3600,
    as_json: Annotated[bool, typer.Option("--json", help="A line of JSON for each event.")] = False,
    server: Server = DEFAULT_SERVER,
    token: Token = None,
) -> None:
    """Follow the events of a staging until it is final; each comes once and in order."""
    with exit_on_error(as_json), StagingClient(server, token=token) as client:
        for event in client.events(staging_id, after=after, timeout=timeout):
            if as_json:
                print_json(event.document)
            else:
                typer.echo(_line(event))


def _line(event: Event) -> str:
    change = f"{event.from_state or ''} -> {event.to_state}" if event.to_state else event.kind
    words = (
        str(event.number),
        event.at.isoformat(timespec="seconds"),
        event.name or "staging",
        change.strip(),
        f"({event.code})" if event.code else "",
        event.message or "",
        f"by {event.actor}",
    )
    return " ".join(filter(None, words))
