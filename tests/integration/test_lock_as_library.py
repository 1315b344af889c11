"""Lock in a program of one's own: the code of ``docs/explanation/lock.md``, as printed."""

import re
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import pytest
from falcon.testing import Result, TestClient
from sqlalchemy import QueuePool, text

from staging_api.db.engine import Database
from staging_api.locks.factory import open_locks
from staging_api.locks.hold import Locks, RequestOrigin, hold
from staging_api.locks.model import new_id
from tests.leases import rows

PAGE = Path(__file__).parents[2] / "docs/explanation/lock.md"


@pytest.fixture
def program() -> dict[str, Any]:
    (code,) = re.findall(r"```python\n(.*?)```", PAGE.read_text(), flags=re.DOTALL)
    names: dict[str, Any] = {}
    exec(compile(code, str(PAGE), "exec"), names)
    return names


@pytest.fixture
def locks(database: Database, database_url: str) -> Iterator[Locks]:
    with database.begin() as conn:
        conn.execute(text("CREATE TABLE counters (name text PRIMARY KEY, value int NOT NULL)"))
    try:
        with open_locks(database_url, lease_seconds=5, connections=4) as made:
            yield made
    finally:
        with database.begin() as conn:
            conn.execute(text("DROP TABLE counters"))


def test_the_program_of_the_page_counts_one_at_a_time(
    program: dict[str, Any], locks: Locks, database: Database
) -> None:
    client = TestClient(program["create_app"](locks))
    values = [
        client.simulate_post("/counters", params={"name": name}).json["value"]
        for name in ("a", "a", "b")
    ]
    assert values == [1, 2, 1]

    def add(name: str) -> Result:
        return client.simulate_post("/counters", params={"name": name})

    # In another thread, because in this one the request would re-enter the lock.
    with (
        ThreadPoolExecutor(1) as pool,
        hold(locks, program["COUNTER"], "a", RequestOrigin("me")) as held,
    ):
        refused = pool.submit(add, "a").result()
        assert (refused.status_code, refused.json["code"]) == (409, "lock_held")
        assert 0 < int(refused.headers["Retry-After"]) <= 5
        assert pool.submit(add, "b").result().json == {"value": 2}
        held.assert_held()
    assert client.simulate_post("/counters").status_code == 400
    assert rows(database, "SELECT DISTINCT kind, outcome FROM api_locks") == [
        ("counter", "released")
    ]


def test_without_numbers_ten_transactions_may_run_and_half_as_many_requests_wait(
    database_url: str,
) -> None:
    with open_locks(database_url) as locks, ExitStack() as waiting:
        pool = locks.database.transactions.pool
        assert isinstance(pool, QueuePool)
        assert (pool.size(), locks.lease_seconds) == (10, 15)
        places = [waiting.enter_context(locks.queue.waiter_slot(new_id())) for _ in range(6)]
    assert [place is not None for place in places] == [True] * 5 + [False]


def test_locks_held_at_the_end_are_released(
    program: dict[str, Any], database: Database, database_url: str
) -> None:
    with open_locks(database_url, lease_seconds=60) as locks:
        block = hold(locks, program["COUNTER"], "left", RequestOrigin("me"))
        held = block.__enter__()
    assert held.lost
    assert rows(database, "SELECT outcome FROM api_locks") == [("released",)]
