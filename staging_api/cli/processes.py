"""``staging-api processes`` and ``me``: running processes, and the caller's identity."""

from typing import Any

from staging_api.cli.options import ServiceOptions, connected, of_service
from staging_api.cli.output import print_lines, print_rows


@of_service()
def processes(service: ServiceOptions) -> None:
    """List the processes of the service that were seen within a day."""
    with connected(service) as client:
        found = list(client.processes())
    print_rows({"items": found}, map(_row, found), "no processes", as_json=service.as_json)


@of_service()
def me(service: ServiceOptions) -> None:
    """Show your name and roles, as the service sees them."""
    with connected(service) as client:
        found = client.me()
    text = f"{found['name']}: {', '.join(found['roles']) or 'no role'}"
    print_lines(found, [text], as_json=service.as_json)


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
