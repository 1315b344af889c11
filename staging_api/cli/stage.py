"""``staging-api stage``: request artifacts, and show their progress.

The foreground artifacts are staged within the request, so that its answer is the proof; a second
connection polls the progress meanwhile. If this program is killed, the service continues.
"""

from collections.abc import Callable
from concurrent.futures import Future, wait
from contextlib import suppress
from queue import SimpleQueue
from threading import Thread
from time import monotonic
from typing import Annotated

import typer

from staging_api.cli.display import Display, WaitNotes, display
from staging_api.cli.options import DEFAULT_SERVER, AsJson, Server, Timeout, Token
from staging_api.cli.output import exit_on_error, print_staging
from staging_api.client import Staging, StagingClient
from staging_api.errors import StagingApiError

_LOOK_SECONDS = 0.5
_LOOK_TIMEOUT_SECONDS = 2.0

#: Requests the staging; takes a callback for retries.
Send = Callable[[Callable[[StagingApiError, float], None]], Staging]


def stage(
    archive_url: Annotated[
        str, typer.Argument(metavar="URL", help="The archive, such as gs://builds/board/R17-1.")
    ],
    *,
    artifact: Annotated[
        list[str] | None,
        typer.Option(
            metavar="NAME", help="A name or group; may be repeated. [default: the catalogue's]"
        ),
    ] = None,
    wait_for_it: Annotated[
        bool, typer.Option("--wait/--no-wait", help="Or leave all of it to a worker.")
    ] = True,
    background: Annotated[
        bool,
        typer.Option("--background/--foreground", help="Wait for the background artifacts too."),
    ] = False,
    timeout: Timeout = 3600,
    as_json: AsJson = False,
    server: Server = DEFAULT_SERVER,
    token: Token = None,
) -> None:
    """Stage artifacts of an archive, and wait until the foreground ones are staged.

    While another request holds the archive this one waits, and says for whom.
    """
    if background and not wait_for_it:
        raise typer.BadParameter("--background waits, --no-wait does not")
    began = monotonic()
    with (
        exit_on_error(as_json),
        StagingClient(server, token=token) as client,
        display(as_json) as shown,
    ):

        def send(on_retry: Callable[[StagingApiError, float], None]) -> Staging:
            return client.stage(
                archive_url, artifact, wait=wait_for_it, timeout=timeout, on_retry=on_retry
            )

        with _watcher(client, server, token) as watcher:
            staging = _watched(send, watcher, shown)
        shown.show(staging)
        if background:
            left = max(0.0, timeout - (monotonic() - began))
            staging = client.wait(staging.id, timeout=left, on_change=shown.show)
    print_staging(staging, as_json)


def _watcher(client: StagingClient, server: str, token: str | None) -> StagingClient:
    """Return a client with the same context marker and a short time-out."""
    return StagingClient(
        server, token=token, timeout=_LOOK_TIMEOUT_SECONDS, context_marker=client.context_marker
    )


def _watched(send: Send, watcher: StagingClient, shown: Display) -> Staging:
    """Return the answer of `send`; until it arrives, show the progress of the request."""
    answer: Future[Staging] = Future()
    waits: SimpleQueue[tuple[StagingApiError, float]] = SimpleQueue()

    def run() -> None:
        try:
            answer.set_result(send(lambda error, pause: waits.put((error, pause))))
        except BaseException as error:  # noqa: BLE001 - raised again in the waiting thread
            answer.set_exception(error)

    # A daemon, so that Ctrl-C does not wait for the answer.
    Thread(target=run, daemon=True).start()
    notes = WaitNotes(shown)
    while not wait([answer], timeout=_LOOK_SECONDS).done:
        while not waits.empty():
            notes(*waits.get())
        _look(watcher, shown)
    return answer.result()


def _look(watcher: StagingClient, shown: Display) -> None:
    # Errors are left to the request itself, which retries and reports them.
    with suppress(StagingApiError):
        for staging in watcher.stagings(reference_id=watcher.context_marker, page_size=1):
            shown.show(staging)
            break
