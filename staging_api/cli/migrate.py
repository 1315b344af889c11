"""``staging-api migrate``: upgrade the database to the schema of this version."""

from typing import Annotated

import typer

from staging_api import logs
from staging_api.db import migrate as migration
from staging_api.db.embedded import running
from staging_api.settings import Settings


def migrate(
    timeout: Annotated[
        float,
        typer.Option(
            min=1,
            metavar="SECONDS",
            help="How long to retry while other sessions block the migration.",
        ),
    ] = migration.PATIENCE_SECONDS,
) -> None:
    """Bring the database to this version's schema; safe to run twice, and many at once."""
    settings = Settings.from_env()
    logs.configure(settings.log_format)
    if settings.database_url:
        reached = migration.migrate(settings.database_url, timeout)
    else:
        with running(settings.home, settings.postgres_binaries) as server:
            reached = migration.migrate(server.url, timeout)
    if migration.is_newer(reached):
        wanted = migration.wanted_revision()
        typer.echo(f"the database is at schema {reached}, newer than {wanted}: nothing to do")
    else:
        typer.echo(f"the database is at schema {reached}")
