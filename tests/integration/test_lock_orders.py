"""All orders of a few sessions, and long random ones, compared with a short model of the lock."""

from collections.abc import Iterator
from functools import partial
from typing import Any

import pytest
from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from hypothesis.stateful import (
    RuleBasedStateMachine,
    invariant,
    precondition,
    rule,
    run_state_machine_as_test,
)
from sqlalchemy import Connection, text

from staging_api.db.engine import Database
from staging_api.errors import LockLost
from staging_api.locks import repository, store
from staging_api.locks.model import Lease, LockRequest
from tests.factories import lock_request

Step = tuple[str, str]


def orders(*sessions: tuple[Step, ...]) -> Iterator[list[Step]]:
    """Yield all interleavings of the sessions; each session keeps its own order."""
    if not any(sessions):
        yield []
    for number, session in enumerate(sessions):
        if session:
            rest = (*sessions[:number], session[1:], *sessions[number + 1 :])
            for tail in orders(*rest):
                yield [session[0], *tail]


def session(name: str, *words: str) -> tuple[Step, ...]:
    return tuple((name, word) for word in words)


TWO = list(
    orders(
        session("a", "acquire", "renew", "write", "release"),
        session("b", "acquire", "write", "release"),
        session("clock", "expire"),
    )
)
THREE = list(
    orders(
        session("a", "acquire", "release"),
        session("b", "acquire", "release"),
        session("c", "acquire", "write"),
        session("clock", "expire"),
    )
)


class Recorded:
    """Model of the lock in its shortest form: the expected answer of each step."""

    def __init__(self) -> None:
        self.holder: str | None = None
        self.over = False

    def must(self, name: str, word: str) -> bool:
        mine = self.holder == name and not self.over
        if word == "expire":
            self.over = self.holder is not None
            return self.over
        if word == "acquire":
            if self.holder is None or self.over:
                self.holder, self.over = name, False
                return True
            return False
        if word == "release" and self.holder == name:
            self.holder = None
        return mine


class Session:
    """A session of one order, which performs its steps on a scope of its own."""

    def __init__(self, conn: Connection, scope: str) -> None:
        self.conn, self.scope = conn, scope
        self.leases: dict[str, Lease] = {}

    def does(self, name: str, word: str) -> bool:
        if word == "expire":
            return _expire(self.conn, self.scope)
        if word == "acquire":
            taken = store.acquire(self.conn, lock_request(scope=self.scope))
            if isinstance(taken, Lease):
                self.leases[name] = taken
            return name in self.leases
        lease = self.leases.get(name)
        return lease is not None and bool(getattr(self, f"_{word}")(lease))

    def _renew(self, lease: Lease) -> bool:
        return lease.id in store.renew(self.conn, [(lease, 30)])

    def _write(self, lease: Lease) -> bool:
        try:
            store.guard(self.conn, lease)
        except LockLost:
            return False
        return True

    def _release(self, lease: Lease) -> bool:
        return store.release(self.conn, lease, "session") == "released"


def _expire(conn: Connection, scope: str) -> bool:
    done = conn.exec_driver_sql(
        "UPDATE lock_scopes SET expires_at = clock_timestamp() - interval '1 ms'"
        " WHERE scope = %s AND lock_id IS NOT NULL",
        (scope,),
    )
    return done.rowcount == 1


@pytest.mark.parametrize(("steps", "count"), [(TWO, 280), (THREE, 630)], ids=["two", "three"])
def test_every_order_of_sessions_gives_what_the_rules_say(
    database: Database, steps: list[list[Step]], count: int
) -> None:
    assert len(steps) == count
    with database.connect() as conn:
        for number, order in enumerate(steps):
            shown, real = Recorded(), Session(conn, f"order-{number}")
            answers = [(step, shown.must(*step), real.does(*step)) for step in order]
            assert [a for a in answers if a[1] != a[2]] == [], order


class LockMachine(RuleBasedStateMachine):
    """Many clients of one scope, with a queue; compares every answer with the model."""

    def __init__(self, database: Database) -> None:
        super().__init__()
        self.database = database
        with database.begin() as conn:
            conn.execute(text("TRUNCATE lock_scopes, api_locks, lock_waiters"))
        self.holder: Any = None
        self.over = False
        self.queue: list[LockRequest] = []
        self.ended: dict[str, tuple[Lease, str]] = {}
        self.fence = 0

    @rule()
    def acquire(self) -> None:
        request = lock_request()
        self._try_acquire(request)

    @precondition(lambda self: self.holder is not None and not self.over)
    @rule()
    def resend(self) -> None:
        with self.database.connect() as conn:
            again = store.acquire(conn, lock_request(id=self.holder.id))
        assert isinstance(again, Lease)
        assert (again.id, again.fence) == (self.holder.id, self.holder.fence)

    @precondition(lambda self: self.ended)
    @rule(data=st.data())
    def late_calls_change_nothing(self, data: st.DataObject) -> None:
        lease, outcome = data.draw(st.sampled_from(list(self.ended.values())))
        with self.database.connect() as conn:
            assert store.renew(conn, [(lease, 30)]) == {}
            assert store.release(conn, lease, "late") == outcome
            assert store.break_lock(conn, lease.id, "late", "late") == outcome

    @precondition(lambda self: self.holder is not None)
    @rule()
    def expire(self) -> None:
        with self.database.connect() as conn:
            self.over = _expire(conn, self.holder.scope)

    @precondition(lambda self: self.holder is not None)
    @rule()
    def renew(self) -> None:
        with self.database.connect() as conn:
            assert bool(store.renew(conn, [(self.holder, 30)])) is not self.over

    @precondition(lambda self: self.holder is not None)
    @rule(by_force=st.booleans())
    def end(self, by_force: bool) -> None:
        with self.database.connect() as conn:
            if by_force:
                outcome = store.break_lock(conn, self.holder.id, "operator", "because")
            else:
                outcome = store.release(conn, self.holder, "holder")
        assert outcome == ("expired" if self.over else "broken" if by_force else "released")
        self._over_and_out(outcome)
        if outcome == "released" and self.queue:
            self._serve(self.queue[0])

    @rule()
    def wait(self) -> None:
        if self.holder is None or self.over:
            return
        request = lock_request()
        with self.database.connect() as conn:
            store.wait(conn, request, 60)
        self.queue.append(request)

    @precondition(lambda self: self.queue)
    @rule(data=st.data())
    def leave(self, data: st.DataObject) -> None:
        gone = data.draw(st.sampled_from(self.queue))
        with self.database.connect() as conn:
            store.leave(conn, gone.id)
        self.queue.remove(gone)

    @precondition(lambda self: self.queue)
    @rule(data=st.data())
    def ask_as_a_waiter(self, data: st.DataObject) -> None:
        self._try_acquire(data.draw(st.sampled_from(self.queue)))

    @rule()
    def tidy(self) -> None:
        with self.database.connect() as conn:
            noted = store.record_expired(conn, "worker")
        assert noted == int(self.over)
        if self.over:
            self._over_and_out("expired")

    @invariant()
    def the_history_says_the_same(self) -> None:
        with self.database.connect() as conn:
            found = {g.id: g.outcome for g in repository.history(conn, limit=1000)}
        expected: dict[str, str | None] = {k: outcome for k, (_, outcome) in self.ended.items()}
        if self.holder is not None:
            expected[self.holder.id] = None
        assert found == expected

    def _try_acquire(self, request: LockRequest) -> None:
        free = self.holder is None or self.over
        served = self.queue[0] if free and self.queue else request
        with self.database.connect() as conn:
            taken = store.acquire(conn, request)
        if not free:
            assert taken.id == self.holder.id
            assert not isinstance(taken, Lease)
            return
        assert taken.id == served.id
        assert isinstance(taken, Lease) is (served is request)
        if self.holder is not None:
            self._over_and_out("superseded")
        self._serve(served)

    def _serve(self, request: LockRequest) -> None:
        if request in self.queue:
            self.queue.remove(request)
        with self.database.connect() as conn:
            lease = store.acquire(conn, request)
        assert isinstance(lease, Lease)
        assert lease.fence > self.fence
        self.holder, self.over, self.fence = lease, False, lease.fence

    def _over_and_out(self, outcome: str) -> None:
        assert self.holder is not None
        self.ended[self.holder.id] = (self.holder, outcome)
        self.holder, self.over = None, False


@pytest.mark.parametrize("examples", [10, pytest.param(50, marks=pytest.mark.prove)])
def test_random_orders_of_everything_agree_with_the_model(
    database: Database, examples: int
) -> None:
    run_state_machine_as_test(
        partial(LockMachine, database),  # type: ignore[arg-type]  # any callable will do
        settings=settings(
            max_examples=examples,
            stateful_step_count=30,
            deadline=None,
            suppress_health_check=list(HealthCheck),
            database=None,
        ),
    )
