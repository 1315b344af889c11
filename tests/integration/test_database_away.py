"""Database outages during requests (crash, hang, move): responses that a client gets."""

import os
import socket
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path

import pytest
from falcon.testing import Result, TestClient
from sqlalchemy import text
from sqlalchemy.exc import DBAPIError

from staging_api import metrics
from staging_api.db.engine import Database, open_database
from staging_api.db.timeouts import Timeouts
from staging_api.errors import ConnectionLost, Unavailable
from staging_api.locks import store
from staging_api.processes.application import api_of
from staging_api.processes.bootstrap import build
from staging_api.settings import Settings
from tests.factories import lock_request
from tests.proxy import Proxy, proxied
from tests.service import API, STAGINGS, eventually

# Whether the server ends a statement, or this side does.
BY_SERVER = Timeouts(statement_seconds=0.2, idle_seconds=0.2, hung_seconds=60)
BY_US = Timeouts(statement_seconds=60, idle_seconds=60, hung_seconds=0.5)


@pytest.fixture
def proxy(database: Database, database_url: str) -> Iterator[Proxy]:
    with proxied(database_url) as made:
        yield made


@pytest.fixture
def client(proxy: Proxy, tmp_path: Path) -> Iterator[TestClient]:
    settings = Settings.from_env(
        database_url=proxy.url, home=tmp_path, sources="https://builds.example.org/"
    )
    with closing(build(settings)) as services:
        client = TestClient(api_of(services))
        assert client.simulate_get(STAGINGS).status_code == 200, "or no connection can break"
        yield client


@pytest.fixture
def impatient(proxy: Proxy) -> Iterator[Database]:
    with closing(open_database(proxy.url, 2, BY_US)) as made:
        yield made


@pytest.fixture
def limited(proxy: Proxy) -> Iterator[Database]:
    with closing(open_database(proxy.url, 2, BY_SERVER)) as made:
        yield made


def told_to_come_again(answer: Result) -> bool:
    shown = answer.status_code == 503 and answer.json["retryable"]
    return bool(shown and int(answer.headers["Retry-After"]) > 0)


def answers(database: Database) -> bool:
    try:
        with database.connect() as conn:
            return bool(conn.execute(text("SELECT 1")).scalar_one() == 1)
    except Unavailable:
        return False


@pytest.mark.parametrize("path", [STAGINGS, f"{API}/locks", "/latestbuild?target=t&milestone=R17"])
def test_a_read_whose_connection_broke_is_answered_by_another(
    client: TestClient, proxy: Proxy, path: str
):
    undisturbed = client.simulate_get(path)
    before = metrics.READS_AGAIN._value.get()
    proxy.cut()
    assert client.simulate_get(path).status_code == undisturbed.status_code
    assert metrics.READS_AGAIN._value.get() == before + 1


def test_a_read_whose_connection_breaks_twice_is_503_with_retry_after(
    client: TestClient, proxy: Proxy
):
    proxy.close()
    assert told_to_come_again(client.simulate_get(STAGINGS))


def test_a_write_whose_connection_breaks_is_503_with_retry_after(
    client: TestClient, proxy: Proxy, database: Database
):
    proxy.cut()
    body = {"archive_url": "https://builds.example.org/board/R1"}
    later = {"Prefer": "respond-async"}
    assert told_to_come_again(client.simulate_post(STAGINGS, json=body, headers=later))
    answer = client.simulate_post(STAGINGS, json=body, headers=later)
    assert answer.status_code == 202
    with database.connect() as conn:
        assert conn.execute(text("SELECT count(*) FROM stagings")).scalar_one() == 1


def test_a_server_that_hangs_is_left(proxy: Proxy, impatient: Database):
    with pytest.raises(ConnectionLost), impatient.connect() as conn:
        proxy.go_deaf()
        conn.execute(text("SELECT 1"))
    proxy.hear_again()
    eventually(lambda: answers(impatient), "no new connection is made")


def test_an_acquire_whose_server_hangs_is_left(proxy: Proxy, impatient: Database):
    with pytest.raises(ConnectionLost), impatient.connect() as conn:
        proxy.go_deaf()
        store.acquire(conn, lock_request())


def test_a_commit_that_hangs_is_left(proxy: Proxy, impatient: Database):
    with pytest.raises(Unavailable):
        with impatient.begin() as conn:
            conn.execute(text("CREATE TEMPORARY TABLE t (n int)"))
            proxy.go_deaf()


def test_a_statement_that_was_refused_is_not_waited_for(impatient: Database):
    assert impatient.watchdog is not None
    for connecting in (impatient.connect, impatient.begin):
        with connecting() as conn:
            with pytest.raises(DBAPIError, match="division by zero"):
                conn.execute(text("SELECT 1 / 0"))
            assert impatient.watchdog._asked == {}


def test_a_statement_that_takes_too_long_is_ended_by_the_server(limited: Database):
    with pytest.raises(Unavailable) as ended, limited.connect() as conn:
        conn.execute(text("SELECT pg_sleep(60)"))
    assert not isinstance(ended.value, ConnectionLost), "the server should have been faster"


def test_a_transaction_that_does_nothing_is_ended_by_the_server(
    limited: Database, database: Database
):
    idle = "SELECT pid FROM pg_stat_activity WHERE pid = :pid"
    with pytest.raises(Unavailable), limited.begin() as conn:
        pid = conn.execute(text("SELECT pg_backend_pid()")).scalar_one()
        with database.connect() as other:
            while other.execute(text(idle), {"pid": pid}).one_or_none():
                pass
        conn.execute(text("SELECT 1"))


def test_behind_a_pooler_the_time_outs_are_left_to_the_role(proxy: Proxy):
    left = Timeouts(statement_seconds=1, idle_seconds=1, hung_seconds=5, sent=False)
    with closing(open_database(proxy.url, 1, left)) as made, made.connect() as conn:
        assert conn.execute(text("SHOW statement_timeout")).scalar_one() == "0"


def test_the_kernel_gives_up_a_peer_that_is_silent(impatient: Database):
    with impatient.connect() as conn:
        driver = conn.connection.driver_connection
        assert driver is not None
        with socket.socket(fileno=os.dup(driver.fileno())) as end:
            assert end.getsockopt(socket.IPPROTO_TCP, socket.TCP_USER_TIMEOUT) == 15_000
            assert end.getsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE) == 1
            assert end.getsockopt(socket.IPPROTO_TCP, socket.TCP_KEEPIDLE) == 5
            assert end.getsockopt(socket.IPPROTO_TCP, socket.TCP_KEEPINTVL) == 3
            assert end.getsockopt(socket.IPPROTO_TCP, socket.TCP_KEEPCNT) == 3
