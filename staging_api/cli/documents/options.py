"""Options that several actions on documents have, and the client that they use."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Annotated, TypeVar

import typer

from staging_api.cli import options
from staging_api.cli.documents.messages import print_messages
from staging_api.cli.options import ServiceOptions
from staging_api.client import StagingClient
from staging_api.errors import NotFound, StagingApiError

T = TypeVar("T")

VERSIONS = ("buffer", "committed", "last_site_action", "successful_site_action")

Reason = Annotated[str | None, typer.Option(metavar="TEXT", help="Why; kept in the record.")]
Secrets = Annotated[bool, typer.Option("--cleartext-secrets", help="Show secrets; for operators.")]
_NAMES = ", ".join(VERSIONS)
_BUFFER_FIRST = " [default: the buffer, or what is committed if it is empty]"
Version = Annotated[str | None, typer.Option(metavar="VERSION", help=f"{_NAMES}.{_BUFFER_FIRST}")]
VersionOrRevision = Annotated[
    str | None,
    typer.Option(metavar="VERSION", help=f"{_NAMES}, or the number of a revision.{_BUFFER_FIRST}"),
]


@contextmanager
def connected(service: ServiceOptions) -> Iterator[StagingClient]:
    """A client; an error of the block is printed with the service's messages, and exits."""
    with options.connected(service) as client:
        try:
            yield client
        except StagingApiError as error:
            if not service.as_json:
                # The error itself is one line; these say which document and place it is about.
                print_messages(error.extra.get("messages", ()))
            raise


def of_version(version: str | None, ask: Callable[[str], T]) -> T:
    """Ask for a version; if none is named, for the buffer, else for what is committed.

    Raises:
        NotFound: neither has it.
    """
    if version is not None:
        return ask(version)
    try:
        return ask("buffer")
    except NotFound:
        return ask("committed")
