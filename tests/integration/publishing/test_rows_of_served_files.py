"""Look-ups of served files: only files of the requested archive and generation are found."""

from collections.abc import Callable, Iterator, Mapping
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from sqlalchemy import Connection

from staging_api.db.engine import Database
from staging_api.publishing.index_model import ServedArchiveFile
from staging_api.publishing.release import by_hash_path
from staging_api.publishing.rows import serving
from tests.archive_rows import ARCHIVES, DISTS, PACKAGES
from tests.rows import keyed_rows, only_rows

KEYS = {"lasting_releases": "concat_ws('/', release_id, name, signed_by)"}


@pytest.fixture
def conn(database: Database) -> Iterator[Connection]:
    with only_rows(database, ARCHIVES + DISTS + PACKAGES) as made:
        yield made


def hour(found: ServedArchiveFile) -> float:
    """Return the time of modification in hours since the epoch."""
    assert found.modified_at
    return (found.modified_at - datetime(1970, 1, 1, tzinfo=UTC)) / timedelta(hours=1)


def release(conn: Connection, *of: Any) -> bytes | None:
    found = serving.release_at(conn, *of)
    return found.content if found else None


def stale(conn: Connection, *of: Any) -> tuple[int, bytes] | None:
    found = serving.stale_release(conn, *of)
    return (found.id, found.content) if found else None


def index(conn: Connection, *of: Any) -> Any:
    found = serving.index_at(conn, *of)
    return found and (found.sha256[0], found.blocks, hour(found), found.lasting)


def hashed(conn: Connection, archive: str, suite: str, folder: str, digit: str) -> Any:
    found = serving.by_hash(conn, archive, suite, folder, digit * 64)
    return found and (found.sha256[0], found.blocks, found.lasting)


def pool_file(conn: Connection, archive: str, name: str) -> Any:
    found = serving.pool_file_at(conn, archive, f"pool/{name}")
    return found and (found.name, found.size_bytes, found.lasting)


def pool(conn: Connection, archive: str, after: str = "", limit: int = 99) -> list[str]:
    found = serving.pool_list(conn, archive, after=after, limit=limit)
    return [each.path.removeprefix("pool/") for each in found]


def dists(conn: Connection, *of: str) -> list[tuple[str, int]]:
    found = serving.dists_list(conn, *of)
    return [(each.path.removeprefix("dists/"), each.size_bytes) for each in found]


def lasting(conn: Connection, *of: Any) -> dict[str, tuple[bytes | None, float]]:
    found = serving.lasting_releases(conn, *of)
    return {name: (each.content, round(hour(each), 2)) for name, each in found.items()}


STABLE = ("mint", "now", "past", "stable")
TESTING = ("rye", "testing")
OF_STABLE = [("extra/Packages", 4, "4"), ("main/Packages", 2, "2")]
OF_TESTING = [("main/Packages", 5, "5")]


def by_hash_first(*suites: tuple[str, list[tuple[str, int, str]]]) -> list[tuple[str, int]]:
    by_hash = [
        (f"{suite}/{by_hash_path(path, sha * 64)}", size)
        for suite, files in suites
        for path, size, sha in files
    ]
    return by_hash + [
        (f"{suite}/{path}.gz", size) for suite, files in suites for path, size, _ in files
    ]


Call = Callable[[Connection], Any]
READS: Mapping[str, tuple[Call, Any]] = {
    "a Release": (lambda c: release(c, "one", None, "stable", "Release"), b"2"),
    "its signature": (lambda c: release(c, "one", None, "now", "InRelease"), b"3"),
    "of a generation": (lambda c: release(c, "one", "one-1", "mint", "Release"), b"1"),
    "of one that is made": (lambda c: release(c, "one", "one-3", "stable", "Release"), None),
    "of another's": (lambda c: release(c, "one", "two-1", "stable", "Release"), None),
    "of another archive": (lambda c: release(c, "two", None, "stable", "Release"), b"5"),
    "expired": (lambda c: stale(c, "one", "one-1", "stable", "C"), (1, b"1")),
    "valid": (lambda c: stale(c, "one", "one-2", "stable", "A"), None),
    "valid and live": (lambda c: stale(c, "one", "one-2", "stable", "Z"), None),
    "valid and retired": (lambda c: stale(c, "two", "two-1", "stable", "A"), None),
    "with another key": (lambda c: stale(c, "two", "two-1", "stable", "Z"), (5, b"5")),
    "another's with another key": (lambda c: stale(c, "one", "two-1", "stable", "Z"), None),
    "what stands for it": (lambda c: lasting(c, 1, "C"), {"Release": (b"1C", 1.0)}),
    "nothing stands for it": (lambda c: lasting(c, 5, "C"), {}),
    "an index": (
        lambda c: index(c, "one", None, "stable", "main/Packages.gz"),
        ("2", ("2",), 2.0, False),
    ),
    "an index of a generation": (
        lambda c: index(c, "one", "one-1", "stable", "main/Packages.gz"),
        ("1", ("1",), 1.0, False),
    ),
    "an older index": (
        lambda c: index(c, "one", None, "past", "extra/Packages.gz"),
        ("4", ("3",), 1.0, False),
    ),
    "an index that is not served": (
        lambda c: index(c, "one", None, "stable", "main/Packages"),
        None,
    ),
    "an index in another form": (
        lambda c: index(c, "one", None, "stable", "main/Packages.xz"),
        None,
    ),
    "an index of another": (
        lambda c: index(c, "two", None, "stable", "main/Packages.gz"),
        ("6", ("5",), 5.0, False),
    ),
    "by hash": (lambda c: hashed(c, "one", "stable", "main", "1"), ("1", ("1",), True)),
    "by hash elsewhere": (lambda c: hashed(c, "one", "stable", "extra", "1"), None),
    "by hash of another suite": (lambda c: hashed(c, "one", "testing", "main", "1"), None),
    "by hash of another archive": (lambda c: hashed(c, "one", "stable", "main", "6"), None),
    "by hash where none are": (lambda c: hashed(c, "three", "stable", "main", "7"), None),
    "a binary": (lambda c: pool_file(c, "one", "a.deb"), ("pool/a.deb", 1, True)),
    "a binary of another": (lambda c: pool_file(c, "two", "a.deb"), ("pool/a.deb", 4, True)),
    "a file of a source": (lambda c: pool_file(c, "one", "b.tar"), ("pool/b.tar", 3, True)),
    "files of ended packages": (
        lambda c: [bool(pool_file(c, "one", each)) for each in ("i.dsc", "k.deb")],
        [True, True],
    ),
    "no files": (
        lambda c: [pool_file(c, "one", each) for each in ("c.deb", "d.deb", "h.dsc", "other.deb")],
        [None] * 4,
    ),
    "the pool": (
        lambda c: pool(c, "one"),
        ["a.deb", "b.dsc", "b.tar", "e.deb", "f.deb", "g.udeb"],
    ),
    "a page of the pool": (lambda c: pool(c, "one", "pool/b.dsc", 2), ["b.tar", "e.deb"]),
    "another pool": (lambda c: pool(c, "two"), ["a.deb", "b.dsc", "other.deb"]),
    "a generation": (
        lambda c: dists(c, "one", "one-2"),
        [
            *by_hash_first(
                *((name, OF_STABLE) for name in STABLE[:3]),
                ("rye", OF_TESTING),
                ("stable", OF_STABLE),
                ("testing", OF_TESTING),
            ),
            *((f"{name}/Release", 1) for name in sorted(STABLE + TESTING)),
            *((f"{name}/InRelease", 1) for name in STABLE),
        ],
    ),
    "a generation of another": (lambda c: dists(c, "two", "one-2"), []),
    "a generation without by-hash": (
        lambda c: dists(c, "three", "three-1"),
        [
            *((f"{name}/main/Packages.gz", 7) for name in ("mint", "stable")),
            *((f"{name}/Release", 1) for name in ("mint", "stable")),
        ],
    ),
}


def test_files_are_found_only_in_the_given_archive_and_generation(
    conn: Connection,
) -> None:
    answers = {name: call(conn) for name, (call, _) in READS.items()}
    assert answers == {name: expected for name, (_, expected) in READS.items()}


def test_the_substitute_of_a_stale_release_is_stored_once(conn: Connection) -> None:
    before = keyed_rows(conn, KEYS)
    serving.keep_lasting(conn, 5, "K", {"Release": b"a", "InRelease": b"b"})
    after = keyed_rows(conn, KEYS)
    added = {("lasting_releases", f"5/{name}/K") for name in ("Release", "InRelease")}
    assert after.keys() - before.keys() == added
    serving.keep_lasting(conn, 5, "K", {"Release": b"c"})
    assert keyed_rows(conn, KEYS) == after
