"""Options shared by several actions on documents, and the client of these actions."""

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

Reason = Annotated[str | None, typer.Option(metavar="TEXT", help="Reason; kept in the record.")]
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
    """Yield a client; an error of the block is printed with the service's messages, and exits."""
    with options.connected(service) as client:
        try:
            yield client
        except StagingApiError as error:
            if not service.as_json:
                # The error itself is one line; the messages name the document and path.
                print_messages(error.extra.get("messages", ()))
            raise


def of_version(version: str | None, ask: Callable[[str], T]) -> T:
    """Call `ask` with `version`; without one, with the buffer, else with the committed version.

    Raises:
        NotFound: neither has the object.
    """
    if version is not None:
        return ask(version)
    try:
        return ask("buffer")
    except NotFound:
        return ask("committed")
