"""Databases of a test's own, on the server of the run."""

from collections.abc import Iterator
from contextlib import contextmanager
from secrets import token_hex

import psycopg2
from sqlalchemy import URL, make_url


@contextmanager
def new_database(url: str, *, template: bool = False) -> Iterator[str]:
    """An empty database beside that of `url`, or a copy of it; its role may create databases."""
    name = f"staging_test_{token_hex(4)}"
    given = make_url(url)
    # Nobody may be connected to what is copied.
    beside = given.set(database="postgres") if template else given
    _run(beside, f"CREATE DATABASE {name}" + (f" TEMPLATE {given.database}" if template else ""))
    try:
        yield given.set(database=name).render_as_string(hide_password=False)
    finally:
        _run(beside, f"DROP DATABASE {name} WITH (FORCE)")


def _run(url: URL, statement: str) -> None:
    dsn = url.set(drivername="postgresql").render_as_string(hide_password=False)
    conn = psycopg2.connect(dsn)
    try:
        # Databases are not made in a transaction.
        conn.autocommit = True
        with conn.cursor() as cursor:
            cursor.execute(statement)
    finally:
        conn.close()
