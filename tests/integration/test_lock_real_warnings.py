"""Two relevant warnings, from servers that really send them."""

import os
import shutil
import signal
import subprocess
import tempfile
from collections.abc import Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import closing
from pathlib import Path
from typing import Any

import psycopg2
import pytest

from staging_api.db.embedded import find_binaries
from staging_api.db.engine import Database, open_database
from staging_api.db.migrate import migrate
from staging_api.errors import Unavailable
from staging_api.locks import store
from staging_api.locks.hold import guarded, hold
from staging_api.locks.model import ARCHIVE
from tests.emptying import Emptying
from tests.factories import ORIGIN, locks_of
from tests.leases import acquired, asked, grant_of, renewed, rows
from tests.pair import Node, Pair
from tests.service import eventually

WAITS = "SELECT pid FROM pg_stat_activity WHERE wait_event = 'SyncRep'"
_XIDS_BEFORE_WRAPAROUND = 35_000_000  # PostgreSQL warns below 40 million
_XIDS_OF_A_SEGMENT, _SEGMENT_BYTES = 1 << 20, 1 << 18


@pytest.fixture(scope="module")
def _server() -> Iterator[Node]:
    with tempfile.TemporaryDirectory(prefix="staging-one-", dir="/tmp") as base:
        made = Pair(Path(base), sync=False)
        try:
            migrate(made.primary.url)
            yield made.primary
        finally:
            made.close()


@pytest.fixture
def server(_server: Node) -> Node:
    """Return an empty server of these tests alone, whose commits wait for no standby."""
    _server.sql("ALTER SYSTEM RESET synchronous_standby_names")
    _server.sql("SELECT pg_reload_conf()")
    wanted = "SELECT 1 FROM pg_settings WHERE name = 'synchronous_standby_names' AND setting = ''"
    eventually(lambda: bool(_server.sql(wanted)), "a standby is still waited for")
    _server.sql("DROP TABLE IF EXISTS tries")
    with closing(Emptying(_server.url)) as emptying:
        emptying.run()
    return _server


@pytest.mark.parametrize("language", ["English", "another"])
@pytest.mark.timeout(120)
def test_a_grant_with_a_cancelled_wait_for_the_standby_does_not_count(
    language: str, server: Node, monkeypatch: pytest.MonkeyPatch
) -> None:
    if language == "another":
        monkeypatch.setattr(store, "_NOT_REPLICATED", "words of a language that we speak")
    with closing(open_database(server.url, 2)) as database:
        lease = acquired(database, scope="before")
        with ThreadPoolExecutor(3) as pool:
            wait_for_standbys(server, pool)
            trying: list[Future[Any]] = [
                pool.submit(asked, database),
                pool.submit(renewed, database, lease),
            ]

            def cancelled() -> bool:
                server.sql(f"SELECT pg_cancel_backend(pid) FROM ({WAITS}) w")
                return all(each.done() for each in trying)

            eventually(cancelled, "they wait for ever")
            for each in trying:
                with pytest.raises(Unavailable, match="canceling wait"):
                    each.result()


def wait_for_standbys(server: Node, pool: ThreadPoolExecutor) -> None:
    """Make commits wait for a standby that does not exist; return when one waits."""
    server.sql("CREATE TABLE tries (n int)")
    server.sql("ALTER SYSTEM SET synchronous_standby_names = 'nobody'")
    server.sql("SELECT pg_reload_conf()")
    trying = [pool.submit(server.sql, "INSERT INTO tries VALUES (1)")]

    def waits() -> bool:
        if trying[0].done():
            trying[0] = pool.submit(server.sql, "INSERT INTO tries VALUES (1)")
        return bool(server.sql(WAITS))

    eventually(waits, "no commit waits")
    server.sql(f"SELECT pg_cancel_backend(pid) FROM ({WAITS}) w")
    trying[0].result(30)


@pytest.mark.timeout(180)
def test_a_database_near_wraparound_grants_and_renews(server: Node) -> None:
    age(server)
    heard = notices_of(server)
    assert any("must be vacuumed" in notice for notice in heard), heard
    with closing(open_database(server.url, 4)) as database:
        for scope in ("a", "b"):
            with locks_of(database, server.url, lease_seconds=2) as locks:
                with hold(locks, ARCHIVE, scope, ORIGIN) as held:
                    first = held.trusted_until
                    eventually(lambda: held.trusted_until > first, "it is not renewed")  # noqa: B023
                    with guarded(database, held):
                        pass
            assert grant_of(database, held.lease).outcome == "released"
        assert waiting(database) == 0


def waiting(database: Database) -> int:
    return len(rows(database, "SELECT 1 FROM lock_scopes WHERE lock_id IS NOT NULL"))


def age(server: Node) -> None:
    """Stop the server, and restart it two thousand million transactions later."""
    server.sql("ALTER SYSTEM SET autovacuum = off")
    assert server.process is not None
    data = server.folder / "data"
    postmaster = int((data / "postmaster.pid").read_text().splitlines()[0])
    os.kill(postmaster, signal.SIGINT)
    server.process.wait(60)
    server.process = None
    said = subprocess.run(
        [find_binaries() / "pg_controldata", data], check=True, capture_output=True, text=True
    ).stdout
    (oldest,) = [int(line.split()[-1]) for line in said.splitlines() if "oldestXID:" in line]
    following = oldest + (1 << 31) - _XIDS_BEFORE_WRAPAROUND
    segment = data / "pg_xact" / f"{following // _XIDS_OF_A_SEGMENT:04X}"
    segment.write_bytes(bytes(_SEGMENT_BYTES))
    shutil.copystat(data / "pg_xact" / "0000", segment)
    owner = (data / "pg_xact").stat()
    shutil.chown(segment, owner.st_uid, owner.st_gid)
    server.run("pg_resetwal", "-f", "-x", str(following), "-D", str(data))
    server.start()


def notices_of(server: Node) -> list[str]:
    with closing(psycopg2.connect(host=str(server.folder), user="staging", dbname="postgres")) as c:
        c.autocommit = True
        with c.cursor() as cursor:
            cursor.execute("SELECT pg_current_xact_id()")
        return list(c.notices)
