"""The three operations of the publisher, and the list of publisher runs."""

from collections.abc import Callable
from contextlib import suppress
from itertools import islice
from typing import Annotated

import typer

from staging_api.cli.options import ServiceOptions, connected, of_service
from staging_api.cli.output import print_json, print_rows, say
from staging_api.cli.pages import say_page
from staging_api.cli.publish.options import LONG_SECONDS, Archive, Suites
from staging_api.cli.watching import beside, watcher_of
from staging_api.client import PublisherRun, StagingClient
from staging_api.errors import StagingApiError
from staging_api.vocabulary.publishing import Operation

#: Number of an archive's newest runs among which the run of this request is searched.
_LOOKED_AT = 10

Careful = Annotated[
    bool, typer.Option("--careful", help="Rebuild everything, not only what changed.")
]


def _verb(operation: Operation, line: str) -> Callable[..., None]:
    """Return the function of one operation; all have the same options."""

    @of_service(timeout=LONG_SECONDS)
    def run(
        service: ServiceOptions,
        archive: Archive,
        *,
        suite: Suites = None,
        careful: Careful = False,
    ) -> None:
        with connected(service) as client:

            def send() -> PublisherRun:
                return client.archives.publish(
                    operation,
                    archive,
                    timeout=service.timeout,
                    on_retry=_print_wait,
                    careful=careful,
                    suites=list(suite or ()),
                )

            with watcher_of(client, service) as watcher:
                done = _watched(send, RunNotes(watcher, archive, as_json=service.as_json))
            _print(done, as_json=service.as_json)
            say_page(client, f"/apt/{archive}", as_json=service.as_json)

    run.__doc__ = (
        f"{line}\n\nWhile another operation runs, this one waits, and names the other operation."
    )
    return run


process_accepted = _verb("process-accepted", "Turn accepted uploads into pending packages.")
publish_distro = _verb("publish-distro", "Publish pending packages, and go live.")
publish_ftpmaster = _verb("publish-ftpmaster", "Do both: process-accepted and publish-distro.")


@of_service(timeout=LONG_SECONDS)
def runs(service: ServiceOptions, archive: Archive) -> None:
    """List the publisher's runs for an archive, newest first."""
    with connected(service) as client:
        found = list(client.archives.publications(archive))
    document = {"items": [run.document for run in found]}
    print_rows(document, map(_row, found), "no runs", as_json=service.as_json)


class RunNotes:
    """Prints on standard error the id of this request's run once it begins, and its phases."""

    def __init__(self, watcher: StagingClient, archive: str, *, as_json: bool) -> None:
        """Print nothing if the output is JSON; the id is read all the same."""
        self._watcher, self._archive, self._as_json = watcher, archive, as_json
        self.run_id: str | None = None
        self._phase: str | None = None

    def __call__(self) -> None:
        """Query the run once."""
        # Errors are ignored: the request itself retries and reports them.
        with suppress(StagingApiError):
            runs = self._watcher.archives.publications(self._archive, page_size=_LOOKED_AT)
            marker = str(self._watcher.context_marker)
            for run in islice(runs, _LOOKED_AT):
                if run.document.get("reference_id") == marker:
                    self._show(run)
                    return

    def _show(self, run: PublisherRun) -> None:
        if self.run_id is None:
            self._say(f"run {run.id}")
        self.run_id = run.id
        if run.phase and run.phase != self._phase:
            self._phase = run.phase
            of = f", {run.items_total} to do" if run.items_total else ""
            self._say(f"{run.phase}{of}")

    def _say(self, text: str) -> None:
        if not self._as_json:
            say(text, err=True)


def _watched(send: Callable[[], PublisherRun], notes: RunNotes) -> PublisherRun:
    """Return the run once it has ended; at Ctrl-C, name the run that continues.

    Raises:
        KeyboardInterrupt: its text names the run.
    """
    try:
        return beside(send, notes)
    except KeyboardInterrupt:
        notes()
        if notes.run_id is None:
            raise
        raise KeyboardInterrupt(
            f"stopped waiting; run {notes.run_id} goes on:"
            " `staging-api publish list ARCHIVE` shows how it ends"
        ) from None


def _print(run: PublisherRun, *, as_json: bool) -> None:
    if as_json:
        print_json(run.document)
        return
    say(f"{run.state} {run.archive} ({run.id}): {_counts(run) or 'nothing to do'}")
    for note in run.notes:
        say(f"  {note}", err=True)


def _row(run: PublisherRun) -> tuple[str, ...]:
    began = run.started_at.isoformat(timespec="seconds")
    return run.id, run.operation, run.state, began, run.error_message or _counts(run)


def _counts(run: PublisherRun) -> str:
    return ", ".join(f"{count} {name}" for name, count in run.counts.items())


def _print_wait(error: StagingApiError, pause: float) -> None:
    running = error.extra.get("publication") or {}
    what = running.get("purpose") or running.get("operation")
    whose = f" ({what} of {running['archive']})" if running else ""
    say(f"{error.detail}{whose}; trying again in {pause:.0f} s", err=True)
