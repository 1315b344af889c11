"""Short helpers for lock tests: acquire, be refused, expire, read the outcome of a grant."""

from typing import Any

from sqlalchemy import text

from staging_api.db.engine import Database
from staging_api.locks import repository, store
from staging_api.locks.model import Grant, Lease, LockKind, Refusal
from tests.factories import lock_request


def acquired(database: Database, **given: Any) -> Lease:
    """Acquire a lock that must be free."""
    lease = asked(database, **given)
    assert isinstance(lease, Lease)
    return lease


def refused(database: Database, **given: Any) -> Refusal:
    """Return the refusal for a lock that is held."""
    refusal = asked(database, **given)
    assert isinstance(refusal, Refusal)
    return refusal


def asked(database: Database, **given: Any) -> Lease | Refusal:
    """Try once to acquire a lock; return the result."""
    with database.connect() as conn:
        return store.acquire(conn, lock_request(**given))


def released(database: Database, lease: Lease) -> str | None:
    """Release a lease; return the outcome of its grant."""
    with database.connect() as conn:
        return store.release(conn, lease, "this-process")


def broken(database: Database, lease: Lease) -> str | None:
    """Break a lease; return the outcome of its grant."""
    with database.connect() as conn:
        return store.break_lock(conn, lease.id, "operator", "it hangs")


def renewed(database: Database, lease: Lease, seconds: float = 30.0) -> float | None:
    """Renew a lease; return the seconds left, None if it was lost."""
    with database.connect() as conn:
        return store.renew(conn, [(lease, seconds)]).get(lease.id)


def expire(database: Database, lease: Lease) -> None:
    """Let a lease expire now, by changing its time in the database."""
    with database.begin() as conn:
        conn.execute(
            text(
                "UPDATE lock_scopes SET acquired_at = acquired_at - interval '1 h',"
                " expires_at = clock_timestamp() - interval '1 ms' WHERE lock_id = :id"
            ),
            {"id": lease.id},
        )


def grant_of(database: Database, lease: Lease) -> Grant:
    """Return the row of a lease's grant."""
    with database.connect() as conn:
        return repository.find(conn, lease.id)


def rows(database: Database, query: str, **given: Any) -> list[tuple[Any, ...]]:
    """Return the rows of a query."""
    with database.connect() as conn:
        return [tuple(row) for row in conn.execute(text(query), given)]


RESTING = LockKind("resting", delay_seconds=30)
