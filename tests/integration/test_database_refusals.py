"""Database errors by their meaning: only an outage is reported as one."""

from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing, contextmanager
from pathlib import Path
from typing import Any

import psycopg2
import pytest
from falcon.testing import TestClient
from sqlalchemy import Connection, make_url, text
from sqlalchemy.exc import DBAPIError, ProgrammingError

from staging_api import metrics
from staging_api.db.driver_cursor import driver_cursor
from staging_api.db.engine import Database, open_database, reachable
from staging_api.errors import ConnectionLost, DatabaseBusy, DatabaseRefused, Unavailable
from staging_api.processes.application import api_of
from staging_api.processes.bootstrap import build
from staging_api.settings import Settings
from tests.leases import acquired, rows
from tests.service import API, eventually

BLOCKED = "SELECT pid FROM pg_stat_activity WHERE wait_event_type = 'Lock'"


@contextmanager
def outages() -> Iterator[Callable[[], float]]:
    before = metrics.DATABASE_UNAVAILABLE._value.get()
    yield lambda: metrics.DATABASE_UNAVAILABLE._value.get() - before


@pytest.mark.parametrize(
    ("code", "kind", "again_after"),
    [
        ("55P03", DatabaseBusy, 1),
        ("57014", DatabaseBusy, 2),
        ("40001", DatabaseBusy, 1),
        ("40P01", DatabaseBusy, 1),
        ("25P04", DatabaseBusy, 2),
        ("53100", DatabaseBusy, 60),
        ("53200", DatabaseBusy, 10),
        ("53300", DatabaseBusy, 5),
        ("28P01", DatabaseRefused, 30),
        ("28000", DatabaseRefused, 30),
        ("3D000", DatabaseRefused, 30),
        ("57P01", Unavailable, 5),
        ("57P03", Unavailable, 5),
        ("08006", Unavailable, 5),
        ("58030", Unavailable, 5),
        ("54001", Unavailable, 5),
    ],
)
def test_each_sqlstate_is_translated(
    code: str,
    kind: type[Unavailable],
    again_after: int,
    database: Database,
    caplog: pytest.LogCaptureFixture,
) -> None:
    outage = kind is Unavailable
    for opened in (database.connect, database.begin):
        caplog.clear()
        with outages() as counted:
            with pytest.raises(Unavailable) as raised, opened() as conn:
                conn.exec_driver_sql(
                    f"DO $$ BEGIN RAISE EXCEPTION 'x' USING ERRCODE='{code}'; END $$"
                )
            assert type(raised.value) is kind
            assert "cannot be reached" not in raised.value.detail or code == "08006"
            assert raised.value.retry_after_seconds == again_after
            assert counted() == outage
        # An outage is counted; for other errors the log has the first line of the message.
        said = [f"{raised.value.detail} (SQLSTATE {code}): x"]
        assert caplog.messages == ([] if outage else said)


def test_a_bug_of_ours_is_not_reported_as_an_outage(database: Database) -> None:
    with pytest.raises(ProgrammingError), database.connect() as conn:
        conn.exec_driver_sql("SELECT nothing FROM nowhere")


def test_a_real_lock_timeout_deadlock_and_cancel_are_busy(database: Database) -> None:
    mine, theirs = acquired(database, scope="mine"), acquired(database, scope="theirs")
    lock = text("SELECT 1 FROM lock_scopes WHERE lock_id = :id FOR UPDATE")

    def take_theirs(conn: Connection) -> None:
        conn.execute(lock, {"id": theirs.id})

    with outages() as counted, ThreadPoolExecutor(1) as pool:
        with database.begin() as other:
            take_theirs(other)
            with pytest.raises(DatabaseBusy), database.begin() as conn:
                conn.execute(text("SET LOCAL lock_timeout = '50ms'"))
                take_theirs(conn)

            def be_cancelled() -> None:
                with database.begin() as conn:
                    take_theirs(conn)

            waiting = pool.submit(be_cancelled)
            eventually(lambda: bool(rows(database, BLOCKED)), "it does not wait")
            rows(database, f"SELECT pg_cancel_backend(pid) FROM ({BLOCKED}) b")
            with pytest.raises(DatabaseBusy):
                waiting.result(10)

        def cross(conn: Connection) -> None:
            conn.execute(lock, {"id": mine.id})
            take_theirs(conn)

        def one_way() -> None:
            with database.begin() as conn:
                cross(conn)

        with pytest.raises(DatabaseBusy):
            with database.begin() as conn:
                take_theirs(conn)
                crossing = pool.submit(one_way)
                eventually(lambda: bool(rows(database, BLOCKED)), "it does not wait")
                conn.execute(lock, {"id": mine.id})
                crossing.result(10)
        assert counted() == 0


@pytest.mark.parametrize(
    ("prepare", "change", "kind"),
    [
        ("CREATE ROLE stranger NOLOGIN", {"username": "stranger"}, DatabaseRefused),
        ("CREATE ROLE stranger LOGIN", {"database": "nowhere"}, DatabaseRefused),
        (
            "CREATE ROLE stranger LOGIN CONNECTION LIMIT 0",
            {"username": "stranger"},
            DatabaseBusy,
        ),
        ("CREATE ROLE stranger LOGIN", {"username": "nobody"}, DatabaseRefused),
    ],
    ids=["may not log in", "no such database", "no connection left", "no such role"],
)
def test_a_server_that_refuses_the_connection_is_not_called_away(
    prepare: str,
    change: dict[str, Any],
    kind: type[Unavailable],
    database: Database,
    database_url: str,
) -> None:
    rows(database, "SELECT 1")
    with database.connect() as conn:
        conn.execute(text("DROP ROLE IF EXISTS stranger"))
        conn.execute(text(prepare))
    url = make_url(database_url).set(**change).render_as_string(hide_password=False)
    try:
        with outages() as counted, closing(open_database(url, 1)) as refused:
            with pytest.raises(kind) as raised, refused.connect():
                pytest.fail("connected")
            assert counted() == 0
            assert "stranger" not in raised.value.detail, "no client need know the role"
    finally:
        with database.connect() as conn:
            conn.execute(text("DROP ROLE stranger"))


@pytest.mark.parametrize(
    ("said", "kind"),
    [
        ('FATAL:  password authentication failed for user "u"', DatabaseRefused),
        ("FATAL:  Passwort-Authentifizierung für Benutzer »u« fehlgeschlagen", DatabaseRefused),
        ("ВАЖНО:  пользователь u не прошёл проверку подлинности", DatabaseRefused),
        ("致命错误:  数据库 nowhere 不存在", DatabaseRefused),
        ("FATAL:  the database system is starting up", Unavailable),
        ("FATAL:  sorry, too many clients already", DatabaseBusy),
        ("Connection refused\n\tIs the server running on that host?", Unavailable),
        ("timeout expired", Unavailable),
        ("server is in hot standby mode", Unavailable),
        ("server closed the connection unexpectedly", Unavailable),
    ],
)
def test_a_servers_refusal_is_recognised_in_any_language(
    said: str, kind: type[Unavailable]
) -> None:
    words = f'connection to server at "10.0.0.1", port 5432 failed: {said}\n'
    with pytest.raises(Unavailable) as raised, reachable():
        raise DBAPIError.instance(None, None, psycopg2.OperationalError(words), psycopg2.Error)
    assert type(raised.value) is kind
    assert raised.value.retry_after_seconds == (30 if kind is DatabaseRefused else 5)


def test_a_connection_that_was_made_and_broke_is_lost(database: Database) -> None:
    with (
        outages() as counted,
        pytest.raises(ConnectionLost) as lost,
        database.connect() as conn,
    ):
        conn.execute(text("SELECT pg_terminate_backend(pg_backend_pid())"))
    assert counted() == 1
    assert lost.value.retry_after_seconds == 2


@pytest.mark.parametrize("kind", [psycopg2.DatabaseError, psycopg2.OperationalError])
def test_a_statement_without_any_answer_found_its_connection_broken(
    database: Database, kind: type[psycopg2.Error]
) -> None:
    with (
        outages() as counted,
        pytest.raises(ConnectionLost),
        database.connect() as conn,
        driver_cursor(conn, "SELECT 1"),
    ):
        raise kind("le serveur a fermé la connexion de façon inattendue")
    assert counted() == 1
    with pytest.raises(ProgrammingError), database.connect() as conn:
        with driver_cursor(conn, "SELECT 1") as cursor:
            cursor.execute("SELECT %s", (object(),))
    assert counted() == 1


def test_a_busy_database_is_503_for_clients(
    database: Database, database_url: str, tmp_path: Path
) -> None:
    del database
    settings = Settings.from_env(database_url=database_url, home=tmp_path)
    with closing(build(settings)) as services:
        client = TestClient(api_of(services))
        path = f"{API}/locks"
        assert client.simulate_get(path).status_code == 200
        with pytest.MonkeyPatch.context() as patch:
            patch.setattr("staging_api.locks.repository.held", refuse_in_time)
            answer = client.simulate_get(path)
    assert (answer.status_code, answer.json["code"]) == (503, "database_busy")
    assert answer.json["retryable"]
    assert answer.headers["Retry-After"] == "1"


def refuse_in_time(conn: Connection, **_: object) -> None:
    conn.exec_driver_sql("DO $$ BEGIN RAISE EXCEPTION 'x' USING ERRCODE='55P03'; END $$")
