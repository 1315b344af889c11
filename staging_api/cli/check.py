"""``staging-api check``: say whether the service could start with these settings."""

import typer

from staging_api.processes.configuration import check_configuration
from staging_api.settings import Settings


def check() -> None:
    """Check all that the settings STAGING_... alone can tell; starts and changes nothing."""
    check_configuration(Settings.from_env())
    typer.echo("the settings can work")
