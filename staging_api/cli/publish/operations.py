"""The three operations of the publisher, and the list of their runs."""

from collections.abc import Callable
from typing import Annotated

import typer

from staging_api.cli.options import DEFAULT_SERVER, AsJson, Server, Timeout, Token
from staging_api.cli.output import print_json
from staging_api.cli.publish.options import (
    LONG_SECONDS,
    Archive,
    Suites,
    connected,
    print_rows,
)
from staging_api.client import PublisherRun
from staging_api.errors import StagingApiError
from staging_api.vocabulary.publishing import Operation

Careful = Annotated[
    bool, typer.Option("--careful", help="Look at everything, not at what changed.")
]


def _verb(operation: Operation, line: str) -> Callable[..., None]:
    """Return the function of one operation; they have the same options."""

    def run(
        archive: Archive,
        *,
        suite: Suites = None,
        careful: Careful = False,
        timeout: Timeout = LONG_SECONDS,
        as_json: AsJson = False,
        server: Server = DEFAULT_SERVER,
        token: Token = None,
    ) -> None:
        with connected(server, token, timeout, as_json=as_json) as client:
            done = client.archives.publish(
                operation,
                archive,
                timeout=timeout,
                on_retry=_print_wait,
                careful=careful,
                suites=list(suite or ()),
            )
        if as_json:
            print_json(done.document)
            return
        typer.echo(f"{done.state} {done.archive} ({done.id}): {_counts(done) or 'nothing to do'}")
        for note in done.notes:
            typer.echo(f"  {note}", err=True)

    run.__doc__ = (
        f"{line}\n\nWhile another operation runs this one waits for it, and prints which it is."
    )
    return run


process_accepted = _verb("process-accepted", "Turn accepted uploads into pending packages.")
publish_distro = _verb("publish-distro", "Publish pending packages, and go live.")
publish_ftpmaster = _verb("publish-ftpmaster", "Do both: process-accepted and publish-distro.")


def runs(
    archive: Archive,
    *,
    timeout: Timeout = LONG_SECONDS,
    as_json: AsJson = False,
    server: Server = DEFAULT_SERVER,
    token: Token = None,
) -> None:
    """List the publisher's runs for an archive, newest first."""
    with connected(server, token, timeout, as_json=as_json) as client:
        found = list(client.archives.publications(archive))
    document = {"items": [run.document for run in found]}
    print_rows(document, map(_row, found), "no runs", as_json=as_json)


def _row(run: PublisherRun) -> tuple[str, ...]:
    began = run.started_at.isoformat(timespec="seconds")
    return run.id, run.operation, run.state, began, run.error_message or _counts(run)


def _counts(run: PublisherRun) -> str:
    return ", ".join(f"{count} {name}" for name, count in run.counts.items())


def _print_wait(error: StagingApiError, pause: float) -> None:
    running = error.extra.get("publication") or {}
    what = running.get("purpose") or running.get("operation")
    whose = f" ({what} of {running['archive']})" if running else ""
    typer.echo(f"{error.detail}{whose}; trying again in {pause:.0f} s", err=True)
