"""``staging-api adopt-store``: bind the mounted store to the database."""

from contextlib import closing

from staging_api.cli.options import AsJson
from staging_api.cli.output import exit_on_error, print_lines
from staging_api.processes.bootstrap import build
from staging_api.processes.run import known_database_of
from staging_api.settings import Settings


def adopt_store(*, as_json: AsJson = False) -> None:
    """Bind the store of STAGING_STORE to this database, whatever database it belonged to before.

    Use this after the store was replaced, such as after the loss of a disk, or after the database
    was created anew. Builds with missing contents are marked lost within hours, and staged again
    on the next request; contents that no row names are removed after a day. Running pods need no
    restart.
    """
    with (
        exit_on_error(as_json),
        known_database_of(Settings.from_env()) as settings,
        closing(build(settings)) as services,
    ):
        chosen = services.stagings.upkeep.identity.replace()
    text = f"the store {chosen} belongs to this database"
    print_lines({"store": chosen}, [text], as_json=as_json)
