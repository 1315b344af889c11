"""Clients that compete for a lock and record its history, for our lock and for faulty locks.

The faulty locks prove that the check of the history finds each kind of violation.
"""

import os
import random
import socket
import threading
import time
from collections import Counter
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from dataclasses import dataclass, field
from typing import Any, Protocol

from sqlalchemy import Connection, text

from staging_api.db.engine import Database
from staging_api.errors import LockLost, Unavailable
from staging_api.locks import store
from staging_api.locks.model import ARCHIVE, Lease, new_id
from tests.factories import lock_request
from tests.history import Reign, Write, violations

TTL = 0.1
_PATIENCE_SECONDS = 120.0
# Number of renewals in each lease of a busy holder.
_RENEWALS = 4
#: The tables that contests write to.
TABLES = """
    CREATE TABLE IF NOT EXISTS contest_writes (
        place bigserial PRIMARY KEY, scope text NOT NULL, id text NOT NULL, fence bigint);
    CREATE TABLE IF NOT EXISTS ancestor_locks (
        id text PRIMARY KEY, scope text NOT NULL, released boolean NOT NULL DEFAULT false,
        expires interval NOT NULL, datetime timestamptz NOT NULL DEFAULT now());
    CREATE SEQUENCE IF NOT EXISTS contest_fences;
    TRUNCATE contest_writes, ancestor_locks;
"""

WRITES = "SELECT scope, id, fence, place FROM contest_writes"
INSERT_WRITE = "INSERT INTO contest_writes (scope, id, fence) VALUES (:s, :i, :f)"


class Contestant(Protocol):
    """A lock that clients can compete for; `conn` commits each statement."""

    def acquire(self, conn: Connection, scope: str, ttl: float) -> Lease | None:
        """Try once to acquire the lock."""

    def renew(self, conn: Connection, lease: Lease, ttl: float) -> float:
        """Renew the lease; return its remaining time in seconds, 0 if it is lost."""

    def release(self, conn: Connection, lease: Lease) -> None:
        """Release the lease."""

    def guard(self, conn: Connection, lease: Lease) -> None:
        """Raise LockLost, within a transaction, unless the lease is current."""


class Ours:
    """Lock with the statements of `staging_api.locks.store`."""

    def acquire(self, conn: Connection, scope: str, ttl: float) -> Lease | None:
        taken = store.acquire(conn, lock_request(scope=scope, lease_seconds=ttl))
        return taken if isinstance(taken, Lease) else None

    def renew(self, conn: Connection, lease: Lease, ttl: float) -> float:
        return store.renew(conn, [(lease, ttl)]).get(lease.id) or 0.0

    def release(self, conn: Connection, lease: Lease) -> None:
        store.release(conn, lease, "contest")

    def guard(self, conn: Connection, lease: Lease) -> None:
        store.guard(conn, lease)


class Ancestor(Ours):
    """Insert a row if none is active, then check that it is the newest; no fence, no guard."""

    def acquire(self, conn: Connection, scope: str, ttl: float) -> Lease | None:
        mine = new_id()
        conn.exec_driver_sql(
            "INSERT INTO ancestor_locks (id, scope, expires)"
            " SELECT %s, %s, make_interval(secs => %s) WHERE NOT EXISTS ("
            "   SELECT FROM ancestor_locks"
            "   WHERE scope = %s AND NOT released AND datetime + expires > now())",
            (mine, scope, ttl, scope),
        )
        newest = conn.exec_driver_sql(
            "SELECT id FROM ancestor_locks WHERE scope = %s AND NOT released"
            " AND datetime + expires > now() ORDER BY datetime DESC LIMIT 1",
            (scope,),
        ).scalar()
        return _lease(mine, scope, 0, ttl) if newest == mine else None

    def renew(self, conn: Connection, lease: Lease, ttl: float) -> float:
        return 0.0

    def release(self, conn: Connection, lease: Lease) -> None:
        conn.exec_driver_sql("UPDATE ancestor_locks SET released = true WHERE id = %s", (lease.id,))

    def guard(self, conn: Connection, lease: Lease) -> None:
        pass


class IdentityFence(Ours):
    """Lock whose fence is drawn from a sequence before the grant is decided."""

    def acquire(self, conn: Connection, scope: str, ttl: float) -> Lease | None:
        drawn = conn.exec_driver_sql("SELECT nextval('contest_fences')").scalar_one()
        time.sleep(random.uniform(0, 0.1))  # a slow network: shows the fault on any machine
        lease = super().acquire(conn, scope, ttl)
        if lease is not None:
            self._real[lease.id] = lease
            return _lease(lease.id, scope, drawn, ttl)
        return None

    def __init__(self) -> None:
        self._real: dict[str, Lease] = {}

    def renew(self, conn: Connection, lease: Lease, ttl: float) -> float:
        return super().renew(conn, self._real[lease.id], ttl)

    def release(self, conn: Connection, lease: Lease) -> None:
        super().release(conn, self._real[lease.id])

    def guard(self, conn: Connection, lease: Lease) -> None:
        super().guard(conn, self._real[lease.id])


class ReleaseByScope(Ours):
    """Lock whose release ends any lease of the scope."""

    def release(self, conn: Connection, lease: Lease) -> None:
        conn.exec_driver_sql(
            "UPDATE lock_scopes SET lock_id = NULL, expires_at = NULL WHERE scope = %s",
            (lease.scope,),
        )


class RenewalWithoutExpiryCheck(Ours):
    """Lock that renews an expired lease, as long as no other caller has acquired the lock."""

    def renew(self, conn: Connection, lease: Lease, ttl: float) -> float:
        done = conn.exec_driver_sql(
            "UPDATE lock_scopes SET expires_at = clock_timestamp() + make_interval(secs => %s)"
            " WHERE scope = %s AND lock_id = %s",
            (ttl, lease.scope, lease.id),
        )
        return ttl * done.rowcount


class NoFence(Ours):
    """Lock whose guarded write does not check the lease."""

    def guard(self, conn: Connection, lease: Lease) -> None:
        pass


class Died(Exception):
    """The client has died in the middle of its hold."""


@dataclass
class Contest:
    """Client threads that compete for a lock, and the history that they observed.

    Attributes:
        pause: percentage of holds during which the client sleeps until the lease has expired.
        cut: percentage of holds in which a connection is cut while a statement is under way.
        die: percentage of holds in which the client dies: its connection ends without a release.
        busy: percentage of holds that last for ten leases, while two threads write without a
            pause, and the lease is renewed concurrently.
        faults: number of each of these faults; also how many busy holders ``kept`` their lock
            to the end, and how many writes were made ``beside`` renewals.
    """

    database: Database
    lock: Contestant
    scopes: int = 2
    pause: float = 20
    cut: float = 0
    die: float = 0
    busy: float = 0
    faults: Counter[str] = field(default_factory=Counter)
    reigns: list[Reign] = field(default_factory=list)
    stop: threading.Event = field(default_factory=threading.Event)

    def run(self, clients: int, seconds: float, enough: Callable[[], bool]) -> list[str]:
        """Compete until the time is over or `enough` returns true; return the violations."""
        with self.database.begin() as conn:
            conn.execute(text(TABLES))
        deadline = time.monotonic() + seconds
        with ThreadPoolExecutor(clients) as pool:
            fights = [pool.submit(self._fight, seed) for seed in range(clients)]
            try:
                patience = 0.25
                while time.monotonic() < deadline and not self.stop.wait(patience):
                    began = time.monotonic()
                    if self.found() or enough():
                        break
                    # Checking a long history is slow: spend no more than a tenth of the time on it.
                    patience = max(patience, 10 * (time.monotonic() - began))
            finally:
                self.stop.set()
            for fight in fights:
                fight.result()
        return self.found()

    def found(self) -> list[str]:
        """Return the violations in the history so far."""
        return violations(list(self.reigns), self._writes())

    def _writes(self) -> list[Write]:
        # As patient as the clients: on an overloaded machine, a live server may not respond in
        # time, which is no violation.
        deadline = time.monotonic() + _PATIENCE_SECONDS
        while True:
            try:
                with self.database.connect() as conn:
                    rows = conn.execute(text(WRITES)).all()
            except Unavailable:
                if time.monotonic() > deadline:
                    raise
            else:
                return [Write(*row) for row in rows]

    def _fight(self, seed: int) -> None:
        chance = random.Random(seed)
        while not self.stop.is_set():
            with suppress(Unavailable), self.database.connect() as conn:
                try:
                    while not self.stop.is_set():
                        self._turn(conn, chance)
                except Died:
                    conn.invalidate()

    def _turn(self, conn: Connection, chance: random.Random) -> None:
        scope = f"contest-{chance.randrange(self.scopes)}"
        self._cut_perhaps(conn, chance)
        asked = time.monotonic()
        lease = self.lock.acquire(conn, scope, TTL)
        if lease is not None:
            self._hold(conn, lease, asked, chance)

    def _hold(self, conn: Connection, lease: Lease, asked: float, chance: random.Random) -> None:
        now = time.monotonic()
        reign = Reign(lease.scope, lease.id, lease.fence, since=now)
        reign.renewals.append((asked, now + TTL))
        trusted = asked + TTL
        self._die_perhaps(reign, trusted, chance)
        if self._happens("pause", self.pause, chance):
            time.sleep(TTL * chance.uniform(0.5, 2))
        if chance.random() < 0.3:
            asked = time.monotonic()
            left = self.lock.renew(conn, lease, TTL)
            if left > 0:
                # Less than a whole lease if the lease could not be extended at that moment.
                reign.renewals.append((asked, time.monotonic() + left))
                trusted = asked + left
        if self._happens("busy", self.busy, chance):
            trusted = self._write_on(conn, reign, lease, trusted)
        else:
            self._write(lease, chance)
        self._die_perhaps(reign, trusted, chance)
        self._end(reign, trusted)
        self.lock.release(conn, lease)

    def _write_on(self, conn: Connection, reign: Reign, lease: Lease, trusted: float) -> float:
        """Write for ten leases without a pause; return until when the lease is trusted."""
        over = threading.Event()
        with ThreadPoolExecutor(2) as threads:
            writers = [threads.submit(self._write_until, over, lease) for _ in range(2)]
            try:
                for _ in range(10 * _RENEWALS):
                    asked = time.monotonic()
                    left = self.lock.renew(conn, lease, TTL)
                    if left <= 0:
                        break
                    reign.renewals.append((asked, time.monotonic() + left))
                    trusted = asked + left
                    time.sleep(TTL / _RENEWALS)
                else:
                    self.faults["kept"] += 1
            finally:
                over.set()
        self.faults["beside"] += sum(writer.result() for writer in writers)
        return trusted

    def _write_until(self, over: threading.Event, lease: Lease) -> int:
        """Make guarded writes, each open for one or two renewals; return their number."""
        wrote = 0
        with suppress(LockLost, Unavailable):
            while not over.is_set():
                with self.database.begin() as conn:
                    self.lock.guard(conn, lease)
                    conn.execute(text(INSERT_WRITE), _written(lease))
                    conn.execute(text("SELECT pg_sleep(:s)"), {"s": TTL / _RENEWALS * 1.5})
                wrote += 1
        return wrote

    def _write(self, lease: Lease, chance: random.Random) -> None:
        # Without a response the write may or may not be committed: the rows tell.
        with suppress(LockLost, Unavailable), self.database.begin() as conn:
            self._cut_perhaps(conn, chance)
            self.lock.guard(conn, lease)
            conn.execute(text(INSERT_WRITE), _written(lease))

    def _end(self, reign: Reign, trusted: float) -> None:
        reign.until = min(time.monotonic(), trusted)
        self.reigns.append(reign)

    def _die_perhaps(self, reign: Reign, trusted: float, chance: random.Random) -> None:
        if self._happens("death", self.die / 2, chance):
            self._end(reign, trusted)
            raise Died

    def _cut_perhaps(self, conn: Connection, chance: random.Random) -> None:
        if self._happens("cut", self.cut / 2, chance):
            driver: Any = conn.connection.driver_connection
            # A copy: once the connection is closed, its number may refer to another connection.
            copy = socket.socket(fileno=os.dup(driver.fileno()))
            threading.Timer(chance.uniform(0, 0.01), _cut, [copy]).start()

    def _happens(self, what: str, percent: float, chance: random.Random) -> bool:
        happens = chance.random() * 100 < percent
        self.faults[what] += happens
        return happens


def _written(lease: Lease) -> dict[str, object]:
    return {"s": lease.scope, "i": lease.id, "f": lease.fence}


def _cut(connection: socket.socket) -> None:
    with connection, suppress(OSError):
        connection.shutdown(socket.SHUT_RDWR)


def _lease(lock_id: str, scope: str, fence: int, ttl: float) -> Lease:
    nothing: Any = None
    return Lease(lock_id, ARCHIVE, scope, fence, nothing, nothing, ttl)
