"""The actions of ``staging-api documents`` that show what the service has."""

import sys
from collections.abc import Iterator, Mapping
from functools import partial
from itertools import islice
from typing import Annotated, Any

import typer

from staging_api.cli.documents.messages import undone_unless_confirmed
from staging_api.cli.documents.options import (
    Secrets,
    Version,
    connected,
    of_version,
)
from staging_api.cli.documents.posted import as_text
from staging_api.cli.options import DEFAULT_SERVER, AsJson, Server, Timeout, Token
from staging_api.cli.output import in_columns, print_json, print_table, say

_PAGE = 1000


def status(
    *,
    timeout: Timeout = 60,
    as_json: AsJson = False,
    server: Server = DEFAULT_SERVER,
    token: Token = None,
) -> None:
    """Show the committed version and the buffer."""
    with connected(server, token, timeout, as_json=as_json) as client:
        buffer, found = client.documents.buffer(), client.documents.status()
        committed = buffer["committed"]
        named = as_json and committed
        commit = client.documents.revision(committed)["commit"] if named else None
    if as_json:
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


def get(
    collection: Annotated[str | None, typer.Argument(metavar="[COLLECTION]")] = None,
    *,
    version: Version = None,
    rendered: Annotated[
        bool, typer.Option("--rendered", help="As `render`: all documents, no collection.")
    ] = False,
    cleartext_secrets: Secrets = False,
    timeout: Timeout = 60,
    as_json: AsJson = False,
    server: Server = DEFAULT_SERVER,
    token: Token = None,
) -> None:
    """Print a collection as it was posted."""
    if rendered == (collection is not None):
        raise typer.BadParameter("either a collection, or --rendered")
    with connected(server, token, timeout, as_json=as_json) as client:
        if collection is None:
            ask = partial(client.documents.rendered, secrets=cleartext_secrets)
        else:
            ask = partial(client.documents.get, collection, secrets=cleartext_secrets)
        text = of_version(version, ask)
    print_text(text, as_json=as_json)


def history(
    *,
    limit: Annotated[
        int | None, typer.Option(min=1, metavar="N", help="Revisions at most. [default: all]")
    ] = None,
    timeout: Timeout = 60,
    as_json: AsJson = False,
    server: Server = DEFAULT_SERVER,
    token: Token = None,
) -> None:
    """List revisions, newest first."""
    with connected(server, token, timeout, as_json=as_json) as client:
        revisions = client.documents.revisions(page_size=min(limit or _PAGE, _PAGE))
        found = list(islice(revisions, limit))
    if as_json:
        print_json({"items": found})
        return
    print_table((tuple(_cells(revision)) for revision in found), "no revisions")


def print_text(text: bytes, *, as_json: bool) -> None:
    """Documents as they are, byte for byte; as JSON, ``{"text": ...}``."""
    if as_json:
        print_json({"text": as_text(text)})
        return
    # Bytes go past the buffer of the text layer: what is in it comes first.
    sys.stdout.flush()
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
