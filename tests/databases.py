"""Databases for single tests, on the server of the test run."""

from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, ExitStack, contextmanager
from secrets import token_hex

import psycopg2
from sqlalchemy import create_engine, make_url

from staging_api.db import migrate as migration

#: Factory of migrated databases that no other test uses; each lives for a `with` block.
Migrated = Callable[[], AbstractContextManager[str]]
#: Factory of databases with an earlier schema, without rows; each lives for a `with` block.
Schemas = Callable[[str], AbstractContextManager[str]]


@contextmanager
def new_database(url: str, template: str = "template1") -> Iterator[str]:
    """Create a database beside `url` as a copy of the template, for the block.

    The role must be able to create databases; no session may be connected to the template.
    """
    name = f"staging_test_{token_hex(4)}"
    run_alone(url, f"CREATE DATABASE {name} TEMPLATE {template} STRATEGY file_copy")
    try:
        yield make_url(url).set(database=name).render_as_string(hide_password=False)
    finally:
        run_alone(url, f"DROP DATABASE {name} WITH (FORCE)")


@contextmanager
def earlier_schemas(url: str) -> Iterator[Schemas]:
    """Create databases with earlier schemas beside `url`.

    One database of each schema is kept as a template; each starts from the nearest earlier one.
    """
    names = {"": "template1"}
    with ExitStack() as kept:

        @contextmanager
        def made(revision: str) -> Iterator[str]:
            if revision not in names:
                before = names[max(each for each in names if each < revision)]
                own = kept.enter_context(new_database(url, before))
                migrate_to(own, revision)
                names[revision] = str(make_url(own).database)
            with new_database(url, names[revision]) as copy:
                yield copy

        yield made


def migrate_to(url: str, revision: str) -> None:
    """Run the migrations up to `revision`, as the version of that time did."""
    from alembic import command

    engine = create_engine(url)
    with engine.begin() as conn:
        command.upgrade(migration._config(conn), revision)
    engine.dispose()


def run_alone(url: str, statement: str) -> None:
    """Run a statement that must not be in a transaction, in a session of its own."""
    dsn = make_url(url).set(drivername="postgresql").render_as_string(hide_password=False)
    conn = psycopg2.connect(dsn)
    try:
        conn.autocommit = True
        with conn.cursor() as cursor:
            cursor.execute(statement)
    finally:
        conn.close()
