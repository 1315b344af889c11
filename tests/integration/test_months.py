"""Monthly partitions of history, created and dropped during reads and writes."""

import threading
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta

import pytest
from sqlalchemy import Connection, text

from staging_api.db.engine import Database
from staging_api.errors import DatabaseBusy
from staging_api.locks import store
from staging_api.locks.model import Lease, new_id
from staging_api.staging.repository import event_rows
from tests.leases import acquired, grant_of, refused, released, renewed, rows
from tests.service import eventually

THERE = "SELECT to_regclass(:name) IS NOT NULL"
BEGINS_AT = """SELECT starts_with(pg_get_expr(relpartbound, oid),
        format('FOR VALUES FROM (%L)', ulid_floor(:month)))
    FROM pg_class WHERE relname = :name"""
Extend = Callable[[Connection], None]
EXTENSIONS: list[tuple[str, Extend]] = [
    ("api_locks", store.extend_history),
    ("staging_events", event_rows.extend_events),
]


@pytest.fixture(autouse=True)
def whole(database: Database) -> Iterator[None]:
    """Add an archive to stage; recreate every partition afterwards."""
    with database.begin() as conn:
        conn.execute(text("INSERT INTO archives VALUES ('gs://b/r', 'r')"))
    yield
    with database.connect() as conn:
        for _, extend in EXTENSIONS:
            extend(conn)


def test_partitions_are_created_in_advance(database: Database) -> None:
    month = datetime.now(UTC).replace(day=1, hour=0, minute=0, second=0, microsecond=0)
    months = [month]
    for _ in range(3):
        months.append((months[-1] + timedelta(days=32)).replace(day=1))
    for table, extend in EXTENSIONS:
        names = [f"{table}_{month:%Y_%m}" for month in months]
        for name in names[1:]:
            with database.begin() as conn:
                conn.execute(text(f"DROP TABLE IF EXISTS {name}"))
        with database.connect() as conn:
            extend(conn)
            extend(conn)
        for name, month in zip(names, months, strict=True):
            assert rows(database, BEGINS_AT, name=name, month=month) == [(True,)], name


def this_month(table: str) -> str:
    """Return the table's current partition: the month may end during a run of all tests."""
    return f"{table}_{datetime.now(UTC):%Y_%m}"


def remove_month(database: Database, table: str) -> str:
    name = this_month(table)
    with database.begin() as conn:
        conn.execute(text(f"DROP TABLE {name}"))
    return name


@contextmanager
def long_reader(database: Database, table: str) -> Iterator[None]:
    """Lock every partition for the length of the block, as pg_dump does."""
    with database.begin() as conn:
        conn.execute(text(f"SELECT count(*) FROM {table}"))
        yield


def insert_staging(conn: Connection) -> str:
    staging_id = new_id()
    conn.execute(
        text(
            "INSERT INTO stagings (id, archive_url, requested, caller, state)"
            " VALUES (:id, 'gs://b/r', '{a}', 'tester', 'queued')"
        ),
        {"id": staging_id},
    )
    return staging_id


@pytest.mark.parametrize(("table", "extend"), EXTENSIONS, ids=["locks", "events"])
def test_a_partition_behind_a_long_reader_is_postponed_and_blocks_no_other(
    table: str, extend: Extend, database: Database
) -> None:
    name = remove_month(database, table)
    lease = acquired(database, scope="before")

    def make() -> None:
        with database.connect() as conn:
            extend(conn)

    with long_reader(database, table), ThreadPoolExecutor(1) as pool:
        making = pool.submit(make)
        done = 0
        while not making.done():
            released(database, acquired(database))
            assert renewed(database, lease)
            with database.begin() as conn:
                insert_staging(conn)
            done += 1
        with pytest.raises(DatabaseBusy):
            making.result()
    assert done > 2, "others were served between the tries"
    assert rows(database, THERE, name=name) == [(False,)]
    make()
    # Events written meanwhile are in the default partition, so their month stays there.
    assert rows(database, THERE, name=name) == [(table == "api_locks",)]
    assert refused(database, scope="before").id == lease.id


def test_a_partition_of_grants_is_created_under_load_without_an_error(database: Database) -> None:
    name = remove_month(database, "api_locks")
    held = acquired(database, scope="held")
    stop = threading.Event()

    def load(number: int) -> int:
        count = 0
        while not stop.is_set():
            lease = acquired(database, scope=f"scope-{number}")
            assert renewed(database, lease)
            assert released(database, lease) == "released"
            count += 1
        return count

    with ThreadPoolExecutor(6) as pool:
        loads = [pool.submit(load, number) for number in range(6)]
        try:
            eventually(lambda: made(database), "it is never made")
        finally:
            stop.set()
        assert min(each.result() for each in loads) > 0
    assert rows(database, THERE, name=name) == [(True,)]
    assert rows(database, "SELECT * FROM api_locks_other") == []
    assert grant_of(database, held).outcome is None


def made(database: Database) -> bool:
    try:
        with database.connect() as conn:
            store.extend_history(conn)
    except DatabaseBusy:
        return False
    return True


def test_a_new_partition_and_writers_of_stagings_do_not_block_each_other(
    database: Database,
) -> None:
    """One writer has written an event and continues with its staging, another comes later."""
    name = remove_month(database, "staging_events")
    go_on, wrote = threading.Event(), threading.Event()

    def write_slowly() -> None:
        with database.begin() as conn:
            staging_id = insert_staging(conn)
            wrote.set()
            assert go_on.wait(30)
            conn.execute(
                text(
                    "UPDATE stagings SET state = 'failed', finished_at = clock_timestamp(),"
                    " error_code = 'x', error_message = 'x' WHERE id = :id"
                ),
                {"id": staging_id},
            )

    def make() -> None:
        with database.connect() as conn:
            event_rows.extend_events(conn)

    with ThreadPoolExecutor(2) as pool:
        writing = pool.submit(write_slowly)
        assert wrote.wait(10)
        making = pool.submit(make)
        others = 0
        while not making.done():
            with database.begin() as conn:
                insert_staging(conn)
            others += 1
            if others == 3:
                go_on.set()
        go_on.set()
        writing.result(30)
        making.result()
    assert others >= 3
    assert rows(database, THERE, name=name) == [(False,)], "its events are in the default partition"


@pytest.mark.parametrize("table", ["api_locks", "staging_events"])
def test_an_old_partition_is_dropped_once_no_reader_uses_it(table: str, database: Database) -> None:
    old = f"{table}_2001_01"
    bounds = "FROM (ulid_floor('2001-01-01 00:00+00')) TO (ulid_floor('2001-02-01 00:00+00'))"
    with database.begin() as conn:
        conn.execute(text(f"CREATE TABLE {old} PARTITION OF {table} FOR VALUES {bounds}"))
    before = datetime.now(UTC) - timedelta(days=400)

    def drop() -> object:
        with database.connect() as conn:
            if table == "api_locks":
                return store.drop_history(conn, before)
            return event_rows.drop_events(conn, before, "they are old")

    with long_reader(database, table), ThreadPoolExecutor(1) as pool:
        dropping = pool.submit(drop)
        while not dropping.done():
            lease = acquired(database)
            assert isinstance(lease, Lease)
            released(database, lease)
        with pytest.raises(DatabaseBusy):
            dropping.result()
        assert rows(database, THERE, name=old) == [(True,)]
    drop()
    assert rows(database, THERE, name=old) == [(False,)]
    assert rows(database, THERE, name=this_month(table)) == [(True,)]
