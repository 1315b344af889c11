"""``staging-api stage``: request artifacts, and show their progress.

The foreground artifacts are staged within the request, so that its response is the proof. If this
program is killed, the service continues.
"""

from collections.abc import Callable
from typing import Annotated

import typer

from staging_api.cli.display import display
from staging_api.cli.options import Archive, Background, ServiceOptions, of_service, patient
from staging_api.cli.output import print_staging
from staging_api.cli.pages import say_page
from staging_api.cli.watching import wait_until, watched, watcher_of
from staging_api.client import Staging
from staging_api.client.pacing import Deadline
from staging_api.errors import StagingApiError

_Artifacts = Annotated[
    list[str] | None,
    typer.Option(
        metavar="NAME", help="A name or group; may be repeated. [default: the catalogue's]"
    ),
]


@of_service(timeout=3600)
def stage(
    service: ServiceOptions,
    archive_url: Archive,
    *,
    artifact: _Artifacts = None,
    wait_for_it: Annotated[
        bool,
        typer.Option(
            "--wait/--no-wait", help="Wait for the artifacts, or let a worker stage all of them."
        ),
    ] = True,
    background: Background = False,
) -> None:
    """Stage artifacts of an archive, and wait until the foreground ones are staged.

    While another request holds the lock of the archive, this one waits, and names the holder.
    """
    if background and not wait_for_it:
        raise typer.BadParameter("--background waits, --no-wait does not")
    # The time counts from here, so that waiting for a service to start is included.
    deadline = Deadline(service.timeout)
    with patient(service) as client:

        def send(on_retry: Callable[[StagingApiError, float], None]) -> Staging:
            return client.stage(
                archive_url, artifact, wait=wait_for_it, timeout=service.timeout, on_retry=on_retry
            )

        with display(service.as_json) as shown:
            with watcher_of(client, service) as watcher:
                staging = watched(send, watcher, shown)
            shown.show(staging)
            if background:
                left = deadline.remaining_seconds()
                staging = wait_until(client, staging.id, "staged", left, shown)
        print_staging(staging, service.as_json)
        say_page(client, f"/stagings/{staging.id}", as_json=service.as_json)
