"""``staging-api builds``: the archives that were requested, one line for each build."""

from itertools import islice
from typing import Annotated, Any

import typer

from staging_api.cli.options import Limit, ServiceOptions, connected, of_service
from staging_api.cli.output import print_rows
from staging_api.sizes import size


@of_service()
def builds(
    service: ServiceOptions,
    prefix: Annotated[
        str, typer.Argument(metavar="[PREFIX]", help="Prefix of the archive's URL.")
    ] = "",
    *,
    limit: Limit = 50,
) -> None:
    """List the requested archives by URL, with newest staging, size and artifact counts."""
    with connected(service) as client:
        found = list(islice(client.builds(prefix, page_size=limit), limit))
    print_rows({"items": found}, map(_row, found), "no builds", as_json=service.as_json)


def _row(build: Any) -> tuple[str, ...]:
    newest = build["staging"] or {"state": "", "created_at": ""}
    counts = ", ".join(f"{count} {state}" for state, count in sorted(build["artifacts"].items()))
    asked = newest["created_at"][:19]
    return build["archive_url"], newest["state"], asked, size(build["size_bytes"]), counts
