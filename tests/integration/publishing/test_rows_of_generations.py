"""Statements on generations and their files: only rows of the given archive are affected."""

from collections.abc import Callable, Iterator
from datetime import UTC, datetime
from typing import Any

import pytest
from sqlalchemy import Connection, text

from staging_api.db.engine import Database
from staging_api.errors import NotFound
from staging_api.publishing.blocks import BlockRef
from staging_api.publishing.model import Generation
from staging_api.publishing.rows import domination, generations, holds, indices, pool
from tests.rows import keyed_rows, only_rows

DAY = 86400

#: Two archives: suites 1 and 2 belong to the first, 3 and 4 to the second; generations a1 to a7
#: belong to the first, b1 and b2 to the second.
ROWS = """
    INSERT INTO apt_archives (id, name, forms, retention_seconds, quarantine_seconds)
        OVERRIDING SYSTEM VALUE
        VALUES (1, 'one', '{gz}', 1, 1), (2, 'two', '{gz}', 1, 1), (3, 'new', '{gz}', 1, 1);
    INSERT INTO suites (id, archive_id, name, codename) OVERRIDING SYSTEM VALUE
    SELECT id, archive, name, name
    FROM (VALUES (1, 1, 'stable'), (2, 1, 'testing'), (3, 2, 'stable'), (4, 2, 'testing'))
        AS made (id, archive, name);
    INSERT INTO components (suite_id, name, position) SELECT id, 'main', 0 FROM suites;
    INSERT INTO architectures (suite_id, name) SELECT id, 'amd64' FROM suites;
    INSERT INTO dists_generations (id, archive_id, number, content_number, state, live_at,
        retired_at, reaped_at, pinned_at, pinned_by)
    SELECT id, archive, number, number, state,
        CASE WHEN state <> 'building' THEN now() END,
        CASE WHEN state IN ('retired', 'reaped') THEN now() - since END,
        CASE WHEN state = 'reaped' THEN now() END, pin, CASE WHEN pin IS NOT NULL THEN 'me' END
    FROM (VALUES
        ('a1', 1, 1, 'reaped', interval '9 days', NULL),
        ('a2', 1, 2, 'retired', '2 days', NULL),
        ('a3', 1, 3, 'retired', '2 days', now()),
        ('a4', 1, 4, 'retired', '2 days', NULL),  -- the head
        ('a5', 1, 5, 'retired', '1 h', NULL),
        ('a6', 1, 6, 'live', NULL, NULL),
        ('a7', 1, 7, 'building', NULL, NULL),
        ('b1', 2, 1, 'retired', '2 days', NULL),
        ('b2', 2, 2, 'live', NULL, NULL)) AS made (id, archive, number, state, since, pin);
    INSERT INTO distributions (archive_id, live_generation_id, head_generation_id, changed_by)
        VALUES (1, 'a6', 'a4', 'ada'), (2, 'b2', 'b2', 'bob');
    INSERT INTO suite_holds (suite_id, generation_id, content_number, held_by, reason)
        VALUES (1, 'a4', 4, 'ada', 'why'), (3, 'b1', 1, 'bob', '');
    INSERT INTO generation_holds (generation_id, suite_id, content_number)
        VALUES ('a5', 1, 4), ('a6', 1, 4), ('a6', 2, 3), ('b2', 3, 1);
    INSERT INTO index_blocks (sha256, last_key, entries, plain_bytes, zst, gz, xz)
        SELECT repeat(n::text, 64), n::text::bytea, 1, 1, ('zst' || n)::bytea,
            CASE WHEN n IN (1, 2) THEN ('gz' || n)::bytea END,
            CASE WHEN n IN (1, 3) THEN ('xz' || n)::bytea END
        FROM generate_series(1, 5) n;
    INSERT INTO index_layouts (sha256, blocks)
        SELECT repeat(name, 64), ARRAY[repeat(one, 64), repeat(two, 64)]
        FROM (VALUES ('a', '2', '1'), ('b', '3', '2'), ('c', '4', '3')) AS made (name, one, two);
    INSERT INTO index_files (id, suite_id, path, form, served, layout, size_bytes, sha256,
        first_number, gone_number) OVERRIDING SYSTEM VALUE
    SELECT id, suite, 'p' || id, 'gz', true, repeat(layout, 64), id, repeat('0', 64), came, gone
    FROM (VALUES (1, 1, 'a', 1, 2), (2, 1, 'b', 2, 3), (3, 1, 'b', 3, NULL), (4, 2, 'a', 1, 2),
            (5, 2, 'a', 2, NULL), (6, 3, 'a', 1, 2), (7, 1, 'b', 6, 7), (8, 4, 'a', 2, NULL))
        AS made (id, suite, layout, came, gone);
    INSERT INTO release_files (id, suite_id, name, content, sha256, dated_at, first_number,
        gone_number) OVERRIDING SYSTEM VALUE
    SELECT id, suite_id, 'Release', id::text::bytea, sha256, now(), first_number, gone_number
    FROM index_files;
    INSERT INTO binary_releases (id, archive_id, package, version, version_key, architecture,
        installer, source, source_version_key, control, file_id, created_at)
        OVERRIDING SYSTEM VALUE
    SELECT id, archive, package, source, source, 'amd64', false, 's', source, '', id, now() - since
    FROM (VALUES (1, 1, 'p1', '9', interval '2 days'), (2, 1, 'p2', '9', '2 days'),
            (3, 2, 'p3', '9', '2 days'), (4, 2, 'p4', '9', '2 days'),
            (5, 1, 'unused', '1', '2 days'), (6, 2, 'unused', '1', '2 days'),
            (7, 1, 'young', '1', '1 h'),
            (10, 1, 'of-one', '9', '2 days'), (11, 1, 'of-one', '7', '2 days'))
        AS made (id, archive, package, source, since);
    INSERT INTO source_releases (id, archive_id, package, version, version_key, control, created_at)
        OVERRIDING SYSTEM VALUE
    SELECT id, archive, name, '9', '9', '', now() - interval '2 days'
    FROM (VALUES (1, 1, 's'), (2, 2, 's'), (3, 1, 'unused')) AS made (id, archive, name);
    INSERT INTO source_release_files (source_release_id, position, file_id)
        VALUES (3, 0, 8), (1, 0, 12);
    INSERT INTO package_files (id, archive_id, path, sha256, size_bytes, created_at)
        OVERRIDING SYSTEM VALUE
    SELECT id, coalesce(r.archive_id, 1), 'pool/' || id, repeat(to_hex(id), 64), id,
        coalesce(r.created_at, now() - make_interval(days => CASE id WHEN 9 THEN 0 ELSE 2 END))
    FROM generate_series(1, 12) id LEFT JOIN binary_releases r USING (id);
    INSERT INTO blobs (sha256, size_bytes)
        SELECT repeat(to_hex(id), 64), id FROM generate_series(1, 12) id;
    INSERT INTO package_publications (id, suite_id, component, binary_release_id, source_release_id,
        package, state, published_at, ended_at, superseded_by, scheduled_deletion_at, listed_in,
        delisted_in)
        OVERRIDING SYSTEM VALUE
    SELECT made.id, suite, 'main', b, s, coalesce(r.package, 's'),
        CASE WHEN ended THEN 'superseded' ELSE 'published' END, now(),
        CASE WHEN ended THEN now() END, CASE WHEN ended THEN 1 END, now() + leaves, listed, delisted
    FROM (VALUES
        (1, 1, 1, NULL, false, NULL::interval, 6, NULL),
        (2, 1, 2, NULL, true, NULL, 5, NULL),  -- it is not known yet when it may leave
        (3, 2, 1, NULL, false, NULL, 6, NULL),
        (4, 3, 3, NULL, false, NULL, 2, NULL),
        (5, 1, NULL, 1, false, NULL, 6, NULL),
        (6, 1, NULL, 1, true, NULL, 5, 6),
        (7, 2, NULL, 1, false, NULL, 6, NULL),
        (8, 1, 2, NULL, true, '-1 h', 1, 2),  -- no generation that is kept lists it
        (9, 1, 2, NULL, true, '-1 h', 4, 5),  -- the held suite lists it
        (10, 1, 2, NULL, true, '1 h', 1, 2),  -- not yet
        (11, 3, 4, NULL, true, '-1 h', 2, 3),  -- of the other archive
        (12, 1, 10, NULL, false, NULL, 6, NULL),
        (13, 1, 11, NULL, false, NULL, 6, NULL),
        (14, 3, NULL, 2, false, NULL, 2, NULL)
    ) AS made (id, suite, b, s, ended, leaves, listed, delisted)
    LEFT JOIN binary_releases r ON r.id = b;
"""
KEYS = {
    "dists_generations": "id",
    "distributions": "archive_id::text",
    "suite_holds": "suite_id::text",
    "generation_holds": "generation_id || '/' || suite_id",
    "index_blocks": "left(sha256, 1)",
    "index_layouts": "left(sha256, 1)",
    "index_files": "id::text",
    "release_files": "id::text",
    "package_publications": "id::text",
    "binary_releases": "id::text",
    "source_releases": "id::text",
    "package_files": "id::text",
    "blobs": "size_bytes::text",
}
LIVE = Generation(
    id="a6",
    archive="one",
    number=6,
    content_number=6,
    state="live",
    run_id=None,
    created_at=datetime.now(UTC),
    live_at=None,
    retired_at=None,
    pinned_at=None,
    pinned_by=None,
)


def of(*digits: str) -> list[str]:
    return [digit * 64 for digit in digits]


@pytest.fixture
def conn(database: Database) -> Iterator[Connection]:
    with only_rows(database, ROWS) as made:
        yield made


Call = Callable[[Connection], Any]
ANSWERS: dict[str, tuple[Call, Any]] = {
    "index files": (
        lambda c: {
            number: [file.path for file in indices.index_files_of(c, [1, 2], number)]
            for number in (1, 2, 3, 6, 7)
        },
        {1: ["p1", "p4"], 2: ["p2", "p5"], 3: ["p3", "p5"], 6: ["p3", "p7", "p5"], 7: ["p3", "p5"]},
    ),
    "index files of a suite": (
        lambda c: [file.path for file in indices.index_files_of(c, [3], 1)],
        ["p6"],
    ),
    "Releases": (
        lambda c: {
            number: [text.content for text in indices.releases_of(c, [1, 2], number)]
            for number in (1, 2, 3, 6, 7)
        },
        {
            1: [b"1", b"4"],
            2: [b"2", b"5"],
            3: [b"3", b"5"],
            6: [b"3", b"7", b"5"],
            7: [b"3", b"5"],
        },
    ),
    "Releases of a suite": (
        lambda c: [text.content for text in indices.releases_of(c, [3], 1)],
        [b"6"],
    ),
    "a layout": (
        lambda c: indices.layout(c, "b" * 64),
        [BlockRef("3" * 64, b"3"), BlockRef("2" * 64, b"2")],
    ),
    "known blocks": (
        lambda c: [
            sorted(digest[0] for digest in indices.known_blocks(c, of("1", "2", "3", "9"), forms))
            for forms in ([], ["gz"], ["xz"], ["xz", "gz"])
        ],
        [["1", "2", "3"], ["1", "2"], ["1", "3"], ["1"]],
    ),
    "pieces": (lambda c: indices.pieces(c, of("1", "2"), "xz"), {"1" * 64: b"xz1"}),
    "a generation": (
        lambda c: [generations.find_generation(c, each).archive for each in ("a2", "b2")],
        ["one", "two"],
    ),
    "generations": (
        lambda c: [
            [each.id for each in generations.list_generations(c, 1, limit=2, after=after)]
            # Those of no generation, and of another archive, are placed by their time.
            for after in (None, "a6", "a55", "a", "b1")
        ],
        [["a7", "a6"], ["a5", "a4"], ["a5", "a4"], [], ["a7", "a6"]],
    ),
    "what went live": (
        lambda c: [generations.went_live(c, each) for each in ("a1", "a6", "a7", "a9")],
        [True, True, False, False],
    ),
    "contents": (
        lambda c: [holds.contents_of(c, each) for each in ("a5", "a6", "b2")],
        [{1: 4, 2: 5}, {1: 4, 2: 3}, {3: 1, 4: 2}],
    ),
}


@pytest.mark.parametrize("name", ANSWERS)
def test_an_answer_is_of_the_rows_that_are_asked_for_alone(conn: Connection, name: str) -> None:
    call, expected = ANSWERS[name]
    assert call(conn) == expected


def test_a_distribution_has_only_rows_of_its_archive(conn: Connection) -> None:
    one, two = (generations.find_distribution(conn, name) for name in ("one", "two"))
    assert one
    assert (one.archive, one.live.id, one.head.id, one.changed_by) == ("one", "a6", "a4", "ada")
    (hold,) = one.held
    assert (hold.suite, hold.generation_id, hold.content_number) == ("stable", "a4", 4)
    assert (hold.held_by, hold.reason) == ("ada", "why")
    assert hold.held_at <= datetime.now(UTC)
    assert one.older == {1: 4, 2: 3}
    assert two
    assert (two.archive, two.live.id, two.head.id) == ("two", "b2", "b2")
    assert [each.generation_id for each in two.held] == ["b1"]
    assert two.older == {3: 1}
    conn.execute(text("DELETE FROM generation_holds WHERE generation_id = 'b2'"))
    two = generations.find_distribution(conn, "two")
    assert two
    assert two.older == {}
    assert generations.find_distribution(conn, "new") is None


def test_a_generation_that_is_not_there_is_told(conn: Connection) -> None:
    with pytest.raises(NotFound, match="there is no generation a9"):
        generations.find_generation(conn, "a9")


def begun(conn: Connection, archive_id: int) -> tuple[int, int, str]:
    generations.begin_generation(conn, "new", archive_id, None)
    made = generations.find_generation(conn, "new")
    return made.number, made.content_number, made.state


def seen_hold(conn: Connection) -> list[tuple[Any, ...]]:
    holds.hold_suites(conn, {1: 2, 2: 3}, "a5", "eve", "bad")
    found = conn.exec_driver_sql(
        "SELECT suite_id, generation_id, content_number, held_by, reason FROM suite_holds"
        " ORDER BY suite_id"
    )
    return [tuple(row) for row in found]


def of_file(file: str, releases: str, release: str | None = None) -> set[tuple[str, str]]:
    """Return the rows of a pool file: the file, its content and the release that it is of."""
    return {("package_files", file), ("blobs", file), (releases, release or file)}


CHANGES: dict[str, tuple[Call, Any, set[tuple[str, str]]]] = {
    "begin": (lambda c: begun(c, 1), (8, 8, "building"), {("dists_generations", "new")}),
    "begin the first": (lambda c: begun(c, 3), (1, 1, "building"), {("dists_generations", "new")}),
    "pin": (
        lambda c: generations.set_pin(c, "a5", "eve", pinned=True),
        True,
        {("dists_generations", "a5")},
    ),
    "pin what is live": (
        lambda c: generations.set_pin(c, "a6", "eve", pinned=True),
        True,
        {("dists_generations", "a6")},
    ),
    "unpin": (
        lambda c: generations.set_pin(c, "a3", "eve", pinned=False),
        True,
        {("dists_generations", "a3")},
    ),
    "pin what is gone": (
        lambda c: generations.set_pin(c, "a1", "eve", pinned=True),
        False,
        set(),
    ),
    "reap": (lambda c: generations.reap_generations(c, 1, DAY), 1, {("dists_generations", "a2")}),
    "reap none": (lambda c: generations.reap_generations(c, 1, 3 * DAY), 0, set()),
    "forget files": (
        lambda c: indices.drop_unkept(c, 1),
        2,
        {(table, file) for table in ("index_files", "release_files") for file in "14"},
    ),
    "forget no file": (lambda c: indices.drop_unkept(c, 2), 0, set()),
    "forget blocks": (
        indices.drop_unnamed,
        2,
        {("index_layouts", "c"), ("index_blocks", "4"), ("index_blocks", "5")},
    ),
    "hold": (
        seen_hold,
        [(1, "a5", 2, "eve", "bad"), (2, "a5", 3, "eve", "bad"), (3, "b1", 1, "bob", "")],
        {("suite_holds", "1"), ("suite_holds", "2")},
    ),
    "remove packages": (lambda c: pool.remove_condemned(c, 1), 1, {("package_publications", "8")}),
    "remove files": (
        lambda c: pool.remove_unused_files(c, 1, DAY),
        2,
        {*of_file("5", "binary_releases"), *of_file("8", "source_releases", "3")},
    ),
    "remove a file": (
        lambda c: pool.remove_unused_files(c, 2, DAY),
        1,
        of_file("6", "binary_releases"),
    ),
    "remove no file": (lambda c: pool.remove_unused_files(c, 1, 3 * DAY), 0, set()),
    "give up a binary": (
        lambda c: pool.remove_given_up(c, [1, 7]),
        None,
        of_file("7", "binary_releases"),
    ),
    "give up a source": (
        lambda c: pool.remove_given_up(c, [8]),
        None,
        of_file("8", "source_releases", "3"),
    ),
    "give up nothing": (lambda c: pool.remove_given_up(c, [12]), None, set()),
}


@pytest.mark.parametrize("name", CHANGES)
def test_a_statement_changes_only_the_given_rows(conn: Connection, name: str) -> None:
    call, expected, rows = CHANGES[name]
    before = keyed_rows(conn, KEYS)
    assert call(conn) == expected
    assert changed(conn, before) == rows


def changed(conn: Connection, before: dict[tuple[str, str], str]) -> set[tuple[str, str]]:
    after = keyed_rows(conn, KEYS)
    return {key for key in before | after if before.get(key) != after.get(key)}


LIFTED = "DELETE FROM suite_holds WHERE suite_id = 1"
FORGOTTEN = "DELETE FROM generation_holds WHERE generation_id = 'a6'"
HEAD = ("distributions", "1")
ITSELF = ("dists_generations", "a6")
HELD = {suite: ("generation_holds", f"a6/{suite}") for suite in (1, 2)}


@pytest.mark.parametrize(
    ("before", "suites", "rows"),
    [
        (LIFTED, [1], {HELD[1], ITSELF}),
        (LIFTED, [1, 2], {*HELD.values(), ITSELF, HEAD}),
        (LIFTED, [], set()),
        (FORGOTTEN, [2], set()),  # a suite is now held
        (f"{LIFTED}; {FORGOTTEN}", [1, 2], {HEAD}),
    ],
)
def test_a_lift_is_noted_on_the_live_generation_of_its_archive(
    conn: Connection, before: str, suites: list[int], rows: set[tuple[str, str]]
) -> None:
    conn.exec_driver_sql("UPDATE dists_generations SET content_number = 1")
    conn.exec_driver_sql(before)
    there = keyed_rows(conn, KEYS)
    holds.settle_lifted(conn, LIVE, suites)
    assert changed(conn, there) == rows
    with_own = "SELECT id FROM dists_generations WHERE content_number = number AND number > 1"
    own = {("dists_generations", each) for each in conn.exec_driver_sql(with_own).scalars()}
    assert own == rows & {ITSELF}


def shown(found: domination.PackageCandidates) -> list[tuple[Any, ...]]:
    """Return the compared columns, sources last."""
    return [
        (each.id, each.name, each.release, each.source_release, each.architecture, each.installer)
        for each in (*sorted(found.binaries, key=lambda each: int(each.id)), *found.sources)
    ]


COMPARED = [
    ("1", "p1", 1, ("s", "9"), "amd64", False),
    ("12", "of-one", 10, ("s", "9"), "amd64", False),
    ("13", "of-one", 11, ("s", "7"), "amd64", False),
    ("5", "s", 1, 1, "", False),
]


def test_all_published_packages_of_a_suite_are_compared(conn: Connection) -> None:
    found = domination.all_to_dominate(conn, 1)
    assert shown(found) == COMPARED
    assert found.decided == {"1", "12", "13"}


def test_only_packages_of_changed_source_releases_are_compared(conn: Connection) -> None:
    changed = "UPDATE package_publications SET unlisted_since = now() WHERE id IN (1, 5, 7)"
    conn.exec_driver_sql(changed)
    found = domination.changed_to_dominate(conn, [1])
    assert found.keys() == {1}
    assert shown(found[1]) == COMPARED
    assert found[1].decided == {"1", "12"}


def test_a_package_that_ended_is_one_of_its_archive(conn: Connection) -> None:
    """The other archive has a package that has not ended, and one whose end time is known."""
    assert domination.has_ended(conn, 1)
    assert not domination.has_ended(conn, 2)


@pytest.mark.parametrize(
    ("archive_id", "retention", "expected"),
    [
        (1, 2 * DAY - 900, (True, True)),
        (1, 2 * DAY - 300, (False, True)),  # due, but only for a short time
        (2, 2 * DAY - 900, (True, True)),
        (3, 0, (False, False)),
    ],
)
def test_overdue_packages_are_those_of_the_given_archive(
    conn: Connection, archive_id: int, retention: float, expected: tuple[bool, bool]
) -> None:
    assert generations.overdue(conn, archive_id, retention) == expected
