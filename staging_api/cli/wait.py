"""``staging-api wait``: wait for a staging that was requested before."""

from typing import Annotated

import typer

from staging_api.cli.display import display
from staging_api.cli.options import (
    DEFAULT_SERVER,
    AsJson,
    Server,
    StagingId,
    Timeout,
    Token,
    lasting,
)
from staging_api.cli.output import exit_on_error, print_staging
from staging_api.cli.pages import say_page
from staging_api.cli.watching import wait_until
from staging_api.vocabulary.staging import Until


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
    until: Until = "staged" if background else "foreground_staged"
    with (
        exit_on_error(as_json),
        lasting(server, token) as client,
    ):
        with display(as_json) as shown:
            staging = wait_until(client, staging_id, until, timeout, shown)
        print_staging(staging, as_json)
        say_page(client, f"/stagings/{staging.id}", as_json=as_json)
