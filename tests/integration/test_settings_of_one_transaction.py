"""Settings made by statements: they end with their transaction, later commits are synchronous."""

from collections.abc import Callable, Mapping

import pytest
from sqlalchemy import Connection, text

from staging_api.db.engine import Database
from staging_api.documents.rows import commit_rows
from staging_api.locks import store
from staging_api.locks.model import Lease, new_id
from staging_api.publishing.rows import apt_archives, runs
from staging_api.publishing.rows.steps import RunGuard
from staging_api.publishing.run_model import NewRun
from staging_api.staging.repository import event_rows
from tests.factories import lock_request
from tests.leases import acquired
from tests.rows import execute

ARCHIVES = """
    INSERT INTO apt_archives (name, forms, retention_seconds, quarantine_seconds)
        VALUES ('one', '{gz}', 1, 1), ('two', '{gz}', 1, 1)
"""
#: The settings that our statements make, and the time limit of a transaction.
SETTINGS = (
    "synchronous_commit",
    "plan_cache_mode",
    "idle_in_transaction_session_timeout",
    "lock_timeout",
    "statement_timeout",
    "staging.actor",
    "staging.holder",
    "staging.locks",
)
Statement = Callable[[Connection, Lease], object]


def settings(conn: Connection) -> Mapping[str, str]:
    """Return the settings of a connection; an unset one is an empty text."""
    named = text("SELECT coalesce(current_setting(:name, true), '')")
    return {name: conn.execute(named, {"name": name}).scalar_one() for name in SETTINGS}


def run_of(conn: Connection, archive: str) -> NewRun:
    """Return a run of an archive at its beginning."""
    return NewRun(
        operation="publish-distro",
        purpose=None,
        archive_id=apt_archives.find_apt_archive(conn, archive).id,
        options={},
        caller="me",
        holder="here",
        reference_id=None,
        lock_id=new_id(),
        fence=1,
    )


def run_id(conn: Connection) -> str:
    """Return the id of the run that was begun."""
    found: str = conn.execute(text("SELECT max(id) FROM publisher_runs")).scalar_one()
    return found


#: By purpose: a statement, a setting that it makes, and the setting's value.
STATEMENTS: Mapping[str, tuple[Statement, str, str]] = {
    "a run begins": (
        lambda conn, _lease: runs.begin_run(conn, run_of(conn, "one")),
        "synchronous_commit",
        "off",
    ),
    "a run counts a step": (
        lambda conn, lease: RunGuard(run_id(conn), 0, is_step=True)(conn, lease),
        "synchronous_commit",
        "off",
    ),
    "a progress is noted": (
        lambda conn, _lease: runs.commit_asynchronously(conn),
        "synchronous_commit",
        "off",
    ),
    "a lock is released": (
        lambda conn, lease: store.release(conn, lease, "me"),
        "synchronous_commit",
        "off",
    ),
    "a request waits": (
        lambda conn, _lease: store.wait(conn, lock_request(), 10),
        "synchronous_commit",
        "off",
    ),
    "a request waits no more": (
        lambda conn, _lease: store.leave(conn, new_id()),
        "synchronous_commit",
        "off",
    ),
    "a change is guarded": (
        store.guard,
        "idle_in_transaction_session_timeout",
        "4s",
    ),
    "somebody acts without a lock": (
        lambda conn, _lease: event_rows.act_as(conn, "me", "here"),
        "staging.holder",
        "here",
    ),
    "a tag is taken away": (
        lambda conn, _lease: commit_rows.remove_tag(conn, 1, "none", "me"),
        "staging.actor",
        "me",
    ),
}


@pytest.mark.parametrize("name", STATEMENTS)
def test_what_a_statement_sets_is_not_set_in_the_next_transaction(
    database: Database, name: str
) -> None:
    send, setting, value = STATEMENTS[name]
    execute(database, ARCHIVES)
    lease = acquired(database)
    with database.begin() as conn:
        runs.begin_run(conn, run_of(conn, "two"))
    with database.transactions.connect() as conn:
        with conn.begin():
            before = settings(conn)
        with conn.begin():
            send(conn, lease)
            assert settings(conn)[setting] == value != before[setting]
        with conn.begin():
            assert settings(conn) == before
