"""``staging-api wait``: wait for a staging that was requested before."""

from typing import Annotated

import typer

from staging_api.cli.display import WaitNotes, display
from staging_api.cli.options import DEFAULT_SERVER, AsJson, Server, StagingId, Timeout, Token
from staging_api.cli.output import exit_on_error, print_staging
from staging_api.client import StagingClient


def wait(
    staging_id: StagingId,
    *,
    background: Annotated[
        bool,
        typer.Option("--background/--foreground", help="Wait for the background artifacts too."),
    ] = True,
    timeout: Timeout = 3600,
    as_json: AsJson = False,
    server: Server = DEFAULT_SERVER,
    token: Token = None,
) -> None:
    """Wait until a staging is staged."""
    with (
        exit_on_error(as_json),
        StagingClient(server, token=token) as client,
        display(as_json) as shown,
    ):
        staging = client.wait(
            staging_id,
            until="staged" if background else "foreground_staged",
            timeout=timeout,
            on_change=shown.show,
            on_retry=WaitNotes(shown),
        )
    print_staging(staging, as_json)
