"""``staging-api processes`` and ``me``: what runs, and who one is for the service."""

from typing import Any

from staging_api.cli.options import DEFAULT_SERVER, AsJson, Server, Token, quick
from staging_api.cli.output import exit_on_error, print_json, print_table, say


def processes(
    *, as_json: AsJson = False, server: Server = DEFAULT_SERVER, token: Token = None
) -> None:
    """List the processes of the service that were seen within a day."""
    with exit_on_error(as_json), quick(server, token) as client:
        found = list(client.processes())
    if as_json:
        print_json({"items": found})
    else:
        print_table(map(_row, found), "no processes")


def me(*, as_json: AsJson = False, server: Server = DEFAULT_SERVER, token: Token = None) -> None:
    """Show the name and the roles that the service knows you by."""
    with exit_on_error(as_json), quick(server, token) as client:
        found = client.me()
    if as_json:
        print_json(found)
    else:
        say(f"{found['name']}: {', '.join(found['roles']) or 'no role'}")


def _row(process: Any) -> tuple[str, ...]:
    state = "ending" if process["draining"] else "alive"
    return (
        process["name"],
        process["kind"],
        state if process["alive"] else "not seen",
        f"{process['busy']} of {process['places']} busy",
        f"{process['waiting']} wait",
        process["version"],
        process["build"],
        process["seen_at"][:19],
    )
