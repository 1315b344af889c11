"""Deletion of all rows between two tests."""

import psycopg2
from sqlalchemy import make_url

from staging_api.db.tables import metadata

# With its indexes: a table with this many written bytes is truncated instead.
_LARGE_BYTES = 1 << 20
_TABLES = [table.name for table in metadata.sorted_tables]
_LOCK = f"LOCK TABLE {', '.join(_TABLES)}"
_USED = "PREPARE used AS " + " UNION ALL ".join(
    f"SELECT '{name}', pg_total_relation_size('{name}') > {_LARGE_BYTES}"
    f" WHERE EXISTS (SELECT FROM {name})"
    for name in _TABLES
)


class Emptying:
    """Helper that empties a database repeatedly, in a session of its own.

    The session keeps its plan of the query for tables with rows, which takes most of the time. And
    it disables triggers and foreign keys, which only a superuser may do: a session that
    switched them off each time would discard all of its plans, including those of the tests.
    """

    def __init__(self, url: str) -> None:
        self._dsn = make_url(url).set(drivername="postgresql").render_as_string(hide_password=False)
        self._session: psycopg2.extensions.connection | None = None

    def run(self) -> None:
        """Delete every row, once no session has a transaction open."""
        try:
            self._forget()
        except (psycopg2.OperationalError, psycopg2.InterfaceError):
            # A test has ended sessions from outside.
            self.close()
            self._forget()

    def close(self) -> None:
        """End the session."""
        if self._session is not None:
            self._session.close()
            self._session = None

    def _forget(self) -> None:
        if self._session is None:
            self._session = psycopg2.connect(self._dsn)
            with self._session, self._session.cursor() as cursor:
                cursor.execute(f"SET session_replication_role = 'replica'; {_USED}")
        with self._session, self._session.cursor() as cursor:
            cursor.execute(f"{_LOCK}; EXECUTE used")
            for name, is_large in cursor.fetchall():
                # Truncating takes a hundred times as long as deleting the rows of a test.
                cursor.execute(f"TRUNCATE {name} CASCADE" if is_large else f"DELETE FROM {name}")
