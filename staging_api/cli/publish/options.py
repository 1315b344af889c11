"""Options and output that several actions on APT archives share."""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import Annotated, Any

import typer

from staging_api.cli.options import lasting
from staging_api.cli.output import exit_on_error, print_json, print_table, say
from staging_api.client import StagingClient

DEFAULT_SUITE = "stable"
REPEATED = "may be repeated."
#: Time-out of an action: runs and copies of a large archive take long.
LONG_SECONDS = 3600

Archive = Annotated[str, typer.Argument(metavar="ARCHIVE", help="Name of the archive.")]
Suites = Annotated[
    list[str] | None,
    typer.Option(metavar="NAME", help=f"Only this suite; {REPEATED} [default: all]"),
]
SuitesOrStable = Annotated[
    list[str] | None,
    typer.Option(metavar="NAME", help=f"A suite; {REPEATED} [default: {DEFAULT_SUITE}]"),
]


@contextmanager
def connected(
    server: str, token: str | None, timeout: float, *, as_json: bool
) -> Iterator[StagingClient]:
    """A client; an error of the block is printed, and exits."""
    with exit_on_error(as_json), lasting(server, token, timeout) as client:
        yield client


def only(given: Sequence[str] | None, option: str) -> str | None:
    """Return the value of an option, None if it is not given.

    Raises:
        typer.BadParameter: it is given several times, as other actions allow.
    """
    if given and len(given) > 1:
        raise typer.BadParameter(f"{option} can be given only once here")
    return given[0] if given else None


def print_rows(
    document: Mapping[str, Any],
    rows: Iterable[tuple[str, ...]],
    nothing: str,
    *,
    as_json: bool,
) -> None:
    """Print the document as JSON, or else its rows; if there are none, the word for that."""
    if as_json:
        print_json(document)
    else:
        print_table(rows, nothing)


def print_lines(document: Mapping[str, Any], lines: Iterable[str], *, as_json: bool) -> None:
    """Print the document as JSON, or else the lines that show it."""
    if as_json:
        print_json(document)
        return
    for line in lines:
        say(line)
