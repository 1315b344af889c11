"""Command line: ``python -m benchmarks.lock [--rounds 5] [--seconds 1] [--history 1000000]``."""

import argparse
import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from sqlalchemy import text

from benchmarks.lock import measure, waiting, web
from benchmarks.lock.contestants import (
    SCRIPTS,
    TABLES,
    Ancestor,
    Ours,
    Shed,
    Upsert,
    commit,
    read_row,
    read_row_as_rows_are_read,
)
from staging_api.db.embedded import running
from staging_api.db.engine import Database, open_database
from staging_api.db.migrate import migrate
from staging_api.locks import store

_FILL = """
    INSERT INTO api_locks (id, kind, scope, caller, holder, fence, acquired_at, expires_at,
                           ended_at, outcome, ended_by)
    SELECT left(ulid_floor(clock_timestamp()), 10) || 'Z' || lpad(n::text, 15, '0'), 'archive',
        's' || n % 100, 'c', 'h', n, clock_timestamp(), clock_timestamp(), clock_timestamp(),
        'released', 'h'
    FROM generate_series(1, :rows) n
"""


def main() -> None:
    """Measure all contestants, and print the tables."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--seconds", type=float, default=2.0, help="per contestant and round")
    parser.add_argument("--history", type=int, default=1_000_000, help="rows to fill in")
    parser.add_argument("--cycles", type=int, default=20_000, help="on 100 scopes, for HOT")
    parser.add_argument(
        "--flush-ms", type=float, nargs="*", default=[1, 4], help="a disk that flushes so slowly"
    )
    given = parser.parse_args()
    with measure.folder() as home, running(Path(home)) as server:
        migrate(server.url)
        database = open_database(server.url, 20)
        with database.begin() as conn:
            conn.execute(text(TABLES))
        _all(server.url, database, given)
        database.close()


def _all(url: str, database: Database, given: argparse.Namespace) -> None:
    rounds, seconds = given.rounds, given.seconds
    _refusals(database, rounds, seconds)
    _refusals_cost(database)
    _alone(database, rounds, seconds, "history empty")
    _many(url, rounds, seconds, "history empty")
    _tell("NOTIFY, 16 clients, cycles/s", _notify(url, rounds, seconds), "ours", "notify")
    _tell("hand-over p50, ms", waiting.hand_over_ms(url, rounds, 15), "ours", "polling")
    per_second = web.requests_per_second(url, rounds, seconds)
    _tell("HTTP, requests/s", per_second, "locked", "bare")
    _hot(url, database, given.cycles)
    for extra_ms in given.flush_ms:
        with _slower_flush(database, extra_ms):
            _alone(database, rounds, seconds, f"each flush {extra_ms:g} ms longer")
            _many(url, rounds, seconds, f"each flush {extra_ms:g} ms longer")
    with database.begin() as conn:
        conn.execute(text(_FILL), {"rows": given.history})
    with database.connect() as conn:
        conn.exec_driver_sql("ANALYZE")
    _alone(database, rounds, seconds, f"{given.history} rows of history")
    _many(url, rounds, seconds, f"{given.history} rows of history")


@contextmanager
def _slower_flush(database: Database, extra_ms: float) -> Iterator[None]:
    """Simulate a disk with slower flushes: the server waits `extra_ms` before each flush."""
    try:
        _settings(database, commit_delay=f"{extra_ms * 1000:.0f}", commit_siblings="0")
        yield
    finally:
        _settings(database, commit_delay="DEFAULT", commit_siblings="DEFAULT")


def _settings(database: Database, **values: str) -> None:
    with database.connect() as conn:
        for name, value in values.items():
            conn.exec_driver_sql(f"ALTER SYSTEM SET {name} = {value}")
        conn.exec_driver_sql("SELECT pg_reload_conf()")


def _refusals(database: Database, rounds: int, seconds: float) -> None:
    with database.connect() as conn:
        Ours(conn, "held").acquire()
        Upsert(conn, "held").acquire()
        Shed(conn, "s99").acquire()
        calls: dict[str, measure.Call] = {
            "ours": Ours(conn, "held").acquire,
            "row by primary key": read_row(conn, "held"),
            "row as the service reads": read_row_as_rows_are_read(conn, "held"),
            "bare update": Shed(conn, "s99").acquire,
            "upsert": Upsert(conn, "held").acquire,
        }
        figures = measure.p50_ms(calls, rounds, seconds)
    for other in [name for name in calls if name != "ours"]:
        _tell("refusal p50, ms", figures, "ours", other)


def _refusals_cost(database: Database) -> None:
    with database.begin() as conn:
        before = conn.scalar(text("SELECT pg_current_wal_insert_lsn()"))
        for _ in range(1000):
            Ours(conn, "held").acquire()
        written = conn.scalar(text("SELECT pg_current_wal_insert_lsn() - :lsn"), {"lsn": before})
        taken = conn.scalar(text("SELECT pg_current_xact_id_if_assigned()"))
    print(f"1000 refusals: {written} bytes of WAL, transaction id {taken}")


def _alone(database: Database, rounds: int, seconds: float, when: str) -> None:
    with database.connect() as conn:
        calls: dict[str, measure.Call] = {
            "ours": Ours(conn, "s0").cycle,
            "bare updates": Shed(conn, "s0").cycle,
            "ancestor": Ancestor(conn, "s0").cycle,
            "one commit": commit(conn),
        }
        figures = measure.p50_ms(calls, rounds, seconds)
    for other in ("bare updates", "ancestor", "one commit"):
        _tell(f"one client, cycle p50, ms, {when}", figures, "ours", other)


def _many(url: str, rounds: int, seconds: float, when: str) -> None:
    scripts = {name: SCRIPTS[name] for name in ("ours", "shed", "ancestor")}
    for clients in (1, 8):
        figures = measure.pgbench(url, scripts, clients, rounds, seconds)
        for other in ("shed", "ancestor"):
            _tell(f"pgbench, {clients} clients, cycles/s, {when}", figures, "ours", other)


def _notify(url: str, rounds: int, seconds: float) -> dict[str, measure.Figure]:
    scripts = {name: SCRIPTS[name] for name in ("ours", "notify")}
    return measure.pgbench(url, scripts, 16, rounds, seconds)


def _hot(url: str, database: Database, cycles: int) -> None:
    script = SCRIPTS["ours"].replace("'s' || :client_id", "'t' || :client_id || :client_id")
    rate = measure.pgbench_once(url, script, 8, "-t", str(cycles // 8))
    with database.connect() as conn:
        store.delete_unused_scopes(conn)
        row = conn.exec_driver_sql(
            "SELECT n_tup_hot_upd::float8 / n_tup_upd,"
            " pg_table_size('lock_scopes') FROM pg_stat_user_tables WHERE relname = 'lock_scopes'"
        ).one()
    print(f"{cycles} cycles: {row[0]:.2%} HOT, lock_scopes {row[1]} bytes, {rate:.0f} cycles/s")


def _tell(what: str, figures: dict[str, measure.Figure], ours: str, other: str) -> None:
    ratio = figures[ours].beside(figures[other])
    print(
        f"{what}: {ours} {figures[ours]}, {other} {figures[other]},"
        f" ratio {ratio}, load {os.getloadavg()[0]:.1f}",
        flush=True,
    )


if __name__ == "__main__":
    main()
