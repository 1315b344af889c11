"""Short words for tests of the lock: take, refuse, expire, ask how a grant ended."""

from typing import Any

from sqlalchemy import text

from staging_api.db.engine import Database
from staging_api.locks import repository, store
from staging_api.locks.model import Grant, Lease, LockKind, Refusal
from tests.factories import lock_request


def acquired(database: Database, **given: Any) -> Lease:
    """A lease that was free to take."""
    lease = asked(database, **given)
    assert isinstance(lease, Lease)
    return lease


def refused(database: Database, **given: Any) -> Refusal:
    """The refusal of a lock that is held."""
    refusal = asked(database, **given)
    assert isinstance(refusal, Refusal)
    return refusal


def asked(database: Database, **given: Any) -> Lease | Refusal:
    """The answer to one try."""
    with database.connect() as conn:
        return store.acquire(conn, lock_request(**given))


def released(database: Database, lease: Lease) -> str | None:
    """How the lease ended, by its release at the latest."""
    with database.connect() as conn:
        return store.release(conn, lease, "this-process")


def broken(database: Database, lease: Lease) -> str | None:
    """How the lease ended, by force at the latest."""
    with database.connect() as conn:
        return store.break_lock(conn, lease.id, "operator", "it hangs")


def renewed(database: Database, lease: Lease, seconds: float = 30.0) -> float | None:
    """Seconds left after a renewal; None if it was lost."""
    with database.connect() as conn:
        return store.renew(conn, [(lease, seconds)]).get(lease.id)


def expire(database: Database, lease: Lease) -> None:
    """Let a lease run out now, as if its time had passed."""
    with database.begin() as conn:
        conn.execute(
            text(
                "UPDATE lock_scopes SET acquired_at = acquired_at - interval '1 h',"
                " expires_at = clock_timestamp() - interval '1 ms' WHERE lock_id = :id"
            ),
            {"id": lease.id},
        )


def grant_of(database: Database, lease: Lease) -> Grant:
    """Its row of the history."""
    with database.connect() as conn:
        return repository.find(conn, lease.id)


def rows(database: Database, query: str, **given: Any) -> list[tuple[Any, ...]]:
    """Whatever a query finds."""
    with database.connect() as conn:
        return [tuple(row) for row in conn.execute(text(query), given)]


RESTING = LockKind("resting", delay_seconds=30)
