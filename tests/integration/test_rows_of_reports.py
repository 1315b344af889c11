"""Reports: each matching row is counted once, and no other row."""

from collections.abc import Callable, Iterator
from datetime import UTC, datetime
from typing import Any

import pytest
from sqlalchemy import Connection, text

from staging_api.db.engine import Database
from staging_api.staging.reports import Checks
from staging_api.staging.repository import (
    archive_rows,
    count_rows,
    folder_rows,
    found_files,
    space_rows,
    usage_rows,
)
from tests.rows import only_rows

# The digit of each content is its digest; its length is ten times the digit.
ROWS = """
    INSERT INTO archives (archive_url, static_prefix) VALUES
        ('gs://x/a', 'x/a'), ('gs://x/b', 'x/b'), ('gs://x/B', 'x/B'), ('gs://y/a-2', 'y/a-2');
    INSERT INTO stagings
        (id, archive_url, state, requested, caller, foreground_staged_at, finished_at)
    SELECT id, archive, state, '{z}', caller, CASE state WHEN 'staged' THEN now() END,
        CASE state WHEN 'staged' THEN now() END
    FROM (VALUES ('s1', 'gs://x/a', 'staged', 'me'), ('s2', 'gs://x/a', 'running', 'you'),
                 ('s3', 'gs://x/b', 'running', 'me'), ('s4', 'gs://y/a-2', 'queued', 'he'))
        AS made (id, archive, state, caller);
    INSERT INTO staged_artifacts
        (id, staging_id, archive_url, name, lock_kind, phase, state, path, attempt, sha256,
         size_bytes, source_url, fence, staged_at, last_accessed_at, pinned_until, evicted_at)
    SELECT id, 's1', archive, name, kind, 'foreground', state, path, 1, repeat('1', 64), size,
        archive || '/' || id, 1, now() - staged, now() - accessed, now() + pin,
        CASE state WHEN 'evicted' THEN now() END
    FROM (VALUES
        ('1p', 'gs://x/a', 'p', 'archive', 'staged', 'x/a/p', 10, interval '9 d', NULL, '1 h'),
        ('2r', 'gs://x/a', 'r', 'archive', 'staged', 'x/a/r/', 20, '9 d', interval '1 h', '-1 h'),
        ('3i', 'gs://x/b', 'i', 'images', 'staged', 'x/b/i/', 60, '8 d', NULL, interval '-1 h'),
        ('4o', 'gs://x/B', 'o', 'archive', 'staged', 'x/B/o/', 90, '1 h', '10 d', NULL),
        ('5n', 'gs://x/b', 'n', 'images', 'staged', 'x/b/n', 0, '9 d', '9 d', NULL),
        ('6e', 'gs://x/a', 'i', 'images', 'evicted', 'x/a/i', 60, '8 d', NULL, NULL),
        ('7w', 'gs://y/a-2', 'i', 'images', 'staging', 'y/a-2/i', NULL, NULL, NULL, NULL))
        AS made (id, archive, name, kind, state, path, size, staged, accessed, pin);
    INSERT INTO blobs (sha256, size_bytes)
        SELECT repeat(digit::text, 64), 10 * digit FROM generate_series(1, 9) AS digit;
    INSERT INTO loose_files (artifact_id, path, sha256, size_bytes, executable)
    SELECT id, path, repeat(digit, 64), 10 * digit::int, false
    FROM (VALUES ('1p', 'x/a/p', '1'), ('2r', 'x/a/r/d/1', '2'), ('2r', 'x/a/r/d/2', '1'),
                 ('2r', 'x/a/r/e', '3'), ('3i', 'x/b/i/1', '3'), ('3i', 'x/b/i/d/2', '4'),
                 ('3i', 'x/b/i/d/3', '5'), ('7w', 'y/a-2/i', '7'), ('5n', 'x/b/n', '8'))
        AS made (id, path, digit);
    INSERT INTO packs (artifact_id, sha256, size_bytes, first_path, last_path)
        VALUES ('4o', repeat('9', 64), 90, 'x/B/o/1', 'x/B/o/2'), ('6e', NULL, 1, 'a', 'b');
    INSERT INTO packed_files (pack_offset, size_bytes, artifact_id, path, sha256, executable)
    SELECT 0, 1, id, path, decode(repeat('7', 64), 'hex'), false
    FROM (VALUES ('4o', 'x/B/o/1'), ('4o', 'x/B/o/2'), ('4o', 'x/B/o/3'), ('6e', 'x/a/i/1'),
                 ('6e', 'x/a/s/1'))
        AS made (id, path);
    INSERT INTO package_files (archive_id, path, sha256, size_bytes, removed_at)
    SELECT 1, 'pool/' || number, repeat(digit, 64), 10 * digit::int, removed
    FROM (VALUES (1, '5', NULL), (2, '5', NULL), (3, '6', now())) AS made (number, digit, removed);
    INSERT INTO store_checks
        (shard, began_at, checked_at, files, bytes, scrubbed_at, lost, strangers)
    VALUES ('11', now(), '2026-01-02Z', 1, 1, '2026-01-04Z', 1, 10),
        ('22', now(), '2026-01-01Z', 1, 1, '2026-01-05Z', 2, 20),
        ('33', now(), NULL, NULL, NULL, NULL, NULL, NULL);
"""
Call = Callable[[Connection], Any]


@pytest.fixture
def conn(database: Database) -> Iterator[Connection]:
    with only_rows(database, ROWS) as made:
        yield made


def ids(found: list[Any]) -> list[str]:
    return [each.id for each in found]


def shares(conn: Connection, *of: str) -> list[tuple[int, int]]:
    return [(each.frees, each.holds) for each in space_rows.shares(conn, of)]


def listed(conn: Connection, **which: Any) -> list[tuple[Any, ...]]:
    found = archive_rows.list_archives(conn, **{"prefix": "", "limit": 9, **which})
    return [
        (
            each.archive_url,
            dict(each.artifacts),
            each.size_bytes,
            each.staging.id if each.staging else None,
        )
        for each in found
    ]


def beside(conn: Connection, path: str, read: Callable[[], list[Any]]) -> list[str]:
    """Return the names that are read after one more file is added to artifact 4o."""
    conn.execute(_ADD_FILE, {"path": path})
    return [each.name for each in read()]


_ADD_FILE = text("""
    INSERT INTO packed_files (pack_offset, size_bytes, artifact_id, path, sha256, executable)
    VALUES (0, 1, '4o', :path, decode(repeat('7', 64), 'hex'), false)
""")
READS: dict[str, tuple[Call, Any]] = {
    "idlest": (lambda c: ids(usage_rows.idlest(c, 9)), ["4o", "3i", "2r"]),
    "the idlest of all": (lambda c: ids(usage_rows.idlest(c, 1)), ["4o"]),
    "idle": (lambda c: ids(space_rows.idle_artifacts(c, 60, None, 9)), ["4o", "3i", "2r"]),
    "idle for long": (lambda c: ids(space_rows.idle_artifacts(c, 7200, None, 9)), ["4o", "3i"]),
    "idle elsewhere": (
        lambda c: ids(space_rows.idle_artifacts(c, 60, "gs://x/b", 9)),
        ["4o", "2r"],
    ),
    "idle of these": (
        lambda c: ids(usage_rows.idle_of(c, ["4o", "6e", "1p", "7w"])),
        ["4o", "1p"],
    ),
    "checks": (
        usage_rows.checks,
        Checks(2, datetime(2026, 1, 1, tzinfo=UTC), datetime(2026, 1, 4, tzinfo=UTC), 3, 30),
    ),
    # Content 1 is also in the pinned artifact, 3 in two evicted ones, and 5 in a pool.
    "shares": (lambda c: shares(c, "2r", "3i"), [(20, 50), (70, 70)]),
    "shares of a pack": (lambda c: shares(c, "4o", "6e", "1p"), [(90, 90), (0, 0), (0, 0)]),
    "archives": (
        listed,
        [
            ("gs://x/B", {"staged": 1}, 90, None),
            ("gs://x/a", {"staged": 2, "evicted": 1}, 30, "s2"),
            ("gs://x/b", {"staged": 2}, 60, "s3"),
            ("gs://y/a-2", {"staging": 1}, 0, "s4"),
        ],
    ),
    "archives below": (
        lambda c: [row[0] for row in listed(c, prefix="gs://x/", after="gs://x/B", limit=1)],
        ["gs://x/a"],
    ),
    "archives called": (
        lambda c: archive_rows.archives_named(c, "a", 9),
        ["gs://x/a", "gs://y/a-2"],
    ),
    "an archive called": (lambda c: archive_rows.archives_named(c, "a", 1), ["gs://x/a"]),
    "unfinished": (count_rows.unfinished, {"running": 2, "queued": 1}),
    "files below": (
        lambda c: [each.path for each in found_files.files_below(c, "x/a")],
        ["x/a/p", "x/a/r/d/1", "x/a/r/d/2", "x/a/r/e"],
    ),
    "files below a folder": (
        lambda c: [each.path for each in found_files.files_below(c, "x/b", "i/d/")],
        ["x/b/i/d/2", "x/b/i/d/3"],
    ),
    "files that are not there yet": (lambda c: found_files.files_below(c, "y/a-2"), []),
    "files of an artifact": (
        lambda c: [each.path for each in found_files.files_of(c, "3i", "x/b/i/1", 9)],
        ["x/b/i/d/2", "x/b/i/d/3"],
    ),
    "files of an artifact with a pack": (
        lambda c: [each.path for each in found_files.files_of(c, "4o", "", 9)],
        ["x/B/o/1", "x/B/o/2"],
    ),
    "more files of a pack": (
        lambda c: [each.path for each in found_files.files_of(c, "4o", "x/B/o/1", 9)],
        ["x/B/o/2"],
    ),
    "files of an artifact that is not staged": (lambda c: found_files.files_of(c, "7w", "", 9), []),
    "builds with both": (
        lambda c: [each.archive_url for each in found_files.builds_below(c, "x", ["i", "n"])],
        ["gs://x/b"],
    ),
    "builds with what was evicted": (
        lambda c: found_files.builds_below(c, "x", ["p", "r", "i"]),
        [],
    ),
    "builds with any": (
        lambda c: sorted(each.archive_url for each in found_files.builds_below(c, "x", [])),
        ["gs://x/B", "gs://x/a", "gs://x/b"],
    ),
    "builds elsewhere": (lambda c: found_files.builds_below(c, "y", ["i"]), []),
    "builds of which nothing is staged": (lambda c: found_files.builds_below(c, "y", []), []),
    "newest images": (
        lambda c: sorted(found_files.newest_of_each(c, "images", ["i", "i/1", "n", "p"], 9)),
        ["i/1", "n"],
    ),
    "newest files": (
        lambda c: sorted(found_files.newest_of_each(c, "archive", ["o/1", "i/1"], 9)),
        ["o/1"],
    ),
    "folder": (lambda c: found_files.folder_of(c, "gs://x/B"), "x/B"),
    "children": (
        lambda c: [each.name for each in folder_rows.children_of(c, "x/a/", "", 9)],
        ["p", "r/"],
    ),
    "children behind": (
        lambda c: [each.name for each in folder_rows.children_of(c, "x/a/r/", "d/", 9)],
        ["e"],
    ),
    "children beside a name that they begin with": (
        lambda c: beside(c, "x/B/o/1.sig", lambda: folder_rows.children_of(c, "x/B/o/", "", 9)),
        ["1", "1.sig", "2", "3"],
    ),
    "children behind a name that they begin with": (
        lambda c: beside(c, "x/B/o/1.sig", lambda: folder_rows.children_of(c, "x/B/o/", "1", 9)),
        ["1.sig", "2", "3"],
    ),
    "a child": (
        lambda c: [each.name for each in folder_rows.children_of(c, "x/b/i/", "", 1)],
        ["1"],
    ),
    "no children yet": (lambda c: folder_rows.children_of(c, "y/a-2/", "", 9), []),
    "served below": (
        lambda c: [each.path for each in folder_rows.served_below(c, "x/a/r/d/", 9)],
        ["x/a/r/d/1", "x/a/r/d/2"],
    ),
    "one served below": (
        lambda c: [each.path for each in folder_rows.served_below(c, "x/", 1)],
        ["x/B/o/1"],
    ),
    "not served yet": (lambda c: folder_rows.served_below(c, "y/", 9), []),
}


@pytest.mark.parametrize("name", READS)
def test_a_report_reads_only_the_given_rows(conn: Connection, name: str) -> None:
    call, expected = READS[name]
    assert call(conn) == expected


def test_what_an_unfinished_staging_asked_for_is_not_idle(conn: Connection) -> None:
    conn.execute(text("UPDATE stagings SET requested = '{r,o}' WHERE id = 's2'"))
    assert ids(space_rows.idle_artifacts(conn, 60, None, 9)) == ["4o", "3i"]


def test_each_content_is_counted_for_its_first_use_with_all_files_that_name_it(
    conn: Connection,
) -> None:
    assert usage_rows.count_usage(conn, 60)
    found = usage_rows.usage(conn)
    assert [(each.use, each.blobs, each.bytes, each.files, each.file_bytes) for each in found] == [
        ("idle", 3, 210, 3, 210),
        # With artifacts that are being staged, which cannot be read yet.
        ("read_lately", 3, 120, 4, 150),
        ("unnamed", 1, 60, 0, 0),
        ("packages", 1, 50, 3, 150),
        ("pinned", 1, 10, 2, 20),
    ]


@pytest.mark.parametrize(("lately", "counts"), [("59 s", False), ("61 min", True)])
def test_the_store_is_counted_anew_once_its_newest_count_is_old(
    conn: Connection, lately: str, counts: bool
) -> None:
    conn.execute(
        text(
            "INSERT INTO store_usage (use, blobs, bytes, files, file_bytes, counted_at)"
            " VALUES ('idle', 1, 1, 1, 1, now() - interval '3 h'),"
            " ('pinned', 1, 1, 1, 1, now() - CAST(:lately AS interval))"
        ),
        {"lately": lately},
    )
    assert usage_rows.count_usage(conn, 3600) is counts
    assert len(usage_rows.usage(conn)) == (5 if counts else 2)


def test_only_one_transaction_counts_the_store_at_a_time(
    conn: Connection, database: Database
) -> None:
    assert usage_rows.count_usage(conn, 60)
    with database.begin() as other:
        assert not usage_rows.count_usage(other, 0)


def test_the_twenty_archives_with_the_largest_files_are_reported(conn: Connection) -> None:
    usage_rows.count_usage(conn, -1)
    found = [
        (each.archive_url, each.artifacts, each.bytes) for each in usage_rows.largest_archives(conn)
    ]
    assert found == [("gs://x/b", 2, 200), ("gs://x/B", 1, 90), ("gs://x/a", 2, 70)]
    conn.exec_driver_sql("""
        INSERT INTO staged_artifacts (id, staging_id, archive_url, name, lock_kind, phase, state,
            path, attempt, sha256, size_bytes, source_url, fence, staged_at)
        SELECT 'm' || n, 's1', 'gs://z/' || n, 'p', 'archive', 'foreground', 'staged',
            'z/' || n, 1, repeat('1', 64), 10, 'z', 1, now()
        FROM generate_series(31, 50) n;
        INSERT INTO loose_files (artifact_id, path, sha256, size_bytes, executable)
        SELECT 'm' || n, 'z/' || n, repeat('1', 64), 10, false FROM generate_series(31, 50) n
    """)
    usage_rows.count_usage(conn, -1)
    urls = [each.archive_url for each in usage_rows.largest_archives(conn)]
    assert urls == [row[0] for row in found] + [f"gs://z/{n}" for n in range(31, 48)]
