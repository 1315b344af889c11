"""``staging-api psql``: PostgreSQL's own shell on the database of this service."""

import shutil
import subprocess
from pathlib import Path
from typing import Annotated

import typer

from staging_api.cli.output import exit_on_error
from staging_api.database_url import libpq_environment
from staging_api.db.embedded import find_binaries
from staging_api.environment import variables
from staging_api.errors import DatabaseUnusable
from staging_api.processes.run import known_database_of
from staging_api.settings import Settings

_READ_ONLY = "-c default_transaction_read_only=on"


def psql(
    arguments: Annotated[
        list[str] | None,
        typer.Argument(metavar="[-- ARGS...]", help="Arguments passed to psql unchanged."),
    ] = None,
    *,
    command: Annotated[
        str | None,
        typer.Option("--command", "-c", metavar="SQL", help="Run this statement and exit."),
    ] = None,
    write: Annotated[
        bool,
        typer.Option("--write", help="Permit statements that change rows; default: read only."),
    ] = False,
) -> None:
    """Open PostgreSQL's shell on the service's database; starts the embedded one if needed.

    The database password does not appear in the list of processes. Exits with psql's code.
    """
    with exit_on_error(as_json=False):
        settings = Settings.from_env()
        program = _program(settings.postgres_binaries)
        with known_database_of(settings) as found:
            environment = {**variables(), **libpq_environment(found.database_url)}
            if not write:
                # After the caller's own options: if an option is given twice, the last one counts.
                environment["PGOPTIONS"] = (
                    f"{environment.get('PGOPTIONS', '')} {_READ_ONLY}".strip()
                )
            given = ["-c", command] if command is not None else []
            ended = subprocess.run(
                [program, *given, *(arguments or [])], env=environment, check=False
            )
    raise SystemExit(ended.returncode)


def _program(binaries: Path | None) -> str:
    """Return the psql of the setting, of the system, or of the embedded server."""
    if binaries is not None:
        return str(binaries / "psql")
    if (program := shutil.which("psql")) is not None:
        return program
    embedded = find_binaries() / "psql"
    if not embedded.exists():
        raise DatabaseUnusable("there is no psql: install PostgreSQL's client programs")
    return str(embedded)
