"""Contestants: our statements, and the statements of other locks, as their sources have them."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Protocol

from sqlalchemy import Connection, bindparam, select

from staging_api.db.engine import call
from staging_api.db.tables import lock_scopes
from staging_api.locks import store
from staging_api.locks.model import ARCHIVE, Lease, LockRequest, new_id

#: Tables of the other locks, and of plain commits.
TABLES = """
    CREATE TABLE shed (
        name text PRIMARY KEY, lock_until timestamptz NOT NULL, locked_at timestamptz NOT NULL,
        locked_by text NOT NULL) WITH (fillfactor = 50);
    INSERT INTO shed SELECT 's' || n, 'epoch', 'epoch', 'nobody' FROM generate_series(0, 99) n;
    CREATE TABLE upsert (LIKE shed INCLUDING ALL);
    CREATE TABLE ancestor (
        id varchar(36) PRIMARY KEY, lock_type varchar(20) NOT NULL, datetime timestamptz NOT NULL,
        expires interval NOT NULL, released boolean NOT NULL);
    CREATE TABLE plain (id integer PRIMARY KEY, n bigint NOT NULL) WITH (fillfactor = 50);
    INSERT INTO plain SELECT n, 0 FROM generate_series(0, 99) n;
    CREATE SEQUENCE grants CACHE 100;
"""
_TTL = 60.0


class Contestant(Protocol):
    """A lock on one scope, used by one client."""

    def cycle(self) -> None:
        """Acquire the lock, which must succeed, and release it."""


@dataclass
class Ours:
    """The statements of `staging_api.locks.store`."""

    conn: Connection
    scope: str

    def cycle(self) -> None:
        """Take it and give it back."""
        lease = self.acquire()
        assert isinstance(lease, Lease)
        store.release(self.conn, lease, "benchmark")

    def acquire(self) -> object:
        """One try, granted or refused."""
        request = LockRequest(new_id(), ARCHIVE, self.scope, "bench", "bench", None, _TTL)
        return store.acquire(self.conn, request)


@dataclass
class Shed:
    """ShedLock's statements on PostgreSQL with an existing row: one UPDATE each way, no history."""

    conn: Connection
    scope: str

    def cycle(self) -> None:
        """Take it and give it back."""
        assert self.acquire() == 1
        send(
            self.conn,
            "UPDATE shed SET lock_until = clock_timestamp() WHERE name = %s AND locked_by = %s",
            (self.scope, "bench"),
        )

    def acquire(self) -> int:
        """Try once; a refusal matches no row."""
        return send(
            self.conn,
            "UPDATE shed SET lock_until = clock_timestamp() + make_interval(secs => %s),"
            " locked_at = clock_timestamp(), locked_by = %s"
            " WHERE name = %s AND lock_until <= clock_timestamp()",
            (_TTL, "bench", self.scope),
        )


@dataclass
class Ancestor:
    """Shipyard's statements: check, insert, compare with the newest row; an UPDATE to release."""

    conn: Connection
    scope: str

    def cycle(self) -> None:
        """Take it and give it back."""
        mine = new_id()
        send(
            self.conn,
            "INSERT INTO ancestor SELECT %s, %s, now(), make_interval(secs => %s), false"
            " WHERE NOT EXISTS (SELECT FROM ancestor WHERE lock_type = %s AND NOT released"
            " AND datetime + expires > now())",
            (mine, self.scope, _TTL, self.scope),
        )
        newest = call(
            self.conn,
            "SELECT id FROM ancestor WHERE lock_type = %s AND NOT released"
            " AND datetime + expires > now() ORDER BY datetime DESC LIMIT 1",
            (self.scope,),
        )
        assert newest == (mine,)
        send(self.conn, "UPDATE ancestor SET released = true WHERE id = %s", (mine,))


@dataclass
class Upsert:
    """INSERT ... ON CONFLICT DO UPDATE ... WHERE expired: its refusal locks the row."""

    conn: Connection
    scope: str

    def cycle(self) -> None:
        """Take it and give it back."""
        self.acquire()
        freed = "UPDATE upsert SET lock_until = clock_timestamp() WHERE name = %s"
        send(self.conn, freed, (self.scope,))

    def acquire(self) -> int:
        """One try, granted or refused."""
        return send(
            self.conn,
            "INSERT INTO upsert VALUES (%s, clock_timestamp() + make_interval(secs => %s),"
            " clock_timestamp(), %s) ON CONFLICT (name) DO UPDATE"
            " SET lock_until = excluded.lock_until, locked_at = excluded.locked_at,"
            " locked_by = excluded.locked_by WHERE upsert.lock_until <= clock_timestamp()",
            (self.scope, _TTL, "bench"),
        )


def commit(conn: Connection) -> Callable[[], object]:
    """Return a call that makes one durable commit of the smallest change."""
    return lambda: send(conn, "UPDATE plain SET n = n + 1 WHERE id = %s", (0,))


def read_row(conn: Connection, scope: str) -> Callable[[], object]:
    """Return the cheapest query: one row by its primary key."""
    query = "SELECT * FROM lock_scopes WHERE kind = %s AND scope = %s"
    return lambda: call(conn, query, ("archive", scope))


def read_row_as_rows_are_read(conn: Connection, scope: str) -> Callable[[], object]:
    """Return the same query, with the row access of the rest of the service."""
    query = select(lock_scopes).where(
        lock_scopes.c.kind == "archive", lock_scopes.c.scope == bindparam("scope")
    )
    return lambda: conn.execute(query, {"scope": scope}).one()


def send(conn: Connection, statement: str, given: tuple[object, ...]) -> int:
    """Run a statement without result, by the driver's cursor, as ours; return the row count."""
    driver: Any = conn.connection.driver_connection
    with driver.cursor() as cursor:
        cursor.execute(statement, given)
        return int(cursor.rowcount)


# All begin alike, so that the client's generation of an id costs each the same.
_FIRST = """
    SELECT left(ulid_floor(clock_timestamp()), 10)
        || lpad(upper(to_hex(nextval('grants'))), 16, '0') AS n, 's' || :client_id AS s \\gset
"""
_OURS = """
    SELECT fence FROM lock_acquire(:n, 'archive', :s, 'c', 'h', NULL, 60, 0) \\gset
    SELECT lock_release('archive', :s, :n, :fence, 'h')
"""
#: pgbench scripts, by name: many clients without the cost of Python, each with its own scope.
SCRIPTS = {
    "ours": f"{_FIRST} {_OURS};",
    "notify": f"{_FIRST} {_OURS}, pg_notify('staging_locks', :s);",
    "shed": f"""{_FIRST}
        UPDATE shed SET lock_until = clock_timestamp() + '60 s', locked_at = clock_timestamp(),
            locked_by = 'h' WHERE name = :s AND lock_until <= clock_timestamp();
        UPDATE shed SET lock_until = clock_timestamp() WHERE name = :s AND locked_by = 'h';
    """,
    "ancestor": f"""{_FIRST}
        INSERT INTO ancestor SELECT :n, :s, now(), '60 s', false WHERE NOT EXISTS (
            SELECT FROM ancestor WHERE lock_type = :s AND NOT released
            AND datetime + expires > now());
        SELECT id FROM ancestor WHERE lock_type = :s AND NOT released
            AND datetime + expires > now() ORDER BY datetime DESC LIMIT 1;
        UPDATE ancestor SET released = true WHERE id = :n;
    """,
}
