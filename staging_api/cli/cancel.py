"""``staging-api cancel``: stop a staging."""

from staging_api.cli.options import ServiceOptions, StagingId, connected, of_service
from staging_api.cli.output import print_staging
from staging_api.cli.pages import say_page


@of_service()
def cancel(service: ServiceOptions, staging_id: StagingId) -> None:
    """Stop a staging: staged artifacts stay, the others stop within about a second."""
    with connected(service) as client:
        print_staging(client.cancel(staging_id), service.as_json)
        say_page(client, f"/stagings/{staging_id}", as_json=service.as_json)
