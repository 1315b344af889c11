"""``staging-api cancel``: stop a staging."""

from staging_api.cli.options import DEFAULT_SERVER, AsJson, Server, StagingId, Token, quick
from staging_api.cli.output import exit_on_error, print_staging
from staging_api.cli.pages import say_page


def cancel(
    staging_id: StagingId,
    *,
    as_json: AsJson = False,
    server: Server = DEFAULT_SERVER,
    token: Token = None,
) -> None:
    """Ask a staging to stop: what is staged stays, the rest stops within a second or so."""
    with exit_on_error(as_json), quick(server, token) as client:
        print_staging(client.cancel(staging_id), as_json)
        say_page(client, f"/stagings/{staging_id}", as_json=as_json)
