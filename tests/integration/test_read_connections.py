"""Connections kept between two reads: few, for a second, and none to a server replaced since."""

import threading
from collections.abc import Iterator

import psycopg2
import pytest
from sqlalchemy import event, text

from staging_api.db.engine import Database, open_database
from staging_api.db.read_connections import ReadConnections
from staging_api.errors import ConnectionLost, NoConnectionFree

PID = "SELECT pg_backend_pid()"


@pytest.fixture
def pools(database_url: str) -> Iterator[Database]:
    made = open_database(database_url, pool_size=8)
    yield made
    made.close()


def pid_of(pools: Database) -> int:
    ((pid,),) = pools.read(PID, ())
    return int(pid)


def taken(pools: Database) -> int:
    return int(pools.statements.pool.checkedout())  # type: ignore[attr-defined]


def test_a_connection_is_kept_for_the_next_read(pools: Database) -> None:
    first = pid_of(pools)
    assert taken(pools) == 1
    assert pid_of(pools) == first
    assert taken(pools) == 1


@pytest.mark.parametrize(("seconds", "kept"), [(1700, True), (1800, False)])
def test_a_connection_of_a_pool_is_replaced_after_half_an_hour(
    pools: Database, seconds: float, kept: bool
) -> None:
    for engine in pools.engines:
        with engine.connect() as conn:
            before = conn.scalar(text(PID))
            made = conn.connection._connection_record
            made.starttime -= seconds
        with engine.connect() as conn:
            assert (conn.scalar(text(PID)) == before) is kept


def test_a_kept_connection_returns_to_its_pool_after_a_second(pools: Database) -> None:
    returned: list[object] = []
    event.listen(pools.statements, "checkin", lambda *_: returned.append(1))
    now = 1000.0
    reads = ReadConnections(pools.statements, 8, lambda: now)
    reads.rows(PID, ())
    now += 0.9
    reads.rows(PID, ())
    assert not returned
    now += 0.2
    reads.rows(PID, ())
    assert returned == [1]


def test_reads_at_once_keep_a_fourth_of_the_pool_and_others_find_the_rest(
    pools: Database,
) -> None:
    together = threading.Barrier(5)

    def read() -> None:
        together.wait()
        pools.read("SELECT pg_sleep(0.3)", ())

    threads = [threading.Thread(target=read) for _ in range(5)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert 1 <= taken(pools) <= 2
    held = [pools.statements.connect() for _ in range(6)]
    assert taken(pools) == 8
    for conn in held:
        conn.close()


def test_a_small_pool_keeps_none(database_url: str) -> None:
    small = open_database(database_url, pool_size=3)
    try:
        pid_of(small)
        assert taken(small) == 0
    finally:
        small.close()


def test_a_read_whose_server_process_is_gone_fails_once(pools: Database, database_url: str) -> None:
    first = pid_of(pools)
    other = open_database(database_url, pool_size=1)
    with other.connect() as conn:
        conn.execute(text("SELECT pg_terminate_backend(:pid, 5000)"), {"pid": first})
    other.close()
    with pytest.raises(ConnectionLost):
        pid_of(pools)
    assert pid_of(pools) != first


def test_what_another_statement_finds_broken_is_not_kept(pools: Database) -> None:
    first = pid_of(pools)
    pools.statements.dispose()  # as the first request to notice does
    assert pid_of(pools) != first
    assert taken(pools) == 1


def test_a_connection_in_use_while_its_pool_is_given_up_is_not_kept(pools: Database) -> None:
    began = threading.Event()
    found: list[int] = []

    def read() -> None:
        began.set()
        ((pid, _),) = pools.read("SELECT pg_backend_pid(), pg_sleep(0.5)", ())
        found.append(pid)

    thread = threading.Thread(target=read)
    thread.start()
    began.wait()
    while not taken(pools):
        pass
    pools.statements.dispose()
    thread.join()
    assert pid_of(pools) != found[0]


def test_a_statement_that_is_wrong_leaves_its_connection_usable(pools: Database) -> None:
    first = pid_of(pools)
    with pytest.raises(Exception, match="no_such_table") as wrong:
        pools.read("SELECT 1 FROM no_such_table", ())
    assert isinstance(wrong.value.__cause__, psycopg2.errors.UndefinedTable)
    # With a SQLSTATE for which the driver has no class.
    with pytest.raises(Exception, match="unheard of") as wrong:
        pools.read("DO $$ BEGIN RAISE 'unheard of' USING ERRCODE = 'ZZ001'; END $$", ())
    assert type(wrong.value.__cause__) is psycopg2.DatabaseError
    assert pid_of(pools) == first


def test_a_read_waits_for_a_connection_no_longer_than_the_pool_says(
    database_url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    small = open_database(database_url, pool_size=1)
    try:
        monkeypatch.setattr(small.statements.pool, "_timeout", 0.1)
        with small.connect(), pytest.raises(NoConnectionFree):
            pid_of(small)
        assert pid_of(small)
    finally:
        small.close()


def test_who_waits_for_a_connection_of_a_pool_waits_ten_seconds(pools: Database) -> None:
    """As long as Retry-After of a 503, and shorter than the timeout of a gateway."""
    assert [engine.pool._timeout for engine in pools.engines] == [10, 10]  # type: ignore[attr-defined]
