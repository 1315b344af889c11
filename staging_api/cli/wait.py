"""``staging-api wait``: wait for a staging that was requested before."""

from staging_api.cli.display import display
from staging_api.cli.options import (
    CALL_SECONDS,
    Background,
    ServiceOptions,
    StagingId,
    connected,
    of_service,
)
from staging_api.cli.output import print_staging
from staging_api.cli.pages import say_page
from staging_api.cli.watching import wait_until
from staging_api.vocabulary.staging import Until


@of_service(timeout=3600)
def wait(
    service: ServiceOptions,
    staging_id: StagingId,
    *,
    background: Background = True,
) -> None:
    """Wait until a staging is staged."""
    until: Until = "staged" if background else "foreground_staged"
    with connected(service, CALL_SECONDS) as client:
        with display(service.as_json) as shown:
            staging = wait_until(client, staging_id, until, service.timeout, shown)
        print_staging(staging, service.as_json)
        say_page(client, f"/stagings/{staging.id}", as_json=service.as_json)
