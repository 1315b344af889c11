"""Options shared by several verbs."""

from contextlib import AbstractContextManager, suppress
from typing import Annotated
from urllib.parse import urlsplit

import typer

from staging_api.cli.pages import with_page
from staging_api.client import Pacing, StagingClient

DEFAULT_SERVER = "http://127.0.0.1:8080"

Server = Annotated[
    str,
    typer.Option(
        "--server", envvar="STAGING_SERVER", metavar="URL", help="Address of the service."
    ),
]
Token = Annotated[
    str | None,
    typer.Option(
        "--token",
        envvar="STAGING_TOKEN",
        metavar="TOKEN",
        help="Your bearer token; the variable keeps it out of the list of processes.",
    ),
]
DemoBind = Annotated[
    str,
    typer.Option(
        "--bind",
        envvar="STAGING_BIND",
        metavar="HOST:PORT",
        help="With --keep: where the service is.",
    ),
]
AsJson = Annotated[bool, typer.Option("--json", help="Print one line of JSON, and nothing else.")]
Archive = Annotated[
    str, typer.Argument(metavar="URL", help="The archive, such as gs://builds/board/R17-1.")
]
OfArchive = Annotated[
    str | None, typer.Option("--archive", metavar="URL", help="Only those of this archive.")
]
InState = Annotated[
    str | None,
    typer.Option("--state", metavar="STATE", help="Only those in this state, as staged."),
]
Limit = Annotated[int, typer.Option(min=1, max=1000, metavar="N", help="At most so many.")]
Prefix = Annotated[
    str | None,
    typer.Option(metavar="URL", help="Only of archives whose URL begins with this."),
]
ErrorCode = Annotated[
    str | None, typer.Option("--error", metavar="CODE", help="Only those that failed with this.")
]
Timeout = Annotated[float, typer.Option("--timeout", min=0, metavar="SECONDS", help="In all.")]
StagingId = Annotated[str, typer.Argument(metavar="ID", help="ULID of the staging.")]

_QUICK_SECONDS = 10.0
_DEFAULT_SECONDS = 60.0
#: A first `serve` makes its database before it listens: seconds on an idle machine.
_STARTING_SECONDS = 60.0
_THIS_MACHINE = frozenset({"localhost", "127.0.0.1", "::1"})


def verb_group(text: str, *, no_args_is_help: bool = True) -> typer.Typer:
    """Return a verb that has actions; completion is offered by the whole command alone."""
    return typer.Typer(
        help=text,
        no_args_is_help=no_args_is_help,
        add_completion=False,
        rich_markup_mode=None,
        context_settings={"help_option_names": ["-h", "--help"]},
    )


def patient(server: str, token: str | None) -> AbstractContextManager[StagingClient]:
    """Return a client that waits for a service of this machine to start."""
    return with_page(StagingClient(server, token=token, pacing=pacing_for(server)))


def pacing_for(server: str) -> Pacing:
    """Return how long nothing may listen at an address.

    Elsewhere such an address is wrong, more often than not.
    """
    with suppress(ValueError):  # of what is no address, which the client refuses
        if urlsplit(server).hostname in _THIS_MACHINE:
            return Pacing(refused_seconds=_STARTING_SECONDS)
    return Pacing()


def quick(server: str, token: str | None) -> AbstractContextManager[StagingClient]:
    """Return a client with a short time-out, for verbs that answer at once."""
    return lasting(server, token, _QUICK_SECONDS)


def lasting(
    server: str, token: str | None, seconds: float = _DEFAULT_SECONDS
) -> AbstractContextManager[StagingClient]:
    """Return a client whose calls may take so long."""
    return with_page(StagingClient(server, token=token, timeout=seconds))
