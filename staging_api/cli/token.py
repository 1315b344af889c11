"""``staging-api token``: create a token for a caller."""

from pathlib import Path
from typing import Annotated

import typer

from staging_api.cli.options import named_path
from staging_api.identity.issuing import add_to_file, make_token
from staging_api.identity.model import Role


def token(
    name: Annotated[
        str, typer.Argument(metavar="NAME", help="The caller's name, as in every row.")
    ],
    role: Annotated[list[Role], typer.Option(help="What the caller may do; can be repeated.")],
    days: Annotated[int | None, typer.Option(help="Days until it expires.", min=1)] = 90,
    never_expires: Annotated[bool, typer.Option("--never-expires")] = False,
    file: Annotated[
        Path | None,
        typer.Option(
            metavar="PATH", parser=named_path, help="Add its entry to this STAGING_TOKENS_FILE."
        ),
    ] = None,
) -> None:
    """Create a token, and print it once, on standard output; only its hash is kept.

    Without --file, the token's entry for STAGING_TOKENS_FILE is also printed, on standard error.
    """
    made, entry = make_token(name, role, None if never_expires else days)
    if file is None:
        typer.echo(entry, err=True, nl=False)
    else:
        add_to_file(file, entry)
    typer.echo(made)
