"""Row locks of statements: exactly the rows that a statement is about.

Another transaction would wait for these rows, and then decide by the first one's changes. Without
the lock both would continue, and a test of two concurrent transactions would rarely show it.
"""

from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import pytest
from sqlalchemy import Connection, text

from staging_api.db.engine import Database
from staging_api.publishing.rows import apt_archives, pool, uploads
from staging_api.staging.repository import (
    access_rows,
    artifact_rows,
    check_rows,
    pack_rows,
    staging_rows,
    store_rows,
)
from tests.rows import select
from tests.service import eventually

ROWS = """
    INSERT INTO archives (archive_url, static_prefix) VALUES ('gs://one', '1'), ('gs://two', '2');
    INSERT INTO stagings (id, archive_url, state, requested, caller, foreground_staged_at,
        finished_at)
    SELECT id, archive, state, '{a}', 'me', done, done
    FROM (VALUES ('s1', 'gs://one', 'running', NULL), ('s2', 'gs://one', 'running', NULL),
            ('s3', 'gs://one', 'staged', now()), ('s4', 'gs://one', 'staged', now()),
            ('s5', 'gs://two', 'running', NULL)) AS made (id, archive, state, done);
    INSERT INTO staged_artifacts (id, staging_id, archive_url, name, lock_kind, phase, state, path,
        sha256, size_bytes, source_url, lock_id, fence, staged_at, pinned_until)
    SELECT id, staging, archive, 'a', 'archive', 'foreground', 'staged', id, repeat('1', 64), 1,
        'gs://one/a', repeat('0', 26), 1, now() - interval '1 h', pin
    FROM (VALUES ('a1', 's3', 'gs://one', NULL), ('a2', 's3', 'gs://one', NULL),
            ('pinned', 's3', 'gs://one', now() + interval '1 h'), ('b1', 's5', 'gs://two', NULL))
        AS made (id, staging, archive, pin);
    INSERT INTO packs (artifact_id, sha256, size_bytes, first_path, last_path) VALUES
        ('kept', repeat('9', 64), 9, 'a', 'z'),
        ('dropped', NULL, 9, 'a', 'z'), ('dropped-2', NULL, 9, 'a', 'z');
    INSERT INTO packed_files (pack_offset, size_bytes, artifact_id, path, sha256, executable)
        SELECT 0, 1, 'dropped', path, decode(repeat('1', 64), 'hex'), false
        FROM unnest(ARRAY['a', 'b']) path;
    INSERT INTO apt_archives (id, name, forms, retention_seconds, quarantine_seconds)
        OVERRIDING SYSTEM VALUE
        VALUES (1, 'one', '{gz}', 1, 1), (2, 'two', '{gz}', 1, 1);
    INSERT INTO suites (archive_id, name, codename) VALUES (1, 'old', 'old'), (2, 'old', 'old');
    INSERT INTO package_files (id, archive_id, path, sha256, size_bytes, removed_at)
        OVERRIDING SYSTEM VALUE
    SELECT id, archive, path, repeat(id::text, 64), id, gone
    FROM (VALUES (1, 1, 'pool/a.deb', NULL), (2, 1, 'pool/b.dsc', NULL),
            (3, 2, 'pool/a.deb', NULL), (4, 1, 'pool/c.deb', now()), (5, 1, 'pool/c.deb', NULL))
        AS made (id, archive, path, gone);
    INSERT INTO binary_releases (id, archive_id, package, version, version_key, architecture,
        installer, source, source_version_key, control, file_id)
        OVERRIDING SYSTEM VALUE
    SELECT id, archive, package, '1', '1', 'all', false, 'a', '1', '', file
    FROM (VALUES (1, 1, 'a', 1), (2, 2, 'a', 3), (3, 1, 'c', 5))
        AS made (id, archive, package, file);
    INSERT INTO source_releases (id, archive_id, package, version, version_key, control)
        OVERRIDING SYSTEM VALUE
    SELECT id, archive, 'b', '1', key, ''
    FROM (VALUES (1, 1, '1'), (2, 2, '1'), (3, 1, '2')) AS made (id, archive, key);
    INSERT INTO source_release_files (source_release_id, position, file_id)
        VALUES (1, 0, 2), (3, 0, 2);
    INSERT INTO blobs (sha256, size_bytes)
        SELECT repeat(n::text, 64), n FROM generate_series(1, 5) n;
    INSERT INTO uploads (id, suite_id, component, name, state, caller, binary_release_id,
        source_release_id)
    SELECT id, 1, 'main', id, 'new', 'me', binary_release, source_release
    FROM (VALUES ('u1', 3, NULL), ('u2', NULL, 1), ('u3', NULL, 3))
        AS made (id, binary_release, source_release);
"""
KEYS = {
    "archives": "archive_url",
    "stagings": "id",
    "staged_artifacts": "id",
    "packs": "artifact_id",
    "apt_archives": "name",
    "blobs": "left(sha256, 1)",
    "package_files": "id",
    "binary_releases": "id",
    "source_releases": "id",
}
RELEASE = {
    "package": "a",
    "version": "1",
    "version_key": "1",
    "architecture": "all",
    "installer": False,
    "source": "a",
    "source_version_key": "1",
    "control": "",
    "path": "pool/a.deb",
    "sha256": "1" * 64,
    "size_bytes": 1,
}


@pytest.fixture
def conn(database: Database) -> Iterator[Connection]:
    with database.begin() as made:
        # Without foreign keys and triggers, which lock rows themselves.
        made.exec_driver_sql("SET LOCAL session_replication_role = 'replica'")
        made.exec_driver_sql(ROWS)
        yield made
        made.rollback()


def locked(conn: Connection) -> set[tuple[str, str]]:
    """Return the rows locked or changed by this transaction: their xmax is its id."""
    return {
        (table, row.key)
        for table, key in KEYS.items()
        for row in conn.execute(
            text(f"SELECT {key}::text AS key FROM {table} WHERE xmax <> '0'::xid")
        )
    }


OPEN = {("stagings", "s1"), ("stagings", "s2")}
Call = Callable[[Connection], Any]
LOCKS: dict[str, tuple[Call, set[tuple[str, str]]]] = {
    "an archive": (
        lambda c: artifact_rows.lock_archive(c, "gs://one"),
        {("archives", "gs://one")},
    ),
    "its stagings": (lambda c: staging_rows.lock_stagings(c, "gs://one"), OPEN),
    "what may be evicted": (
        lambda c: artifact_rows.is_evictable(c, "a1", "space", 60),
        {*OPEN, ("stagings", "s3"), ("staged_artifacts", "a1")},
    ),
    "nothing that is pinned": (
        lambda c: artifact_rows.is_evictable(c, "pinned", "space", 60),
        {*OPEN, ("stagings", "s3")},
    ),
    "a dropped pack": (
        lambda c: pack_rows.forget_packed(c, "dropped", 1),
        {("packs", "dropped")},
    ),
    "an APT archive": (
        lambda c: apt_archives.add_suite(
            c, apt_archives.find_apt_archive(c, "one"), {"name": "new", "codename": "new"}
        ),
        {("apt_archives", "one")},
    ),
    "an APT archive whose suite changes": (
        lambda c: apt_archives.change_suite(
            c, apt_archives.find_apt_archive(c, "one").suites[0], {"description": "new"}
        ),
        {("apt_archives", "one")},
    ),
    "files of packages": (
        lambda c: uploads.files_at(c, 1, ["pool/a.deb", "pool/c.deb"]),
        {("package_files", "1"), ("package_files", "5")},
    ),
    "a source": (lambda c: uploads.find_source(c, 1, "b", "1"), {("source_releases", "1")}),
    "what may be given up, contents first": (
        lambda c: pool.remove_given_up(c, [2, 5]),  # uploads wait for all: nothing is removed
        {
            *(("blobs", digit) for digit in "25"),
            *(("package_files", file) for file in "25"),
            ("binary_releases", "3"),
            *(("source_releases", release) for release in "13"),
        },
    ),
    "what no package needs": (
        lambda c: pool.remove_unused_files(c, 1, 0),
        {("blobs", "1"), ("package_files", "1"), ("binary_releases", "1")},
    ),
    "binaries": (lambda c: uploads.add_binaries(c, 1, [RELEASE]), {("binary_releases", "1")}),
}


@pytest.mark.parametrize("name", LOCKS)
def test_a_statement_locks_the_rows_that_it_is_about_alone(conn: Connection, name: str) -> None:
    call, rows = LOCKS[name]
    assert locked(conn) == set()
    call(conn)
    assert locked(conn) == rows


def test_reads_of_what_another_changes_are_counted_without_a_wait(database: Database) -> None:
    with database.begin() as made:
        made.exec_driver_sql("SET LOCAL session_replication_role = 'replica'")
        made.exec_driver_sql(ROWS)
    read = text("SELECT id FROM staged_artifacts WHERE last_accessed_at IS NOT NULL ORDER BY id")
    counted = text("SELECT artifact_id, hits FROM artifact_accesses ORDER BY 1")
    with database.begin() as first, database.begin() as second:
        first.exec_driver_sql("SELECT FROM staged_artifacts WHERE id = 'a1' FOR UPDATE")
        second.exec_driver_sql("SET LOCAL session_replication_role = 'replica'")
        second.exec_driver_sql("SET LOCAL lock_timeout = '1s'")
        access_rows.note_accesses(second, {("a1", "me"): (1, 2), ("a2", "me"): (3, 4)})
        assert list(second.execute(read).scalars()) == ["a2"]
        assert [tuple(row) for row in second.execute(counted)] == [("a1", 1), ("a2", 3)]


MARKED = """
    INSERT INTO blobs (sha256, size_bytes, doomed_at)
        SELECT repeat(n::text, 64), n, now() - make_interval(hours => n)
        FROM generate_series(7, 8) n;
    INSERT INTO store_checks (shard, began_at) VALUES ('11', 'epoch'), ('22', 'epoch');
"""
CLAIMS: dict[str, tuple[Call, Any, Any]] = {
    "a comparison": (lambda c: check_rows.claim_shard(c, [], 60), "11", "22"),
    "a scrub": (lambda c: check_rows.claim_scrub(c, []), "11", "22"),
    "a removal": (lambda c: store_rows.claim_marked(c, 1), ["8" * 64], ["7" * 64]),
}


@pytest.mark.parametrize("name", CLAIMS)
def test_what_one_worker_has_just_claimed_another_passes_over_without_a_wait(
    database: Database, name: str
) -> None:
    claim, first_got, second_got = CLAIMS[name]
    with database.begin() as made:
        made.exec_driver_sql("SET LOCAL session_replication_role = 'replica'")
        made.exec_driver_sql(ROWS)
        made.exec_driver_sql(MARKED)
    with database.begin() as first, database.begin() as second:
        second.exec_driver_sql("SET LOCAL lock_timeout = '1s'")
        assert claim(first) == first_got
        assert claim(second) == second_got


def upload(conn: Connection, release: str, release_id: int) -> None:
    conn.exec_driver_sql(
        f"INSERT INTO uploads (id, suite_id, component, name, state, caller, {release}_id)"
        f" VALUES ('new', 1, 'main', 'new', 'accepted', 'me', {release_id})"
    )


def take_binary(conn: Connection) -> None:
    uploads.add_binaries(conn, 1, [RELEASE])
    upload(conn, "binary_release", 1)


def take_source(conn: Connection) -> None:
    uploads.find_source(conn, 1, "b", "1")
    upload(conn, "source_release", 1)


def take_file(conn: Connection) -> None:
    uploads.files_at(conn, 1, ["pool/a.deb"])
    conn.exec_driver_sql("INSERT INTO source_release_files VALUES (2, 0, 1)")


def take_content(conn: Connection) -> None:
    store_rows.name_blobs(conn, {"5" * 64: 5})
    conn.exec_driver_sql(
        "INSERT INTO package_files (id, archive_id, path, sha256, size_bytes)"
        " OVERRIDING SYSTEM VALUE VALUES (6, 2, 'pool/c.deb', repeat('5', 64), 5)"
    )


#: How an upload takes an object, the statement run afterwards, and the rows left.
TAKEN: dict[str, tuple[Callable[[Connection], None], str, list[Any]]] = {
    "a binary": (take_binary, "SELECT id FROM binary_releases WHERE removed_at IS NULL", [1, 2]),
    "a source": (take_source, "SELECT id FROM source_releases WHERE removed_at IS NULL", [1, 2]),
    "a file": (take_file, "SELECT id FROM package_files WHERE removed_at IS NULL", [1, 3]),
    "a content": (
        take_content,
        "SELECT left(sha256, 1) FROM blobs WHERE doomed_at IS NULL",
        ["3", "4", "5"],
    ),
}


@pytest.mark.parametrize("name", TAKEN)
def test_what_an_upload_takes_while_the_pool_is_tidied_stays_and_the_rest_leaves(
    database: Database, name: str
) -> None:
    take, query, left = TAKEN[name]

    def tidy() -> None:
        with database.begin() as conn:
            conn.exec_driver_sql("SET LOCAL session_replication_role = 'replica'")
            pool.remove_unused_files(conn, 1, 0)

    with database.begin() as made:
        made.exec_driver_sql("SET LOCAL session_replication_role = 'replica'")
        made.exec_driver_sql(ROWS)
        made.exec_driver_sql("DELETE FROM uploads")
    with ThreadPoolExecutor(1) as threads:
        with database.begin() as conn:
            conn.exec_driver_sql("SET LOCAL session_replication_role = 'replica'")
            take(conn)
            tidied = threads.submit(tidy)
            eventually(
                lambda: tidied.done() or bool(select(database, _WAITS)), "it neither waits nor ends"
            )
        tidied.result()
    assert sorted(found for (found,) in select(database, query)) == left


_WAITS = """
    SELECT 1 FROM pg_stat_activity
    WHERE wait_event_type = 'Lock' AND datname = current_database()"""
