"""``staging-api get``: stage artifacts of an archive, and fetch all their files to a folder.

If this program is killed, the service continues, and the next call continues where this one ended.
An artifact that is evicted while its files are fetched is staged again.
"""

from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from time import monotonic
from typing import Annotated

import typer

from staging_api.cli.display import Display, display
from staging_api.cli.options import Archive, ServiceOptions, named_path, of_service, patient
from staging_api.cli.output import print_json, say
from staging_api.cli.watching import wait_until, watched, watcher_of
from staging_api.client import Fetched, FetchOptions, Staging, StagingClient
from staging_api.client.fetching import ATTEMPTS, EVICTED
from staging_api.client.pacing import Deadline
from staging_api.errors import StagingApiError
from staging_api.sizes import size

_SECONDS_BETWEEN_NOTES = 5.0
_STOPPED = "stopped; the same command goes on where it was"


@of_service(timeout=3600)
def get(
    service: ServiceOptions,
    archive_url: Archive,
    artifacts: Annotated[
        list[str] | None,
        typer.Argument(metavar="[ARTIFACT...]", help="Names or groups, else the default."),
    ] = None,
    *,
    to: Annotated[
        Path,
        typer.Option(
            "--output",
            "-o",
            metavar="DIR",
            parser=named_path,
            help="The folder; made if missing.",
        ),
    ] = Path(),
    connections: Annotated[
        int, typer.Option(min=1, max=64, metavar="N", help="Number of parallel downloads.")
    ] = 8,
    checksum: Annotated[
        bool, typer.Option("--checksum", help="Hash the files that exist already.")
    ] = False,
) -> None:
    """Stage artifacts of an archive, and download all their files to a folder.

    Each file is verified by its digest. Files that the folder has already are not downloaded
    again; a file counts as unchanged if its size and time are the same as when it was verified.
    """
    deadline = Deadline(service.timeout)
    with (
        patient(service, stopped=_STOPPED) as client,
        display(service.as_json) as shown,
    ):
        options = FetchOptions(connections, checksum, on_bytes=_Notes(shown))
        watcher = partial(watcher_of, client, service)
        run = _Get(client, archive_url, artifacts or None, deadline, shown, watcher)
        fetched = run.until_all_is_here(to, options)
    _print(fetched, service.as_json)


@dataclass(frozen=True)
class _Get:
    """Stages artifacts of an archive and fetches their files, until a deadline."""

    client: StagingClient
    archive_url: str
    names: list[str] | None
    deadline: Deadline
    shown: Display
    watcher: Callable[[], StagingClient]

    def until_all_is_here(self, folder: Path, options: FetchOptions) -> Fetched:
        """Fetch the files; stage and fetch again, a few times, what was evicted meanwhile."""
        for _ in range(ATTEMPTS - 1):
            staging = self._stage()
            try:
                return self._bring(staging, folder, options)
            except EVICTED as error:
                self.shown.note(f"evicted while it was fetched, so staged again: {error.detail}")
        return self._bring(self._stage(), folder, options)

    def _stage(self) -> Staging:
        with self.watcher() as watcher:
            staging = watched(self._send, watcher, self.shown)
        if staging.final:
            return staging
        left = self.deadline.remaining_seconds()
        return wait_until(self.client, staging.id, "staged", left, self.shown)

    def _bring(self, staging: Staging, folder: Path, options: FetchOptions) -> Fetched:
        for artifact in staging.artifacts:
            for warning in artifact.warnings:
                self.shown.note(f"{artifact.name}: {warning}")
        return self.client.fetch(
            staging,
            folder,
            artifacts=self.client.artifact_names(self.archive_url, self.names),
            timeout=max(1.0, self.deadline.remaining_seconds()),
            options=options,
        )

    def _send(self, on_retry: Callable[[StagingApiError, float], None]) -> Staging:
        left = self.deadline.remaining_seconds()
        return self.client.stage(self.archive_url, self.names, timeout=left, on_retry=on_retry)


class _Notes:
    """Callback that occasionally prints how many bytes have arrived."""

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
                "warnings": {name: list(said) for name, said in fetched.warnings.items()},
            }
        )
        return
    new, all_files = len(fetched.fetched), len(fetched.files)
    say(f"{fetched.folder}: {all_files} files, {new} fetched, {size(fetched.fetched_bytes)}")
    if fetched.missing:
        say(f"not in the archive, and optional: {', '.join(fetched.missing)}")
