"""Options that several actions on APT archives share."""

from collections.abc import Sequence
from typing import Annotated

import typer

DEFAULT_SUITE = "stable"
REPEATED = "may be repeated."
#: Timeout of an action: runs and copies of a large archive take long.
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


def only(given: Sequence[str] | None, option: str) -> str | None:
    """Return the value of an option, None if it is not given.

    Raises:
        typer.BadParameter: the option is given several times, which only other actions allow.
    """
    if given and len(given) > 1:
        raise typer.BadParameter(f"{option} can be given only once here")
    return given[0] if given else None
