"""Databases of a test's own, on the server of the run."""

from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager
from secrets import token_hex

import psycopg2
from sqlalchemy import make_url

#: Makes migrated databases that no other test uses, each for a block.
Migrated = Callable[[], AbstractContextManager[str]]


@contextmanager
def new_database(url: str, template: str = "template1") -> Iterator[str]:
    """A database beside that of `url`, for the block, with what the template has.

    The role may create databases; no session may be connected to the template.
    """
    name = f"staging_test_{token_hex(4)}"
    _run(url, f"CREATE DATABASE {name} TEMPLATE {template}")
    try:
        yield make_url(url).set(database=name).render_as_string(hide_password=False)
    finally:
        _run(url, f"DROP DATABASE {name} WITH (FORCE)")


def _run(url: str, statement: str) -> None:
    dsn = make_url(url).set(drivername="postgresql").render_as_string(hide_password=False)
    conn = psycopg2.connect(dsn)
    try:
        # Databases are not made in a transaction.
        conn.autocommit = True
        with conn.cursor() as cursor:
            cursor.execute(statement)
    finally:
        conn.close()
