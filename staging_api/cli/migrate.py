"""``staging-api migrate``: bring the database to the schema of this version."""

import typer

from staging_api.db import migrate as migration
from staging_api.db.embedded import running
from staging_api.settings import Settings


def migrate() -> None:
    """Bring the database to this version's schema; safe to run twice, and many at once."""
    settings = Settings.from_env()
    if settings.database_url:
        reached = migration.migrate(settings.database_url)
    else:
        with running(settings.home, settings.postgres_binaries) as server:
            reached = migration.migrate(server.url)
    typer.echo(f"the database is at schema {reached}")
