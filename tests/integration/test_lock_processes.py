"""Holders in real processes, killed and stopped by real signals."""

import signal
import subprocess
import sys
import time
from collections.abc import Iterator

import pytest
from sqlalchemy import text

from staging_api.db.engine import Database
from staging_api.locks.model import Lease
from tests.contest import TABLES
from tests.history import Write, violations
from tests.leases import asked, released, rows

LEASE_SECONDS = 1.0


class Child:
    """A process of `tests.lock_child`."""

    def __init__(self, url: str) -> None:
        command = [sys.executable, "-m", "tests.lock_child", url, "s", str(LEASE_SECONDS)]
        self.process = subprocess.Popen(command, stdout=subprocess.PIPE, text=True)
        self.lock_id, self.fence = self.line("held").split()[1:]

    def line(self, word: str) -> str:
        """Return the next line that begins with this word."""
        assert self.process.stdout is not None
        return next(line for line in self.process.stdout if line.startswith(word))

    def end(self) -> None:
        self.process.kill()
        self.process.communicate()


@pytest.fixture
def child(database: Database, database_url: str) -> Iterator[Child]:
    with database.begin() as conn:
        conn.execute(text(TABLES))
    started = Child(database_url)
    yield started
    started.end()


def take_over(database: Database) -> Lease:
    """Retry until the scope is free, which it is after the lease has expired."""
    deadline = time.monotonic() + 30
    while time.monotonic() < deadline:
        taken = asked(database, scope="s")
        if isinstance(taken, Lease):
            return taken
        time.sleep(0.01)
    pytest.fail("the scope was never free")


def writes(database: Database) -> list[Write]:
    found = rows(database, "SELECT scope, id, fence, place FROM contest_writes")
    return [Write(*row) for row in found]


def write_as(database: Database, lease: Lease) -> None:
    rows(
        database,
        "WITH w AS (INSERT INTO contest_writes (scope, id, fence) VALUES ('s', :i, :f) RETURNING 1)"
        " SELECT * FROM w",
        i=lease.id,
        f=lease.fence,
    )


def test_a_killed_holder_is_followed_when_its_lease_is_over(
    database: Database, child: Child
) -> None:
    child.line("wrote")
    child.process.send_signal(signal.SIGKILL)
    child.process.wait()
    ((left,),) = rows(
        database, "SELECT extract(epoch FROM expires_at - clock_timestamp()) FROM lock_scopes"
    )
    assert left <= LEASE_SECONDS
    heir = take_over(database)
    assert heir.fence > int(child.fence)
    found = rows(database, "SELECT outcome FROM api_locks WHERE id = :id", id=child.lock_id)
    assert found == [("superseded",)]


def test_a_frozen_holder_that_wakes_up_after_its_lease_writes_nothing(
    database: Database, child: Child
) -> None:
    for _ in range(3):
        child.line("wrote")
    child.process.send_signal(signal.SIGSTOP)
    heir = take_over(database)
    write_as(database, heir)
    child.process.send_signal(signal.SIGCONT)
    child.line("lost")
    assert violations([], writes(database)) == []
    assert writes(database)[-1].id == heir.id
    assert released(database, heir) == "released"


def test_a_holder_that_is_frozen_for_a_moment_goes_on(database: Database, child: Child) -> None:
    child.line("wrote")
    child.process.send_signal(signal.SIGSTOP)
    before = len(writes(database))
    child.process.send_signal(signal.SIGCONT)
    for _ in range(3):
        child.line("wrote")
    assert len(writes(database)) > before
