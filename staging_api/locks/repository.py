"""Read the locks: those held now, and the history of every grant."""

from collections.abc import Collection
from datetime import UTC, datetime
from typing import Any

from sqlalchemy import Connection, Row, Select, func, literal, select, text, tuple_
from ulid import ULID

from staging_api.db.tables import api_locks, lock_scopes
from staging_api.errors import NotFound
from staging_api.locks.model import Grant, LockFilter, LockKind, LockWaiter

#: The filter that matches every grant.
ALL = LockFilter()


def held(
    conn: Connection, *, limit: int, after: str | None = None, only: LockFilter = ALL
) -> list[Grant]:
    """Return the locks that are held now, in the order of their grants."""
    query = select(api_locks).join(lock_scopes, lock_scopes.c.lock_id == api_locks.c.id)
    query = query.where(lock_scopes.c.expires_at > func.clock_timestamp())
    return _grants(conn, _matching(query, only), limit, after)


def history(
    conn: Connection, *, limit: int, after: str | None = None, only: LockFilter = ALL
) -> list[Grant]:
    """Return every grant, held or ended, in the order of their time.

    A reader that continues after the last grant of a page gets each grant exactly once: a grant is
    left for the next page if one that is still in flight may precede it. `conn` must be in
    autocommit mode, so that the rows are read after the time up to which they are complete.
    """
    whole_until = conn.execute(_WHOLE_UNTIL).scalar_one()
    query = select(api_locks).where(api_locks.c.acquired_at < whole_until)
    return _grants(conn, _matching(query, only), limit, after)


def newest(
    conn: Connection, *, limit: int, before: str | None = None, only: LockFilter = ALL
) -> list[Grant]:
    """Return the grants made before the grant `before`, the newest first."""
    order = (api_locks.c.acquired_at, api_locks.c.id)
    query = _matching(select(api_locks), only)
    if before is not None:
        query = query.where(tuple_(*order) < tuple_(_acquired_at(conn, before), literal(before)))
    query = query.order_by(*(column.desc() for column in order)).limit(limit)
    return [_grant(row) for row in conn.execute(query)]


def waiter_counts(conn: Connection, grants: Collection[Grant]) -> dict[tuple[str, str], int]:
    """Return how many requests wait for each of these locks, by kind and scope; 0 if none.

    Ended grants are ignored: waiters for their scope wait for its present holder.
    """
    held_now = [grant for grant in grants if grant.outcome is None]
    if not held_now:
        return {}
    given = {
        "kinds": [grant.kind for grant in held_now],
        "scopes": [grant.scope for grant in held_now],
    }
    return {(row.kind, row.scope): row.waiters for row in conn.execute(_WAITER_COUNTS, given)}


def waiters(conn: Connection, grant: Grant, limit: int, after: str | None) -> list[LockWaiter]:
    """Return the requests that wait for a held lock, in the order in which they will get it.

    Args:
        after: id of a waiter; only those behind it are returned. One that no longer waits is placed
            by the time in its id.
    """
    given = {"kind": grant.kind, "scope": grant.scope, "limit": limit, "after": after}
    return [LockWaiter(*row) for row in conn.execute(_WAITERS, given)]


def find(conn: Connection, lock_id: str) -> Grant:
    """Return one grant.

    Raises:
        NotFound: there is no such grant.
    """
    row = conn.execute(select(api_locks).where(api_locks.c.id == lock_id)).one_or_none()
    if row is None:
        raise NotFound(f"there is no lock {lock_id}")
    return _grant(row)


def seconds_left(conn: Connection, kind: LockKind, scope: str) -> float | None:
    """Return the remaining seconds of the lease on a scope, without locking; None if not held."""
    expires_at, now = lock_scopes.c.expires_at, func.clock_timestamp()
    left = select(func.date_part("epoch", expires_at - now)).where(
        lock_scopes.c.kind == kind.name,
        lock_scopes.c.scope == scope,
        lock_scopes.c.lock_id.is_not(None),
        expires_at > now,
    )
    seconds: float | None = conn.execute(left).scalar_one_or_none()
    return seconds


def _matching(query: Select[Any], only: LockFilter) -> Select[Any]:
    if only.scope is not None:
        query = query.where(api_locks.c.scope == only.scope)
    if only.kind is not None:
        query = query.where(api_locks.c.kind == only.kind)
    if only.except_kind is not None:
        query = query.where(api_locks.c.kind != only.except_kind)
    if only.outcome is not None:
        query = query.where(api_locks.c.outcome == only.outcome)
    return query


def _grants(conn: Connection, query: Select[Any], limit: int, after: str | None) -> list[Grant]:
    order = (api_locks.c.acquired_at, api_locks.c.id)
    if after is not None:
        query = query.where(tuple_(*order) > tuple_(_acquired_at(conn, after), literal(after)))
    return [_grant(row) for row in conn.execute(query.order_by(*order).limit(limit))]


def _acquired_at(conn: Connection, lock_id: str) -> datetime:
    """Return the time of a grant; for one that left the history, the time of its ULID."""
    made = select(api_locks.c.acquired_at).where(api_locks.c.id == lock_id)
    found: datetime | None = conn.execute(made).scalar_one_or_none()
    if found is not None:
        return found
    try:
        return ULID.from_str(lock_id).datetime
    except (ValueError, OverflowError):
        # ULIDs reach the year 10889, datetime 9999: no grant was made after that.
        return datetime.max.replace(tzinfo=UTC)


def _grant(row: Row[Any]) -> Grant:
    return Grant(**row._mapping)  # noqa: SLF001 - the public name of a row's columns


_WAITER_COUNTS = text("""
    SELECT k.kind, k.scope, count(w.id) AS waiters
    FROM unnest(CAST(:kinds AS text[]), CAST(:scopes AS text[])) AS k (kind, scope)
    LEFT JOIN lock_waiters_alive w ON w.kind = k.kind AND w.scope = k.scope
    GROUP BY k.kind, k.scope
""")
_WAITERS = text("""
    SELECT id, caller, holder, reference_id, waits_since, seen_at, leaves_at
    FROM lock_waiters_alive
    WHERE kind = :kind AND scope = :scope
      AND (CAST(:after AS text) IS NULL
        OR coalesce(place > (SELECT place FROM lock_waiters WHERE id = :after), id > :after))
    ORDER BY place LIMIT :limit
""")
_WHOLE_UNTIL = text("SELECT lock_history_whole_until()")
