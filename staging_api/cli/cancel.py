"""``staging-api cancel``: stop a staging."""

from staging_api.cli.options import ServiceOptions, StagingId, connected, of_service
from staging_api.cli.output import print_staging
from staging_api.cli.pages import say_page


@of_service()
def cancel(service: ServiceOptions, staging_id: StagingId) -> None:
    """Ask a staging to stop: what is staged stays, the rest stops within a second or so."""
    with connected(service) as client:
        print_staging(client.cancel(staging_id), service.as_json)
        say_page(client, f"/stagings/{staging_id}", as_json=service.as_json)
