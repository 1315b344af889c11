"""Actions of ``staging-api documents`` that show the service's documents."""

import sys
from collections.abc import Iterator, Mapping
from functools import partial
from itertools import islice
from typing import Annotated, Any

import typer

from staging_api.cli.documents.messages import undone_unless_confirmed
from staging_api.cli.documents.options import Secrets, Version, connected, of_version
from staging_api.cli.documents.posted import as_text
from staging_api.cli.options import ServiceOptions, of_service
from staging_api.cli.output import in_columns, print_json, print_rows, say
from staging_api.cli.streams import output_failures

_PAGE = 1000


@of_service(timeout=60)
def status(service: ServiceOptions) -> None:
    """Show the committed version and the buffer."""
    with connected(service) as client:
        buffer, found = client.documents.buffer(), client.documents.status()
        committed = buffer["committed"]
        named = service.as_json and committed
        commit = client.documents.revision(committed)["commit"] if named else None
    if service.as_json:
        print_json({"buffer": buffer, "collections": found, "commit": commit})
        return
    named = f"revision {committed}" if committed else "nothing"
    say(f"committed: {named}{undone_unless_confirmed(buffer['unconfirmed'])}")
    if buffer["collections"]:
        say(f"buffer: revision {buffer['revision']}, digest {buffer['digest']}")
    else:
        typer.echo("buffer: empty")
    for line in in_columns((each["new_status"], each["collection_name"]) for each in found):
        say(f"  {line}")


@of_service(timeout=60)
def get(
    service: ServiceOptions,
    collection: Annotated[str | None, typer.Argument(metavar="[COLLECTION]")] = None,
    *,
    version: Version = None,
    rendered: Annotated[
        bool, typer.Option("--rendered", help="As `render`: all documents, no collection.")
    ] = False,
    cleartext_secrets: Secrets = False,
) -> None:
    """Print a collection as it was posted."""
    if rendered == (collection is not None):
        raise typer.BadParameter("either a collection, or --rendered")
    with connected(service) as client:
        if collection is None:
            ask = partial(client.documents.rendered, secrets=cleartext_secrets)
        else:
            ask = partial(client.documents.get, collection, secrets=cleartext_secrets)
        text = of_version(version, ask)
    print_text(text, as_json=service.as_json)


@of_service(timeout=60)
def history(
    service: ServiceOptions,
    *,
    limit: Annotated[
        int | None,
        typer.Option(min=1, metavar="N", help="Maximum number of revisions. [default: all]"),
    ] = None,
) -> None:
    """List revisions, newest first."""
    with connected(service) as client:
        revisions = client.documents.revisions(page_size=min(limit or _PAGE, _PAGE))
        found = list(islice(revisions, limit))
    rows = (tuple(_cells(revision)) for revision in found)
    print_rows({"items": found}, rows, "no revisions", as_json=service.as_json)


def print_text(text: bytes, *, as_json: bool) -> None:
    """Print documents unchanged, byte for byte; as JSON, ``{"text": ...}``."""
    if as_json:
        print_json({"text": as_text(text)})
        return
    # Bytes bypass the text layer's buffer, which is flushed first.
    sys.stdout.flush()
    with output_failures():
        sys.stdout.buffer.write(text)


def _cells(revision: Mapping[str, Any]) -> Iterator[str]:
    commit = revision["commit"]
    yield str(revision["number"])
    yield " ".join(filter(None, (revision["kind"], revision["collection"])))
    yield "" if commit is None else "undone" if commit["undone_in"] else "committed"
    yield revision["caller"]
    yield revision["created_at"]
    yield " ".join(each["tag"] for each in revision["tags"])
    yield revision["reason"] or ""
