"""Generations of an archive: list them, go back to one, hold suites, and copy the live one."""

from collections.abc import Mapping
from typing import Annotated, Any

import typer

from staging_api.cli.options import ServiceOptions, connected, named, of_service
from staging_api.cli.output import print_lines, print_rows, say
from staging_api.cli.publish.options import (
    DEFAULT_SUITE,
    LONG_SECONDS,
    Archive,
    Suites,
    SuitesOrStable,
)

Reason = Annotated[str, typer.Option(metavar="TEXT", help="Reason; kept in the record.")]


@of_service(timeout=LONG_SECONDS)
def listing(service: ServiceOptions, archive: Archive) -> None:
    """List the generations that clients have seen, newest first."""
    with connected(service) as client:
        found = list(client.archives.generations(archive))
    rows = (
        (g["id"], str(g["number"]), g["state"], str(g["live_at"]), "pinned" * bool(g["pinned_at"]))
        for g in found
    )
    print_rows({"items": found}, rows, "no generations", as_json=service.as_json)


@of_service(timeout=LONG_SECONDS)
def back(
    service: ServiceOptions,
    archive: Archive,
    generation: Annotated[str, typer.Argument(metavar="ID", help="ULID of the generation.")],
    *,
    suite: Suites = None,
    reason: Reason = "",
) -> None:
    """Serve an older generation again, and hold its suites at that generation."""
    with connected(service) as client:
        document = client.archives.go_back(archive, generation, suites=suite or (), reason=reason)
    _print_live(archive, document, as_json=service.as_json)


@of_service(timeout=LONG_SECONDS)
def hold(
    service: ServiceOptions,
    archive: Archive,
    *,
    suite: SuitesOrStable = None,
    reason: Reason = "",
) -> None:
    """Hold suites: clients keep seeing their present state, whatever the next runs publish."""
    with connected(service) as client:
        # The API holds one suite in a call; each response has all held suites.
        for each in suite or (DEFAULT_SUITE,):
            document = client.archives.hold(archive, each, reason)
    _print_live(archive, document, as_json=service.as_json)


@of_service(timeout=LONG_SECONDS)
def lift(service: ServiceOptions, archive: Archive, *, suite: SuitesOrStable = None) -> None:
    """Lift the hold of suites: from the next run on, clients see all published packages."""
    with connected(service) as client:
        for each in suite or (DEFAULT_SUITE,):
            document = client.archives.lift(archive, each)
    _print_live(archive, document, as_json=service.as_json)
    typer.echo("the next run shows clients the published packages", err=True)


@of_service(timeout=LONG_SECONDS)
def export(
    service: ServiceOptions,
    archive: Archive,
    to: Annotated[
        str,
        typer.Argument(
            metavar="FOLDER", parser=named, help="A folder, or a bucket such as s3://..."
        ),
    ],
) -> None:
    """Copy the live generation to a folder or bucket, from which a web server can serve it."""
    with connected(service) as client:
        count = client.archives.export(archive, to, timeout=service.timeout)
    print_lines({"written": count}, [f"{count} files written"], as_json=service.as_json)


def _print_live(archive: str, document: Mapping[str, Any], *, as_json: bool) -> None:
    print_lines(document, [f"{archive} is at {document['live']['number']}"], as_json=as_json)
    for each in document["held"]:
        say(f"{each['suite']} is held at {each['content_number']}", err=True)
