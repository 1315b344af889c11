"""Statements on archives, suites, packages and uploads: only their own rows are affected."""

from collections.abc import Callable, Iterator, Mapping
from datetime import UTC, datetime
from types import SimpleNamespace
from typing import Any

import pytest
from sqlalchemy import Connection, text

from staging_api.db.engine import Database
from staging_api.errors import Conflict, Invalid, NotFound
from staging_api.publishing import rules
from staging_api.publishing.domination import Supersession
from staging_api.publishing.model import Suite
from staging_api.publishing.rows import (
    apt_archives,
    domination,
    generations,
    packages,
    pool,
    uploads,
)
from tests.archive_rows import ARCHIVES, DISTS, PACKAGES
from tests.rows import keyed_rows, only_rows, refused_by_database

KEYS = {
    "apt_archives": "name",
    "suites": "id::text",
    "components": "suite_id || '/' || name",
    "architectures": "suite_id || '/' || name",
    "suite_holds": "suite_id::text",
    "package_files": "archive_id || '/' || path",
    "source_releases": "id::text",
    "source_release_files": "source_release_id || '/' || position",
    "package_publications": "id::text",
    "uploads": "id",
}


@pytest.fixture
def conn(database: Database) -> Iterator[Connection]:
    with only_rows(database, ARCHIVES + DISTS + PACKAGES) as made:
        yield made


def suite(conn: Connection, number: int) -> Suite:
    archives = (apt_archives.find_apt_archive(conn, name) for name in ("one", "two"))
    [found] = [each for archive in archives for each in archive.suites if each.id == number]
    return found


def change_suite(number: int, **values: Any) -> Callable[[Connection], Any]:
    return lambda conn: apt_archives.change_suite(conn, suite(conn, number), values)


def change(**values: Any) -> Callable[[Connection], Any]:
    def of(conn: Connection) -> Any:
        archive = apt_archives.find_apt_archive(conn, "one")
        return apt_archives.change_apt_archive(conn, archive, values)

    return of


def add_archive(**values: Any) -> Callable[[Connection], Any]:
    given = {"name": "new", "forms": ["gz"], "retention_seconds": 1, "quarantine_seconds": 1}
    return lambda conn: apt_archives.add_apt_archive(conn, given | values)


def decide(upload: str, state: str) -> Callable[[Connection], Any]:
    before = ("new", "unapproved")
    return lambda conn: uploads.decide(
        conn, upload, state=state, before=before, caller="you", reason="why"
    )


def delete(publication: int, archive: int = 1) -> Callable[[Connection], Any]:
    return lambda c: packages.delete_package_publication(c, archive, publication, "you", "why")


def source(package: str, version: str) -> Callable[[Connection], Any]:
    values = {"package": package, "version": version, "version_key": version, "control": ""}
    return lambda c: uploads.add_source(c, 1, values, [12, 13]) is None


FILES = [{"path": path, "sha256": "1" * 64, "size_bytes": 1} for path in ("pool/a.deb", "pool/z")]
SUITES_OF_ONE = {("suites", number) for number in ("11", "12", "13")}
Call = Callable[[Connection], Any]
CHANGES: dict[str, tuple[Call, Any, set[tuple[str, str]]]] = {
    "a hold is lifted": (
        lambda c: apt_archives.lift(c, [11, 12], "ada"),
        ["stable"],
        {("suite_holds", "11"), ("suites", "11")},
    ),
    "none is lifted": (lambda c: apt_archives.lift(c, [12], "ada"), [], set()),
    "an upload lifts": (
        lambda c: apt_archives.lift_for(c, "u1", "ada"),
        ["stable"],
        {("suite_holds", "11"), ("suites", "11")},
    ),
    "a new archive": (add_archive(), None, {("apt_archives", "new")}),
    "an archive": (change(label="new"), None, {("apt_archives", "one"), *SUITES_OF_ONE}),
    "an archive as it is": (change(), None, SUITES_OF_ONE),
    "a suite": (change_suite(11, description="new"), None, {("suites", "11")}),
    "names of a suite": (change_suite(11, aliases=["past", "new"]), None, {("suites", "11")}),
    "components": (
        change_suite(11, components=["main", "new"]),
        None,
        {("suites", "11"), ("components", "11/extra"), ("components", "11/new")},
    ),
    "architectures": (
        change_suite(11, architectures=["amd64", "armhf"]),
        None,
        {("suites", "11"), ("architectures", "11/arm64"), ("architectures", "11/armhf")},
    ),
    "dirty": (
        lambda c: apt_archives.mark_dirty(c, [11, 21]),
        None,
        {("suites", "11"), ("suites", "21")},
    ),
    "published": (
        lambda c: packages.publish(c, [1, 3, 7]),
        1,
        {("package_publications", "3"), ("suites", "11")},
    ),
    "held back": (
        lambda c: packages.hold_back(c, [1, 3, 7], "lost"),
        None,
        {("package_publications", "3")},
    ),
    "deleted": (delete(1), 11, {("package_publications", "1")}),
    "pending and deleted": (delete(3), 11, {("package_publications", "3")}),
    "of another archive": (delete(1, archive=2), None, set()),
    "of a closed suite": (delete(13), None, set()),
    "deleted again": (delete(7), None, set()),
    "files": (lambda c: uploads.add_files(c, 1, FILES), None, {("package_files", "1/pool/z")}),
    "a source that is there": (source("b", "1"), True, set()),
    "an upload is accepted": (decide("u4", "accepted"), True, {("uploads", "u4")}),
    "an upload is rejected": (decide("u4", "rejected"), True, {("uploads", "u4")}),
    "an upload that is done": (decide("u1", "rejected"), False, set()),
    "a note": (lambda c: uploads.note_upload(c, "u1", "more"), None, {("uploads", "u1")}),
}


@pytest.mark.parametrize("name", CHANGES)
def test_a_statement_changes_only_rows_of_its_archive(conn: Connection, name: str) -> None:
    call, expected, rows = CHANGES[name]
    before = keyed_rows(conn, KEYS)
    assert call(conn) == expected
    after = keyed_rows(conn, KEYS)
    assert {key for key in before | after if before.get(key) != after.get(key)} == rows


def shown(conn: Connection, query: str) -> list[tuple[Any, ...]]:
    return [tuple(row) for row in conn.execute(text(query))]


def test_a_decision_stores_its_reason_only_when_it_rejects(conn: Connection) -> None:
    for upload, state in (("u4", "accepted"), ("u8", "rejected")):
        assert decide(upload, state)(conn)
    assert shown(
        conn,
        "SELECT id, state, decided_by, error_code, error_message FROM uploads"
        " WHERE decided_at IS NOT NULL ORDER BY id",
    ) == [("u4", "accepted", "you", None, None), ("u8", "rejected", "you", "rejected", "why")]


def test_deleting_a_published_package_marks_it_as_still_listed(conn: Connection) -> None:
    for publication in (1, 3):
        assert delete(publication)(conn) == 11
    assert shown(
        conn,
        "SELECT id, unlisted_since IS NULL FROM package_publications"
        " WHERE reason = 'why' ORDER BY id",
    ) == [(1, False), (3, True)]


def test_a_suite_is_made_anew_if_its_parts_change(conn: Connection) -> None:
    change_suite(11, description="new")(conn)
    change_suite(12, components=["new"])(conn)
    change_suite(21, architectures=["new"])(conn)
    assert shown(
        conn,
        "SELECT id, rebuild_since IS NULL FROM suites WHERE dirty_since IS NOT NULL ORDER BY id",
    ) == [(11, True), (12, False), (21, False)]


def test_the_files_of_a_new_source_are_numbered_from_its_dsc_on(conn: Connection) -> None:
    assert not source("h", "2")(conn)
    [added] = shown(conn, "SELECT id FROM source_releases WHERE (package, version) = ('h', '2')")
    files = "SELECT source_release_id, position, file_id FROM source_release_files"
    assert shown(conn, f"{files} WHERE file_id IN (12, 13) ORDER BY 1, 2") == [
        *((3, 0, 12), (3, 1, 13)),
        *((*added, 0, 12), (*added, 1, 13)),
    ]


def test_a_later_note_is_appended_to_the_earlier_one(conn: Connection) -> None:
    uploads.note_upload(conn, "u1", "second")
    uploads.note_upload(conn, "u2", "only")
    noted = "SELECT id, note FROM uploads WHERE note IS NOT NULL ORDER BY id"
    assert shown(conn, noted) == [("u1", "first; second"), ("u2", "only")]


def suites_of(conn: Connection, name: str) -> list[tuple[Any, ...]]:
    return [
        (each.name, each.components, each.architectures, each.held and each.held.generation_id)
        for each in apt_archives.find_apt_archive(conn, name).suites
    ]


def listed(conn: Connection, limit: int = 99, **only: Any) -> list[int]:
    found = packages.list_package_publications(conn, 1, limit=limit, **only)
    return [each.id for each in found]


def sent(conn: Connection, limit: int = 9, after: str | None = None, state: str | None = None):
    return [
        each.id for each in uploads.list_uploads(conn, 1, limit=limit, after=after, state=state)
    ]


def upload(conn: Connection, number: str) -> tuple[Any, ...]:
    found = uploads.find_upload(conn, number)
    digest = found.sha256 and found.sha256[0]
    return found.archive, found.suite, found.package, found.version, found.architecture, digest


def binaries(conn: Connection, *of: Any, installer: bool = False) -> list[str]:
    found = packages.listed_binaries(conn, *of, installer=installer)
    return sorted(each.path for each in found)


def source_of(conn: Connection, package: str, version: str) -> Any:
    found = uploads.find_source(conn, 1, package, version)
    return found and (found.id, [each[:7] for each in found.files])


PATHS = ("pool/a.deb", "pool/b.dsc")
READS: Mapping[str, tuple[Call, Any]] = {
    "an archive": (
        lambda c: suites_of(c, "one"),
        [
            ("closed", (), (), None),
            ("stable", ("main", "extra"), ("amd64", "arm64"), "one-1"),
            ("testing", ("main",), ("amd64",), None),
        ],
    ),
    "another": (lambda c: suites_of(c, "two"), [("stable", ("other",), ("riscv64",), "two-2")]),
    "all archives": (apt_archives.apt_archive_names, ["one", "three", "two"]),
    "those that expire": (apt_archives.expiring_apt_archives, {"one": {"A", "E"}}),
    "validity": (
        lambda c: {name: round(left, 2) for name, left in apt_archives.validity_left(c).items()},
        {"one": 0.1, "two": 0.75},
    ),
    "binaries": (
        lambda c: binaries(c, 11, "main", "amd64"),
        ["pool/a.deb", "pool/e.deb"],
    ),
    "binaries of another architecture": (
        lambda c: binaries(c, 11, "main", "arm64"),
        ["pool/e.deb", "pool/f.deb"],
    ),
    "binaries of another suite": (lambda c: binaries(c, 12, "main", "amd64"), ["pool/a.deb"]),
    "of the installer": (
        lambda c: binaries(c, 12, "main", "amd64", installer=True),
        ["pool/g.udeb"],
    ),
    "sources": (
        lambda c: [(e.source_release_id, e.path) for e in packages.listed_sources(c, 11, "main")],
        [(1, "pool/b.dsc")],
    ),
    "sources of another component": (lambda c: packages.listed_sources(c, 11, "extra"), []),
    "files of sources": (
        lambda c: {
            number: [each.path for each in files]
            for number, files in packages.source_files_of(c, [1, 2]).items()
        },
        {1: ["pool/b.dsc", "pool/b.tar"], 2: ["pool/b.dsc"]},
    ),
    "files of no source": (lambda c: packages.source_files_of(c, []), {}),
    "installers": (lambda c: [packages.has_installer(c, each) for each in (11, 12)], [False, True]),
    "packages": (listed, [n for n in range(1, 22) if n not in (5, 14, 16, 18, 19)]),
    "a page of packages": (lambda c: listed(c, 2, after=4), [6, 7]),
    "packages of a suite": (lambda c: listed(c, suite="testing"), [4, 6, 10, 15]),
    "pending packages": (lambda c: listed(c, state="pending"), [3, 6, 11, 17]),
    "packages called": (lambda c: listed(c, package="b"), [2, 15]),
    "one package": (lambda c: listed(c, publication_id=4), [4]),
    "what they are": (
        lambda c: [
            (each.version, each.architecture, each.path)
            for each in packages.list_package_publications(c, 1, limit=2)
        ],
        [("1", "amd64", "pool/a.deb"), ("1", "source", "pool/b.dsc")],
    ),
    "files at paths": (
        lambda c: {
            path: row.id
            for path, row in uploads.files_at(
                c, 1, [f"pool/{n}" for n in ("a.deb", "d.deb", "b.dsc")]
            ).items()
        },
        dict(zip(PATHS, (1, 2), strict=True)),
    ),
    "a source": (lambda c: source_of(c, "b", "1"), (1, ["b.dsc 2", "b.tar 3"])),
    "a source without files": (lambda c: source_of(c, "b", "2"), (5, [])),
    "no source": (lambda c: source_of(c, "a", "1"), None),
    "known names": (
        lambda c: uploads.known_packages(c, 1, ["a", "b", "other", "none"]),
        {"a", "b"},
    ),
    "uploads": (sent, ["u6", "u5", "u4", "u3", "u2", "u1"]),
    "a page of uploads": (lambda c: sent(c, 2, "u5"), ["u4", "u3"]),
    "accepted uploads": (lambda c: sent(c, state="accepted"), ["u6", "u5"]),
    "those that wait": (lambda c: uploads.accepted_uploads(c, 1), ["u5", "u6"]),
    "a binary upload": (lambda c: upload(c, "u1"), ("one", "stable", "a", "1", "amd64", "1")),
    "a source upload": (lambda c: upload(c, "u2"), ("one", "stable", "b", "1", "source", "2")),
    "a bad upload": (lambda c: upload(c, "u3"), ("one", "stable", None, None, None, None)),
}


def test_a_query_reads_only_rows_of_its_archive(
    conn: Connection,
) -> None:
    answers = {name: call(conn) for name, (call, _) in READS.items()}
    assert answers == {name: expected for name, (_, expected) in READS.items()}


REFUSALS: Mapping[str, tuple[Call, type[Exception], str]] = {
    "no archive": (lambda c: suites_of(c, "four"), NotFound, "there is no archive four"),
    "no upload": (lambda c: upload(c, "u0"), NotFound, "there is no upload u0"),
    "an archive twice": (add_archive(name="two"), Conflict, "there is an archive two already"),
    "by hash": (add_archive(publish_by_hash=False), Invalid, "goes with publish_by_hash only"),
    "not by hash": (change(publish_by_hash=False), Invalid, "goes with publish_by_hash only"),
    "another's alias": (
        change_suite(12, aliases=["new", "now"]),
        Conflict,
        "called .'now'. already",
    ),
    "another's name": (change_suite(11, aliases=["testing"]), Conflict, "testing is called"),
}


@pytest.mark.parametrize("name", REFUSALS)
def test_a_contradiction_of_an_archive_is_refused_with_its_own_error(
    conn: Connection, name: str
) -> None:
    call, kind, words = REFUSALS[name]
    with pytest.raises(kind, match=words):
        call(conn)


def test_other_database_errors_about_an_archive_are_not_translated(
    conn: Connection,
) -> None:
    with refused_by_database("valid_for"):
        add_archive(valid_for_seconds=0)(conn)


def test_the_index_files_of_an_archive_are_counted_without_those_of_others(
    conn: Connection, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(rules, "MAX_PACKAGES_FILES", 10)
    values = {"name": "new", "codename": "new", "components": ["a", "b"]}
    archive = apt_archives.find_apt_archive(conn, "one")
    with pytest.raises(Invalid, match="would be 11"), conn.begin_nested():
        apt_archives.add_suite(conn, archive, values | {"architectures": ["x", "y", "z"]})
    apt_archives.add_suite(conn, archive, values | {"architectures": ["x"]})
    change_suite(12, components=["a", "b", "c", "d"])(conn)


EPOCH: Any = datetime.fromtimestamp(0, UTC)
MANY = """
    INSERT INTO package_files (id, archive_id, path, sha256, size_bytes) OVERRIDING SYSTEM VALUE
    SELECT n, 1, 'pool/many-' || n, repeat('a', 64), 1 FROM generate_series(1001, 3000) n;
    INSERT INTO binary_releases (id, archive_id, package, version, version_key, architecture,
        installer, source, source_version_key, control, file_id) OVERRIDING SYSTEM VALUE
    SELECT n, 1, 'many-' || n, '5', '5', 'amd64', false, 'many-' || n, '5', '', n
    FROM generate_series(1001, 3000) n;
    INSERT INTO package_publications (id, suite_id, component, package, state, published_at,
        binary_release_id) OVERRIDING SYSTEM VALUE
    SELECT n, 11, 'main', 'many-' || n, 'published', now(), n FROM generate_series(1001, 3000) n;
    ANALYZE package_files, binary_releases, package_publications;
"""
_READ = """
    SELECT sum(seq_tup_read + idx_tup_fetch) FROM pg_stat_xact_user_tables
    WHERE relname IN ('package_files', 'binary_releases', 'package_publications')
"""
OTHER_BYTES = {"path": "pool/many-1500", "sha256": "1" * 64, "size_bytes": 1, "control": ""}
SENT = OTHER_BYTES | {
    "package": "many-2000",
    "version": "4",
    "version_key": "4",
    "architecture": "amd64",
    "installer": False,
    "source": "many-2000",
    "source_version_key": "4",
}
NOTED = {"component": "main", "name": "m.deb", "state": "accepted"}
SHOWN: Any = SimpleNamespace(id=2000, since=EPOCH, shown=True)
FEW_READ: dict[str, Callable[[Connection], Any]] = {
    "files in the way": lambda c: pool.files_in_the_way(c, 1, [SENT]) == [1500],
    "releases": lambda c: uploads.add_binaries(c, 1, [SENT]) == {},
    "uploads": lambda c: (
        uploads.add_uploads(c, 11, "me", [NOTED | SENT | {"binary_release_id": 2000}], None)[0].note
        == "stable has 5, which is newer: clients are offered that"
    ),
    "settled": lambda c: generations.settle(c, 1, [SHOWN], {}) is None,
    "superseded": lambda c: domination.supersede(c, 1, [Supersession("2000", "2001")], 1.0) != [],
}


@pytest.mark.parametrize("name", FEW_READ)
def test_what_is_done_with_one_package_reads_few_of_many(conn: Connection, name: str) -> None:
    conn.exec_driver_sql(MANY)
    before = conn.exec_driver_sql(_READ).scalar_one()
    assert FEW_READ[name](conn)
    assert conn.exec_driver_sql(_READ).scalar_one() - before < 30
