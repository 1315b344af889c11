"""Stage artifacts and show the progress meanwhile.

The request returns when the foreground artifacts are staged; until then a second connection polls
the progress.
"""

from collections.abc import Callable
from concurrent.futures import Future, wait
from contextlib import suppress
from queue import SimpleQueue
from threading import Thread
from typing import TypeVar

from staging_api.cli.display import Display, WaitNotes, interruptible
from staging_api.cli.options import ServiceOptions
from staging_api.client import Staging, StagingClient
from staging_api.errors import StagingApiError
from staging_api.vocabulary.staging import Until

A = TypeVar("A")

_LOOK_SECONDS = 0.5
_LOOK_TIMEOUT_SECONDS = 2.0

#: Sends the request for the staging; takes a callback for retries.
Send = Callable[[Callable[[StagingApiError, float], None]], Staging]


def watcher_of(client: StagingClient, service: ServiceOptions) -> StagingClient:
    """Return a client with the same context marker and a short timeout."""
    return StagingClient(
        service.server,
        token=service.token,
        timeout=_LOOK_TIMEOUT_SECONDS,
        context_marker=client.context_marker,
    )


def watched(send: Send, watcher: StagingClient, shown: Display) -> Staging:
    """Return the result of `send`; until it arrives, show the progress of the request."""
    # The request waits in another thread; only this thread draws on the terminal.
    waits: SimpleQueue[tuple[StagingApiError, float]] = SimpleQueue()
    notes = WaitNotes(shown)

    def look() -> None:
        while not waits.empty():
            notes(*waits.get())
        if (staging := _newest(watcher)) is not None:
            shown.show(staging)

    with interruptible(lambda: _id_of(_newest(watcher))):
        return beside(lambda: send(lambda error, pause: waits.put((error, pause))), look)


def beside(act: Callable[[], A], look: Callable[[], None]) -> A:
    """Return the result of `act`; until it is available, call `look` from time to time."""
    answer: Future[A] = Future()

    def run() -> None:
        try:
            answer.set_result(act())
        except BaseException as error:  # noqa: BLE001 - raised again in the waiting thread
            answer.set_exception(error)

    # A daemon thread, so that Ctrl-C does not wait for the response.
    Thread(target=run, daemon=True).start()
    while not wait([answer], timeout=_LOOK_SECONDS).done:
        look()
    return answer.result()


def wait_until(
    client: StagingClient, staging_id: str, until: Until, timeout: float, shown: Display
) -> Staging:
    """Wait for a staging, and show the progress."""
    with interruptible(lambda: staging_id):
        return client.wait(
            staging_id,
            until=until,
            timeout=timeout,
            on_change=shown.show,
            on_retry=WaitNotes(shown),
        )


def _id_of(staging: Staging | None) -> str | None:
    return staging.id if staging is not None else None


def _newest(watcher: StagingClient) -> Staging | None:
    """Return the staging that the request has created, if there is one yet."""
    # Errors are ignored: the request itself retries and reports them.
    with suppress(StagingApiError):
        return next(watcher.stagings(reference_id=watcher.context_marker, page_size=1), None)
    return None
