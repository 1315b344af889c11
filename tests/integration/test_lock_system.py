"""Lock behind a transaction pooler, and with wrong clocks."""

import os
import socket
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing
from pathlib import Path

import psycopg2
import pytest
from sqlalchemy import make_url, text

from staging_api.db.engine import Database, open_database
from staging_api.db.migrate import migrate
from staging_api.errors import LockLost
from staging_api.locks import store
from staging_api.locks.hold import Locks, guarded, hold
from staging_api.locks.keeper import LeaseKeeper
from staging_api.locks.model import ARCHIVE, Lease
from staging_api.locks.queue import WaitQueue
from tests.contest import INSERT_WRITE, TABLES
from tests.factories import ORIGIN
from tests.history import Write, violations
from tests.leases import acquired, asked, grant_of, refused, released, renewed, rows
from tests.pair import Node

pytestmark = pytest.mark.system

_LIBFAKETIME = "/usr/lib/x86_64-linux-gnu/faketime/libfaketimeMT.so.1"


@pytest.fixture
def pooled_url(database_url: str, tmp_path: Path) -> Iterator[str]:
    """Yield the database behind pgbouncer, which assigns a connection per transaction."""
    target = make_url(database_url)
    host = target.host or target.query["host"]
    port = free_port()
    (tmp_path / "data").mkdir()
    (tmp_path / "pgbouncer.ini").write_text(
        f"[databases]\n{target.database} = host={host} port={target.port or 5432}"
        f" user={target.username}\n[pgbouncer]\nlisten_addr = 127.0.0.1\nlisten_port = {port}\n"
        "auth_type = any\npool_mode = transaction\ndefault_pool_size = 2\nunix_socket_dir =\n"
        f"logfile = {tmp_path}/data/log\n"
    )
    command = [sys.executable, "-m", "tests.ordinary", str(tmp_path / "data")]
    pooler = subprocess.Popen(
        [*command, "/usr/sbin/pgbouncer", "-q", str(tmp_path / "pgbouncer.ini")]
    )
    url = target.set(host="127.0.0.1", port=port, query={})
    try:
        until_it_answers(url.set(drivername="postgresql").render_as_string(hide_password=False))
        yield url.render_as_string(hide_password=False)
    finally:
        pooler.terminate()
        pooler.wait()


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def until_it_answers(dsn: str) -> None:
    for _ in range(200):
        try:
            psycopg2.connect(dsn).close()
        except psycopg2.OperationalError:
            time.sleep(0.05)
        else:
            return
    pytest.fail("the pooler did not come up")


def test_everything_works_through_a_transaction_pooler(
    database: Database, database_url: str, pooled_url: str
) -> None:
    served: list[int] = []
    with closing(open_database(pooled_url, 8)) as pooled:
        locks = Locks(
            pooled,
            LeaseKeeper(open_database(pooled_url, 1)),
            # The listener needs a connection of its own: the direct URL.
            WaitQueue(pooled, database_url, threading.BoundedSemaphore(8)),
            "pooled",
            1.5,
        )

        def wait(number: int) -> None:
            with hold(locks, ARCHIVE, "s", ORIGIN, wait_seconds=30) as held:
                with guarded(pooled, held) as conn:
                    conn.execute(text("SELECT 1"))
                served.append(number)

        with ThreadPoolExecutor(4) as pool:
            with hold(locks, ARCHIVE, "s", ORIGIN) as held:
                for number in range(4):
                    pool.submit(wait, number)
                    while rows(database, "SELECT count(*) FROM lock_waiters") != [(number + 1,)]:
                        time.sleep(0.01)
                while grant_of(database, held.lease).expires_at == held.lease.expires_at:
                    time.sleep(0.05)
        locks.close()
    assert served == [0, 1, 2, 3]
    assert rows(database, "SELECT DISTINCT outcome FROM api_locks") == [("released",)]


@pytest.mark.parametrize("skew", ["+3h", "-3h"])
def test_promise_10_a_process_with_a_wrong_clock_holds_like_any_other(
    database: Database, database_url: str, skew: str, request: pytest.FixtureRequest
) -> None:
    with database.begin() as conn:
        conn.execute(text(TABLES))
    environment = {
        "LD_PRELOAD": _LIBFAKETIME,
        "FAKETIME": skew,
        "FAKETIME_DONT_FAKE_MONOTONIC": "1",
    }
    child = subprocess.Popen(
        [sys.executable, "-m", "tests.lock_child", database_url, "s", "2"],
        env={**os.environ, **environment},
        stdout=subprocess.PIPE,
        text=True,
    )
    request.addfinalizer(child.kill)
    assert child.stdout is not None
    lines = iter(child.stdout)
    assert next(lines).startswith("held")
    ((first,),) = rows(database, "SELECT expires_at FROM lock_scopes")
    while rows(database, "SELECT expires_at FROM lock_scopes") == [(first,)]:
        assert next(lines) == "wrote\n"
    assert refused(database, scope="s").remaining_seconds <= 2
    child.kill()
    child.communicate()
    while not isinstance(asked(database, scope="s"), Lease):
        time.sleep(0.02)


@pytest.fixture
def jumping(monkeypatch: pytest.MonkeyPatch) -> Iterator[tuple[Database, Path]]:
    """Yield a server whose clock is read from a file, and that file."""
    with tempfile.TemporaryDirectory(dir="/tmp") as base:
        node, clock = Node(Path(base) / "n"), Path(base) / "clock"
        Path(base).chmod(0o755)
        (node.folder / "data").mkdir(parents=True, mode=0o700)
        options = ("-D", str(node.folder / "data"), "--no-sync", "--auth=trust")
        node.run("initdb", *options, "--username=staging", "--locale=C", "--encoding=UTF8")
        clock.write_text("+0")
        monkeypatch.setenv("LD_PRELOAD", _LIBFAKETIME)
        monkeypatch.setenv("FAKETIME_TIMESTAMP_FILE", str(clock))
        monkeypatch.setenv("FAKETIME_NO_CACHE", "1")
        monkeypatch.setenv("FAKETIME_DONT_FAKE_MONOTONIC", "1")
        node.start()
        monkeypatch.delenv("LD_PRELOAD")
        migrate(node.url)
        with closing(open_database(node.url, 8)) as database:
            with database.begin() as conn:
                conn.execute(text(TABLES))
            yield database, clock
        node.kill()


def test_promise_10_jumps_of_the_databases_clock_break_no_guarded_write(
    jumping: tuple[Database, Path],
) -> None:
    database, clock = jumping

    def write(lease: Lease) -> None:
        with database.begin() as conn:
            store.guard(conn, lease)
            conn.execute(text(INSERT_WRITE), {"s": "s", "i": lease.id, "f": lease.fence})

    leases: list[Lease] = []
    for jump in ("+60s", "+30s", "+0", "-30s", "+300s"):
        lease = acquired(database, scope="s")
        write(lease)
        assert all(lease.fence > other.fence for other in leases)
        leases.append(lease)
        clock.write_text(jump)
        for old in leases[:-1]:
            with pytest.raises(LockLost):
                write(old)
            assert renewed(database, old) is None
        if isinstance(heir := asked(database, scope="s"), Lease):
            leases.append(heir)
            with pytest.raises(LockLost):
                write(lease)
        released(database, leases[-1])
    found = rows(database, "SELECT scope, id, fence, place FROM contest_writes")
    assert violations([], [Write(*row) for row in found]) == []
