"""``staging-api builds``: which archives were requested, one line a build."""

from itertools import islice
from typing import Annotated, Any

import typer

from staging_api.cli.options import DEFAULT_SERVER, AsJson, Limit, Server, Token, quick
from staging_api.cli.output import exit_on_error, print_json, print_table
from staging_api.sizes import size


def builds(
    prefix: Annotated[
        str, typer.Argument(metavar="[PREFIX]", help="With which the URL of the archive begins.")
    ] = "",
    *,
    limit: Limit = 50,
    as_json: AsJson = False,
    server: Server = DEFAULT_SERVER,
    token: Token = None,
) -> None:
    """List the archives that were requested, by URL, with what is there of each."""
    with exit_on_error(as_json), quick(server, token) as client:
        found = list(islice(client.builds(prefix, page_size=limit), limit))
    if as_json:
        print_json({"items": found})
    else:
        print_table(map(_row, found), "no builds")


def _row(build: Any) -> tuple[str, ...]:
    newest = build["staging"] or {"state": "", "created_at": ""}
    counts = ", ".join(f"{count} {state}" for state, count in sorted(build["artifacts"].items()))
    asked = newest["created_at"][:19]
    return build["archive_url"], newest["state"], asked, size(build["size_bytes"]), counts
