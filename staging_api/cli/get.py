"""``staging-api get``: stage artifacts of an archive, and bring all their files to a folder.

If this program is killed, the service continues, and the next call goes on where this one was. What
is evicted while its files are fetched is staged again.
"""

from collections.abc import Callable
from pathlib import Path
from time import monotonic
from typing import Annotated

import typer

from staging_api.cli.display import Display, display
from staging_api.cli.options import DEFAULT_SERVER, AsJson, Server, Timeout, Token, patient
from staging_api.cli.output import exit_on_error, print_json, say
from staging_api.cli.watching import wait_until, watched, watcher_of
from staging_api.client import Fetched, FetchOptions, Staging
from staging_api.client.fetching import ATTEMPTS, EVICTED
from staging_api.client.pacing import Deadline
from staging_api.errors import StagingApiError
from staging_api.sizes import size

_SECONDS_BETWEEN_NOTES = 5.0
_STOPPED = "stopped; the same command goes on where it was"


def get(
    archive_url: Annotated[
        str, typer.Argument(metavar="URL", help="The archive, such as gs://builds/board/R17-1.")
    ],
    artifacts: Annotated[
        list[str] | None,
        typer.Argument(metavar="[ARTIFACT...]", help="Names or groups, else the default."),
    ] = None,
    *,
    to: Annotated[
        Path, typer.Option("--output", "-o", metavar="DIR", help="The folder; made if missing.")
    ] = Path(),
    connections: Annotated[
        int, typer.Option(min=1, max=64, metavar="N", help="Files at once.")
    ] = 8,
    checksum: Annotated[
        bool, typer.Option("--checksum", help="Hash the files that are there already.")
    ] = False,
    timeout: Timeout = 3600,
    as_json: AsJson = False,
    server: Server = DEFAULT_SERVER,
    token: Token = None,
) -> None:
    """Stage artifacts of an archive, and bring all their files to a folder.

    Each file is verified by its digest. What the folder has already is not fetched again; a file
    is taken for unchanged if size and time are as they were when it was verified.
    """
    deadline = Deadline(timeout)
    with (
        exit_on_error(as_json, stopped=_STOPPED),
        patient(server, token) as client,
        display(as_json) as shown,
    ):
        options = FetchOptions(connections, checksum, on_bytes=_Notes(shown))

        def send(on_retry: Callable[[StagingApiError, float], None]) -> Staging:
            left = deadline.remaining_seconds()
            return client.stage(archive_url, artifacts or None, timeout=left, on_retry=on_retry)

        def stage() -> Staging:
            with watcher_of(client, server, token) as watcher:
                staging = watched(send, watcher, shown)
            if staging.final:
                return staging
            return wait_until(client, staging.id, "staged", deadline.remaining_seconds(), shown)

        def bring(staging: Staging) -> Fetched:
            return client.fetch(
                staging,
                to,
                artifacts=client.artifact_names(archive_url, artifacts or None),
                timeout=max(1.0, deadline.remaining_seconds()),
                options=options,
            )

        fetched = _unless_evicted(stage, bring, shown)
    _print(fetched, as_json)


def _unless_evicted(
    stage: Callable[[], Staging], bring: Callable[[Staging], Fetched], shown: Display
) -> Fetched:
    """Bring the files; what was evicted meanwhile is staged and brought again, a few times."""
    for _ in range(ATTEMPTS - 1):
        staging = stage()
        try:
            return bring(staging)
        except EVICTED as error:
            shown.note(f"evicted while it was fetched, so staged again: {error.detail}")
    return bring(stage())


class _Notes:
    """Says now and then how many bytes have come."""

    def __init__(self, shown: Display) -> None:
        self._shown = shown
        self._last = monotonic()

    def __call__(self, done: int, total: int) -> None:
        if monotonic() - self._last >= _SECONDS_BETWEEN_NOTES:
            self._last = monotonic()
            self._shown.note(f"fetched {size(done)} of {size(total)}")


def _print(fetched: Fetched, as_json: bool) -> None:
    if as_json:
        print_json(
            {
                "folder": str(fetched.folder),
                "items": [file.document for file in fetched.files],
                "fetched": [file.name for file in fetched.fetched],
                "fetched_bytes": fetched.fetched_bytes,
                "missing": list(fetched.missing),
            }
        )
        return
    new, all_files = len(fetched.fetched), len(fetched.files)
    say(f"{fetched.folder}: {all_files} files, {new} fetched, {size(fetched.fetched_bytes)}")
    if fetched.missing:
        say(f"not in the archive, and optional: {', '.join(fetched.missing)}")
