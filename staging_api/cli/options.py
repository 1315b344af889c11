"""Options shared by several verbs."""

from typing import Annotated

import typer

from staging_api.client import StagingClient

DEFAULT_SERVER = "http://127.0.0.1:8080"

Server = Annotated[
    str,
    typer.Option(
        "--server", envvar="STAGING_SERVER", metavar="URL", help="Address of the service."
    ),
]
Token = Annotated[
    str | None,
    typer.Option(
        "--token",
        envvar="STAGING_TOKEN",
        metavar="TOKEN",
        help="Your bearer token; the variable keeps it out of the list of processes.",
    ),
]
AsJson = Annotated[bool, typer.Option("--json", help="Print one line of JSON, and nothing else.")]
Prefix = Annotated[
    str | None,
    typer.Option(metavar="URL", help="Only of archives whose URL begins with this."),
]
ErrorCode = Annotated[
    str | None, typer.Option("--error", metavar="CODE", help="Only those that failed with this.")
]
Timeout = Annotated[float, typer.Option("--timeout", min=0, metavar="SECONDS", help="In all.")]
StagingId = Annotated[str, typer.Argument(metavar="ID", help="ULID of the staging.")]

_QUICK_SECONDS = 10.0


def quick(server: str, token: str | None) -> StagingClient:
    """Return a client with a short time-out, for verbs that answer at once."""
    return StagingClient(server, token=token, timeout=_QUICK_SECONDS)
