"""Order of row locks: statements that lock several rows lock them in the order of their keys.

Two statements with different orders could deadlock. Here one row is already locked, and the
statement waits for it: by then it has locked all earlier rows, and none of the later ones. On the
disk the rows are stored in the opposite order.
"""

from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime
from typing import Any

import pytest
from sqlalchemy import Connection

from staging_api.db.engine import Database
from staging_api.publishing.domination import Supersession
from staging_api.publishing.rows import (
    apt_archives,
    domination,
    generations,
    holds,
    packages,
    pool,
    uploads,
)
from staging_api.staging.repository import check_rows, store_rows
from tests.rows import select
from tests.service import eventually

ROWS = """
    INSERT INTO apt_archives (id, name, forms, retention_seconds, quarantine_seconds)
        OVERRIDING SYSTEM VALUE VALUES (1, 'one', '{gz}', 1, 1);
    INSERT INTO blobs (sha256, size_bytes, doomed_at, removing_until)
        SELECT repeat(n::text, 64), n, CASE WHEN n > 6 THEN now() END,
            CASE WHEN n > 6 THEN now() + interval '1 h' END
        FROM generate_series(9, 1, -1) n;
    INSERT INTO suites (id, archive_id, name, codename) OVERRIDING SYSTEM VALUE
        SELECT n, 1, 's' || n, 's' || n FROM generate_series(3, 1, -1) n;
    INSERT INTO suite_holds (suite_id, generation_id, content_number, held_by, reason)
        SELECT n, repeat('0', 26), 1, 'me', '' FROM generate_series(3, 1, -1) n;
    INSERT INTO package_files (id, archive_id, path, sha256, size_bytes) OVERRIDING SYSTEM VALUE
        SELECT n, 1, 'pool/' || n, repeat(n::text, 64), n FROM generate_series(3, 1, -1) n;
    INSERT INTO binary_releases (id, archive_id, package, version, version_key, architecture,
        installer, source, source_version_key, control, file_id) OVERRIDING SYSTEM VALUE
        SELECT n, 1, 'p' || n, '1', '1', 'all', false, 'p', '1', '', n
        FROM generate_series(3, 1, -1) n;
    INSERT INTO uploads (id, suite_id, component, name, state, caller, binary_release_id)
        SELECT 'u' || 4 - n, n, 'main', 'p', 'accepted', 'me', n FROM generate_series(1, 3) n;
    INSERT INTO package_publications (id, suite_id, component, binary_release_id, package,
        upload_id, state, published_at) OVERRIDING SYSTEM VALUE
        SELECT id, n, 'main', id, 'p', 'u' || 4 - n, state, done
        FROM (VALUES (6, 'published', now()), (5, 'published', now()), (4, 'published', now()),
            (3, 'pending', NULL), (2, 'pending', NULL), (1, 'pending', NULL))
            AS made (id, state, done), LATERAL (SELECT mod(id - 1, 3) + 1) AS own (n);
"""


def digests(numbers: Sequence[int]) -> list[str]:
    return [str(n) * 64 for n in numbers]


def release(n: int) -> dict[str, Any]:
    return {
        "package": f"p{n}",
        "version": "1",
        "version_key": "1",
        "architecture": "all",
        "installer": False,
        "source": "p",
        "source_version_key": "1",
        "control": "",
        "path": f"pool/{n}",
        "sha256": str(n) * 64,
        "size_bytes": n,
    }


Call = Callable[[Connection], Any]
NOW = datetime(2026, 1, 1, tzinfo=UTC)
SEEN = {3: (NOW, None), 2: (NOW, None), 1: (NOW, None)}
#: The table and the key of its rows, and the statement that locks three of them.
CALLS: dict[str, tuple[str, list[str], Call]] = {
    "suites that are marked": (
        "suites.id",
        ["1", "2", "3"],
        lambda c: apt_archives.mark_dirty(c, [3, 1, 2]),
    ),
    "suites of packages": (
        "suites.id",
        ["1", "2", "3"],
        lambda c: packages.publish(c, [3, 1, 2]),
    ),
    "suites of superseded packages": (
        "suites.id",
        ["1", "2", "3"],
        lambda c: domination.supersede(
            c, 1, [Supersession(id=str(n), by=str(n % 3 + 4)) for n in (6, 4, 5)], 1
        ),
    ),
    "suites that are settled": (
        "suites.id",
        ["1", "2", "3"],
        lambda c: generations.settle(c, 1, [], SEEN),
    ),
    "suites that are lifted": (
        "suites.id",
        ["1", "2", "3"],
        lambda c: apt_archives.lift(c, [3, 1, 2], "ada"),
    ),
    "holds that are lifted": (
        "suite_holds.suite_id",
        ["1", "2", "3"],
        lambda c: apt_archives.lift(c, [3, 1, 2], "ada"),
    ),
    "holds that are made": (
        "suite_holds.suite_id",
        ["1", "2", "3"],
        lambda c: holds.hold_suites(c, {3: 1, 1: 1, 2: 1}, "0" * 26, "me", ""),
    ),
    "files of an upload": (
        "package_files.id",
        ["1", "2", "3"],
        lambda c: uploads.files_at(c, 1, ["pool/3", "pool/1", "pool/2"]),
    ),
    "files of an upload, before its releases": (
        "package_files.id",
        ["1", "2", "3"],
        lambda c: uploads.lock_files(c, 1, [release(n) for n in (3, 1, 2)]),
    ),
    "releases of an upload": (
        "binary_releases.id",
        ["1", "2", "3"],
        lambda c: uploads.add_binaries(c, 1, [release(n) for n in (3, 1, 2)]),
    ),
    "releases that are accepted": (
        "binary_releases.id",
        ["1", "2", "3"],
        lambda c: uploads.accept(c, ["u1", "u2", "u3"]),
    ),
    "contents that no file names": (
        "blobs.sha256",
        digests([4, 5, 6]),
        lambda c: store_rows.mark_unnamed_for_deletion(c, digests([6, 4, 5])),
    ),
    "contents whose removal is put off": (
        "blobs.sha256",
        digests([7, 8, 9]),
        lambda c: store_rows.put_off_removal(c, digests([9, 7, 8])),
    ),
    "contents that are removed": (
        "blobs.sha256",
        digests([7, 8, 9]),
        lambda c: store_rows.forget_blobs(c, digests([9, 7, 8])),
    ),
    "contents that were read": (
        "blobs.sha256",
        digests([4, 5, 6]),
        lambda c: check_rows.note_scrubbed(c, digests([6, 4, 5])),
    ),
}


@pytest.mark.parametrize("name", CALLS)
def test_rows_are_locked_in_the_order_of_their_keys(database: Database, name: str) -> None:
    place, keys, call = CALLS[name]
    table, _, column = place.partition(".")
    begin(database)
    with database.begin() as first, ThreadPoolExecutor(1) as threads:
        first.exec_driver_sql(f"SELECT FROM {table} WHERE {column}::text = '{keys[1]}' FOR UPDATE")
        called = threads.submit(in_transaction, database, call)
        eventually(lambda: called.done() or waits(database), "it neither waits nor ends")
        free = select(
            database,
            f"SELECT {column}::text FROM {table} ORDER BY 1 FOR UPDATE SKIP LOCKED",
        )
        first.rollback()
        called.result()
    assert [key for (key,) in free if key in keys] == keys[2:]


def test_what_is_tidied_is_locked_as_an_upload_takes_it_contents_first(database: Database) -> None:
    begin(database)
    with database.begin() as conn:
        conn.exec_driver_sql("SET LOCAL session_replication_role = 'replica'")
        conn.exec_driver_sql("DELETE FROM package_publications; DELETE FROM uploads")
    with database.begin() as upload, ThreadPoolExecutor(1) as threads:
        store_rows.name_blobs(upload, {str(n) * 64: n for n in (1, 2, 3)})
        tidied = threads.submit(
            in_transaction, database, lambda conn: pool.remove_unused_files(conn, 1, 0)
        )
        eventually(lambda: tidied.done() or waits(database), "it neither waits nor ends")
        upload.exec_driver_sql("SET LOCAL lock_timeout = '1s'")
        assert len(uploads.add_binaries(upload, 1, [release(n) for n in (1, 2, 3)])) == 3
        upload.rollback()
        assert tidied.result() == 3


def begin(database: Database) -> None:
    with database.begin() as conn:
        # Without foreign keys and triggers, which lock rows themselves.
        conn.exec_driver_sql("SET LOCAL session_replication_role = 'replica'")
        conn.exec_driver_sql(ROWS)


def in_transaction(database: Database, call: Call) -> Any:
    with database.begin() as conn:
        conn.exec_driver_sql("SET LOCAL session_replication_role = 'replica'")
        done = call(conn)
        conn.rollback()
        return done


def waits(database: Database) -> bool:
    return bool(
        select(
            database,
            "SELECT 1 FROM pg_stat_activity"
            " WHERE wait_event_type = 'Lock' AND datname = current_database()",
        )
    )
