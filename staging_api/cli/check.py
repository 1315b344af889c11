"""``staging-api check``: check whether the service could start with these settings."""

import typer

from staging_api.processes.configuration import check_configuration
from staging_api.settings import Settings


def check() -> None:
    """Check the settings STAGING_... as far as possible without other services; change nothing."""
    if warning := check_configuration(Settings.from_env(), "both"):
        typer.echo(f"warning: {warning}", err=True)
    typer.echo("the settings are valid")
