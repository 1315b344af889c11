"""``staging-api rotate-keys``: encrypt documents again with the current key."""

from contextlib import closing
from typing import Annotated

import typer

from staging_api.cli.options import AsJson
from staging_api.cli.output import exit_on_error, print_lines
from staging_api.documents.changing import ChangeOrigin
from staging_api.documents.rotation import rotate
from staging_api.locks.hold import RequestOrigin
from staging_api.processes.bootstrap import build
from staging_api.processes.run import known_database_of
from staging_api.settings import Settings


def rotate_keys(
    *,
    new_key: Annotated[
        bool, typer.Option("--new-key", help="Create a new key first; not with a key file.")
    ] = False,
    as_json: AsJson = False,
) -> None:
    """Encrypt every encrypted document again with the current key.

    With STAGING_DOCUMENTS_KEYS_FILE, first put a new key above the others there; afterwards the old
    ones may be removed. Safe to run again; uses the database of STAGING_DATABASE_URL.
    """
    with (
        exit_on_error(as_json),
        known_database_of(Settings.from_env()) as settings,
        closing(build(settings)) as services,
    ):
        author = ChangeOrigin(RequestOrigin("rotate-keys"))
        count = rotate(services.documents, author, new_key=new_key)
    text = f"{count} collections were encrypted again"
    print_lines({"sealed": count}, [text], as_json=as_json)
