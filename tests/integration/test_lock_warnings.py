"""Server warnings: only a warning about the commit itself means that a grant may be lost."""

from collections.abc import Iterator
from contextlib import contextmanager

import pytest

from staging_api.db.engine import Database
from staging_api.errors import LockLost, Unavailable
from staging_api.locks import store
from staging_api.locks.hold import guarded, hold
from staging_api.locks.model import ARCHIVE, Lease
from tests.factories import ORIGIN, lock_request, locks_of
from tests.leases import acquired, asked, grant_of, refused, released, renewed, rows

WRAPAROUND = "Datenbank »staging« muss innerhalb von 36999999 Transaktionen gevacuumt werden"
NOT_REPLICATED = "storniere das Warten auf synchrone Replikation wegen Benutzeraufforderung"


@contextmanager
def warned(database: Database, words: str, *, at_commit: bool) -> Iterator[None]:
    """Make the server warn at each change of a scope: at once, or at the commit."""
    when = "CONSTRAINT TRIGGER warn AFTER" if at_commit else "TRIGGER warn AFTER"
    deferred = "DEFERRABLE INITIALLY DEFERRED" if at_commit else ""
    with database.begin() as conn:
        conn.exec_driver_sql(
            "CREATE FUNCTION warn() RETURNS trigger LANGUAGE plpgsql AS"
            f" $$ BEGIN RAISE WARNING '{words}'; RETURN NULL; END $$;"
            f"CREATE {when} INSERT OR UPDATE ON lock_scopes {deferred}"
            " FOR EACH ROW EXECUTE FUNCTION warn()"
        )
    try:
        yield
    finally:
        with database.begin() as conn:
            conn.exec_driver_sql("DROP FUNCTION warn CASCADE")


def test_a_warning_about_something_else_stops_no_grant(
    database: Database, database_url: str
) -> None:
    other = acquired(database, scope="other")
    with warned(database, WRAPAROUND, at_commit=False):
        with locks_of(database, database_url) as locks, hold(locks, ARCHIVE, "s", ORIGIN) as held:
            assert held.lease.remaining_seconds == pytest.approx(30, abs=1)
            assert renewed(database, held.lease, 90) == pytest.approx(90, abs=1)
            with guarded(database, held):
                pass
            assert refused(database, scope="s").id == held.lease.id
    assert rows(database, "SELECT count(*) FROM api_locks WHERE outcome = 'released'") == [(1,)]
    assert grant_of(database, other).outcome is None


def test_a_warning_about_the_commit_is_recognised_in_any_language(database: Database) -> None:
    lease = acquired(database)
    with warned(database, NOT_REPLICATED, at_commit=True):
        with pytest.raises(Unavailable, match="storniere"):
            asked(database, scope="another")
        with pytest.raises(Unavailable, match="storniere"):
            renewed(database, lease)
    assert renewed(database, lease)


def test_warnings_of_one_statement_do_not_affect_the_next(database: Database) -> None:
    with database.connect() as conn:
        with warned(database, WRAPAROUND, at_commit=False):
            first = store.acquire(conn, lock_request())
        assert isinstance(first, Lease)
        assert store.renew(conn, [(first, 60)])[first.id] is not None
        assert conn.connection.driver_connection is not None
        assert conn.connection.driver_connection.notices == []


def test_an_ended_grant_is_never_granted_again(database: Database) -> None:
    lease = acquired(database)
    released(database, lease)
    with warned(database, WRAPAROUND, at_commit=False):
        with pytest.raises(LockLost):
            asked(database, id=lease.id)
        heir = acquired(database)
    assert refused(database).id == heir.id


def test_a_refusal_is_one_statement(database: Database) -> None:
    lease = acquired(database)
    with warned(database, WRAPAROUND, at_commit=False):
        before = rows(database, "SELECT xmin::text, ctid::text FROM lock_scopes")
        assert refused(database).id == lease.id
        assert rows(database, "SELECT xmin::text, ctid::text FROM lock_scopes") == before
