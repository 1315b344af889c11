"""Service times of PostgreSQL, seen from outside: processor time of its processes, flushes, memory.

A statement is run many times; the processor time of PostgreSQL's processes (which the kernel counts
in nanoseconds) is divided by the number. Other work of the machine is not counted; its only effect
are colder caches.
"""

import statistics
import time
from collections.abc import Callable, Mapping
from contextlib import ExitStack, closing, suppress
from pathlib import Path

import psycopg2
from sqlalchemy import make_url, text

from benchmarks.bench import tree
from benchmarks.scale.model import Cost
from staging_api.db.engine import Database
from staging_api.db.migrate import check_schema
from staging_api.heartbeats import rows
from staging_api.heartbeats.model import ProcessDescription, ProcessLoad
from staging_api.locks import store
from staging_api.locks.model import ARCHIVE, Lease, LockRequest, new_id
from staging_api.staging.repository import reading

_LEASE_SECONDS = 60.0
_JOBS = 4
# A difference of two measurements below their noise.
_LEAST_SECONDS = 1e-6


def cpu_of(postmaster: int) -> Mapping[int, float]:
    """Return the processor seconds of each live process of PostgreSQL."""
    found = {}
    for pid in tree(postmaster):
        with suppress(FileNotFoundError, ProcessLookupError):
            found[pid] = int(Path(f"/proc/{pid}/schedstat").read_text().split()[0]) / 1e9
    return found


def cpu_since(before: Mapping[int, float], postmaster: int) -> float:
    """Return PostgreSQL's processor seconds since `cpu_of`, without processes that ended since."""
    return sum(now - before.get(pid, 0.0) for pid, now in cpu_of(postmaster).items())


def cost_of(call: Callable[[], object], postmaster: int, times: int) -> tuple[Cost, float]:
    """Return PostgreSQL's cost of one call, and the median seconds until it returns."""
    for _ in range(max(3, times // 10)):
        call()
    walls = []
    before = cpu_of(postmaster)
    for _ in range(times):
        began = time.perf_counter()
        call()
        walls.append(time.perf_counter() - began)
    cpu = max(_LEAST_SECONDS, cpu_since(before, postmaster) / times)
    return Cost(cpu), statistics.median(walls)


def statements(
    database: Database, staging_id: str, archive_url: str
) -> Mapping[str, Callable[[], object]]:
    """Return the most frequent calls of pods, by name; `staging_id` is of a finished staging."""
    lock = _Lock(database)
    held = lock.taken("held")
    described = ProcessDescription("bench", "api", "0", "0", "0", None, 1)

    def beat() -> None:
        with database.connect() as conn:
            rows.beat(conn, described, ProcessLoad(0, 0), threads=1, every_seconds=5.0)

    def read(question: Callable[..., object], *given: object) -> Callable[[], object]:
        def ask() -> object:
            with database.connect() as conn:
                return question(conn, *given)

        return ask

    with database.connect() as conn:
        names = [artifact.name for artifact in reading.find(conn, staging_id).artifacts]
    return {
        "lock pair": lambda: lock.released(lock.taken("free")),
        "refusal": lambda: lock.taken("held", refused=True),
        "renewal": read(store.renew, [(held, _LEASE_SECONDS)]),
        "staged already": read(reading.newest_for, archive_url, names),
        "poll of a staging": read(reading.find, staging_id),
        "look of waiters": read(reading.versions, [staging_id]),
        "look of a worker": read(reading.due, _JOBS),
        "heartbeat": beat,
        "readiness": lambda: check_schema(database),
    }


class _Lock:
    def __init__(self, database: Database) -> None:
        self._database = database

    def taken(self, scope: str, *, refused: bool = False) -> Lease:
        request = LockRequest(new_id(), ARCHIVE, scope, "bench", "bench", None, _LEASE_SECONDS)
        with self._database.connect() as conn:
            found = store.acquire(conn, request)
        assert isinstance(found, Lease) is not refused
        return found  # type: ignore[return-value]

    def released(self, lease: Lease) -> None:
        with self._database.connect() as conn:
            assert store.release(conn, lease, "bench") == "released"


def per_listener(url: str, postmaster: int, listeners: int, times: int) -> Cost:
    """Return the cost of one notification per listening session."""
    given = make_url(url).set(drivername="postgresql").render_as_string(hide_password=False)
    with ExitStack() as opened:
        sender = opened.enter_context(closing(psycopg2.connect(given)))
        sender.autocommit = True
        cursor = sender.cursor()

        def notify() -> None:
            cursor.execute("SELECT pg_notify('bench', 'x')")

        alone, _ = cost_of(notify, postmaster, times)
        for _ in range(listeners):
            one = opened.enter_context(closing(psycopg2.connect(given)))
            one.autocommit = True
            one.cursor().execute("LISTEN bench")
        before = cpu_of(postmaster)
        for _ in range(times):
            notify()
        time.sleep(0.5)  # until the last sessions have received their notification
        together = cpu_since(before, postmaster) / times
    return Cost(max(_LEAST_SECONDS, (together - alone.cpu) / listeners))


def flush_seconds(database: Database, times: int) -> float:
    """Return a commit's wait for the disk: 20th percentile with flush, minus without."""
    found = []
    for mode in ("on", "off"):
        walls = []
        for _ in range(times):
            with database.begin() as conn:
                conn.execute(text(f"SET LOCAL synchronous_commit = {mode}"))
                conn.execute(text("SELECT txid_current()"))
                began = time.perf_counter()
                conn.commit()
                walls.append(time.perf_counter() - began)
        found.append(sorted(walls)[times // 5])
    return max(0.0, found[0] - found[1])


def backend_bytes(url: str, backends: int) -> float:
    """Return the memory of a session that has read a table (proportional set size)."""
    given = make_url(url).set(drivername="postgresql").render_as_string(hide_password=False)
    with ExitStack() as opened:
        pids = []
        for _ in range(backends):
            one = opened.enter_context(closing(psycopg2.connect(given)))
            cursor = one.cursor()
            cursor.execute("SELECT pg_backend_pid() FROM stagings LIMIT 1")
            pids.append(cursor.fetchall()[0][0])
        return statistics.median(map(_pss, pids))


def _pss(pid: int) -> int:
    lines = Path(f"/proc/{pid}/smaps_rollup").read_text().splitlines()
    return next(int(line.split()[1]) << 10 for line in lines if line.startswith("Pss:"))
