"""``staging-api adopt-store``: let the store that is mounted be that of the database."""

from contextlib import closing

import typer

from staging_api.cli.options import AsJson
from staging_api.cli.output import exit_on_error, print_json
from staging_api.processes.bootstrap import build
from staging_api.processes.serving import database_of
from staging_api.settings import Settings


def adopt_store(*, as_json: AsJson = False) -> None:
    """Let the store of STAGING_STORE be the one of this database, whatever it was before.

    For a store that was replaced, as after the loss of a disk, or whose database was made anew.
    Builds whose contents it has not are found lost within hours, and staged again when somebody
    asks for them; contents that no row names are removed after a day. Pods notice by themselves.
    """
    with (
        exit_on_error(as_json),
        database_of(Settings.from_env()) as settings,
        closing(build(settings)) as services,
    ):
        chosen = services.stagings.upkeep.identity.replace()
    if as_json:
        print_json({"store": chosen})
    else:
        typer.echo(f"the store {chosen} belongs to this database")
