"""``staging-api prune``: drop the history of locks that is older than it must be."""

from collections.abc import Iterator
from contextlib import ExitStack, closing, contextmanager
from datetime import UTC, datetime, timedelta
from typing import Annotated

import typer

from staging_api.bootstrap import process_name
from staging_api.db.embedded import running
from staging_api.db.engine import Database, open_database
from staging_api.locks import store
from staging_api.settings import Settings

_KEEP_DAYS = 400  # a year, and a month to look back on it


def prune(
    keep_days: Annotated[
        int, typer.Option(min=1, help="Drop the months that ended longer ago than this.")
    ] = _KEEP_DAYS,
) -> None:
    """Drop old months of the history of locks; make the coming ones.

    A month in which a lock was granted that is still held stays. Safe to run at any time.
    """
    before = datetime.now(UTC) - timedelta(days=keep_days)
    with _database(Settings.from_env()) as database, database.connect() as conn:
        store.note_expired(conn, process_name())
        store.extend_history(conn)
        dropped = store.drop_history(conn, before)
        forgotten = store.forget_scopes(conn)
    typer.echo(f"dropped {', '.join(dropped) or 'nothing'}; forgot {forgotten} unused scopes")


@contextmanager
def _database(settings: Settings) -> Iterator[Database]:
    with ExitStack() as use:
        url = settings.database_url
        if not url:
            url = use.enter_context(running(settings.home, settings.postgres_binaries)).url
        yield use.enter_context(closing(open_database(url, pool_size=1)))
