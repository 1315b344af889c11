"""``staging-api status``: one staging, or the newest ones."""

from itertools import islice
from typing import Annotated

import typer

from staging_api.cli.options import (
    ErrorCode,
    InState,
    Limit,
    OfArchive,
    Prefix,
    ServiceOptions,
    connected,
    of_service,
)
from staging_api.cli.output import print_rows, print_staging
from staging_api.cli.pages import say_page
from staging_api.client import Staging
from staging_api.sizes import size


@of_service()
def status(
    service: ServiceOptions,
    staging_id: Annotated[
        str | None,
        typer.Argument(metavar="ID", help="ULID of a staging; default: the newest ones."),
    ] = None,
    *,
    archive_url: OfArchive = None,
    prefix: Prefix = None,
    error_code: ErrorCode = None,
    state: InState = None,
    limit: Limit = 20,
) -> None:
    """Show a staging and its artifacts, or list the newest; exits with 0 even if it failed."""
    with connected(service) as client:
        if staging_id is not None:
            print_staging(client.staging(staging_id), service.as_json)
            say_page(client, f"/stagings/{staging_id}", as_json=service.as_json)
            return
        found = client.stagings(
            archive_url=archive_url,
            prefix=prefix,
            state=state,
            error_code=error_code,
            # One page is enough: no more rows would be printed.
            page_size=limit,
        )
        stagings = list(islice(found, limit))
    document = {"items": [staging.document for staging in stagings]}
    print_rows(document, map(_row, stagings), "no stagings", as_json=service.as_json)


def _row(staging: Staging) -> tuple[str, ...]:
    made = staging.created_at.isoformat(timespec="seconds")
    done = size(staging.progress.bytes_done)
    return staging.id, staging.state, made, done, staging.archive_url
