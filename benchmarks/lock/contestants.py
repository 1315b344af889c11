"""What is measured side by side: our statements, and those of others as we know their shape."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Protocol

from sqlalchemy import Connection, bindparam, select

from staging_api.db.engine import call
from staging_api.db.tables import lock_scopes
from staging_api.locks import store
from staging_api.locks.model import ARCHIVE, Lease, LockRequest, new_id

#: Tables of the others, and of plain commits.
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
    """One lock on one scope, by one client."""

    def cycle(self) -> None:
        """Take it, which must succeed, and give it back."""


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
    """ShedLock's shape on PostgreSQL once its row is there: one UPDATE each way, no history."""

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
        """One try; a refusal finds no row."""
        return send(
            self.conn,
            "UPDATE shed SET lock_until = clock_timestamp() + make_interval(secs => %s),"
            " locked_at = clock_timestamp(), locked_by = %s"
            " WHERE name = %s AND lock_until <= clock_timestamp()",
            (_TTL, "bench", self.scope),
        )


@dataclass
class Ancestor:
    """Check, insert, look whether one's own is the newest; and an update to release."""

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
    """One durable commit of the smallest change."""
    return lambda: send(conn, "UPDATE plain SET n = n + 1 WHERE id = %s", (0,))


def read_row(conn: Connection, scope: str) -> Callable[[], object]:
    """The cheapest question: one row by its primary key."""
    query = "SELECT * FROM lock_scopes WHERE kind = %s AND scope = %s"
    return lambda: call(conn, query, ("archive", scope))


def read_row_as_rows_are_read(conn: Connection, scope: str) -> Callable[[], object]:
    """The same question, as the rest of the service asks for rows."""
    query = select(lock_scopes).where(
        lock_scopes.c.kind == "archive", lock_scopes.c.scope == bindparam("scope")
    )
    return lambda: conn.execute(query, {"scope": scope}).one()


def send(conn: Connection, statement: str, given: tuple[object, ...]) -> int:
    """A statement without an answer, by the driver's own cursor as ours; how many rows it met."""
    driver: Any = conn.connection.driver_connection
    with driver.cursor() as cursor:
        cursor.execute(statement, given)
        return int(cursor.rowcount)


# All begin alike, so that drawing an id, which is the client's work, costs each the same.
_FIRST = """
    SELECT left(ulid_floor(clock_timestamp()), 10)
        || lpad(upper(to_hex(nextval('grants'))), 16, '0') AS n, 's' || :client_id AS s \\gset
"""
_OURS = """
    SELECT fence FROM lock_acquire(:n, 'archive', :s, 'c', 'h', NULL, 60, 0) \\gset
    SELECT lock_release('archive', :s, :n, :fence, 'h')
"""
#: pgbench scripts, by name: many clients without the cost of Python. A scope per client.
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
