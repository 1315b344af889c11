"""Rows written under each earlier schema: still present and processed under the newest one."""

import hashlib
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest
from sqlalchemy import Connection, text

from staging_api.db import migrate as migration
from staging_api.db.engine import Database, open_database
from staging_api.db.migrate import check_schema, migrate, revisions
from staging_api.db.tables import metadata
from staging_api.debian.forms import Form
from staging_api.documents.audit import verify_documents
from staging_api.locks.model import new_id
from staging_api.staging.repository import reading
from tests.copied_rows import Rows, put_rows, rows_of
from tests.databases import Migrated, Schemas
from tests.documents import document, document_api, loaded, policy, secret
from tests.packages import control_text, deb
from tests.publisher import Shop, shop
from tests.rows import select

#: The first schema with packs, in which the table of files has another name.
_PACKS = "0030"
#: Rows that a pod of each version writes; only columns that the first schema had.
_STATEMENTS = (
    "INSERT INTO archives (archive_url, static_prefix) VALUES (:url, :url)",
    "INSERT INTO blobs (sha256, size_bytes) VALUES (:sha256, 5)",
    "INSERT INTO lock_scopes (kind, scope, fence) VALUES ('archive', :url, 7)",
    """INSERT INTO api_locks (id, kind, scope, caller, holder, fence, acquired_at, expires_at,
           ended_at, outcome)
       VALUES (:lock, 'archive', :url, 'ci', 'pod', 7, now(), now(), now(), 'released')""",
    """INSERT INTO stagings (id, archive_url, state, requested, caller)
       VALUES (:staging, :url, 'queued', '{payload,notes}', 'ci')""",
    """INSERT INTO staged_artifacts (id, staging_id, archive_url, name, lock_kind, phase, state,
           path, sha256, size_bytes, staged_at, source_url, lock_id, fence)
       VALUES (:payload, :staging, :url, 'payload', 'archive', 'foreground', 'staged', :path,
           :sha256, 5, clock_timestamp(), :url, :lock, 7)""",
    """INSERT INTO {files} (artifact_id, path, sha256, size_bytes)
       VALUES (:payload, :path, :sha256, 5)""",
    """INSERT INTO staged_artifacts (id, staging_id, archive_url, name, lock_kind, phase, state,
           path)
       VALUES (:notes, :staging, :url, 'notes', 'archive', 'foreground', 'pending', :other)""",
    """INSERT INTO idempotency_keys (caller, key, request_sha256, status, headers, body)
       VALUES ('ci', :url, :sha256, 200, '{}', '')""",
)


def filled(conn: Connection, revision: str) -> None:
    """Write the rows of a version with this schema: one artifact staged, another one not."""
    ids = {name: new_id() for name in ("lock", "staging", "payload", "notes")}
    given = {
        **ids,
        "url": archive_of(revision),
        "path": f"{archive_of(revision)}/payload.bin",
        "other": f"{archive_of(revision)}/notes.txt",
        "sha256": hashlib.sha256(revision.encode()).hexdigest(),
    }
    files = "loose_files" if revision >= _PACKS else "staged_files"
    for statement in _STATEMENTS:
        conn.execute(text(statement.replace("{files}", files)), given)


def archive_of(revision: str) -> str:
    return f"file:///of-{revision}"


@pytest.fixture
def url(schemas: Schemas, revision: str) -> Iterator[str]:
    """Yield a database with the schema of the test's revision."""
    with schemas(revision) as made:
        yield made


@pytest.fixture
def pools(url: str) -> Iterator[Database]:
    made = open_database(url, 2)
    yield made
    made.close()


def check_constraints(pools: Database) -> None:
    """Assert that all rows satisfy newer constraints: otherwise updates of them would fail."""
    unchecked = """SELECT format('ALTER TABLE %s VALIDATE CONSTRAINT %I', r.oid::regclass, conname)
        FROM pg_constraint JOIN pg_class r ON r.oid = conrelid WHERE NOT convalidated"""
    with pools.begin() as conn:
        statements = conn.execute(text(unchecked)).scalars().all()
        assert statements
        for statement in statements:
            conn.execute(text(statement))


def check_rows(pools: Database, *versions: str) -> None:
    """Assert that all rows of these versions are present, and that unfinished work is due."""
    check_constraints(pools)
    urls = [archive_of(version) for version in versions]
    assert select(pools, "SELECT archive_url, state FROM stagings ORDER BY 1") == [
        (url, "queued") for url in urls
    ]
    assert select(pools, "SELECT scope, fence FROM lock_scopes ORDER BY 1") == [
        (url, 7) for url in urls
    ]
    assert select(pools, "SELECT scope, outcome FROM api_locks ORDER BY 1") == [
        (url, "released") for url in urls
    ]
    assert select(pools, "SELECT key, status FROM idempotency_keys ORDER BY 1") == [
        (url, 200) for url in urls
    ]
    with pools.connect() as conn:
        assert sorted(turn.archive_url for turn in reading.due(conn, each=100)) == urls
        for version, url in zip(versions, urls, strict=True):
            found = reading.served_file(conn, f"{url}/payload.bin")
            assert found is not None
            assert found.sha256 == hashlib.sha256(version.encode()).hexdigest()


@pytest.mark.parametrize("revision", [""])
def test_rows_of_every_earlier_schema_are_there_and_worked_on(pools: Database):
    """One database that was upgraded step by step, and used in between."""
    for each in revisions():
        with pools.begin() as conn:
            migration._upgrade(conn, each)
        with pools.begin() as conn:
            filled(conn, each)
    check_schema(pools)
    check_rows(pools, *revisions())


PACKAGES = {"tool": deb(control_text("tool"), Form.GZ)}
#: The first schemas with a publisher and with documents.
_PUBLISHER, _DOCUMENTS = "0008", "0014"
#: Tables of neither the publisher nor documents, and that of the store, which differs by test.
_OTHER_TABLES = {
    *("archives", "stagings", "staged_artifacts", "staged_files", "staging_events"),
    *("api_locks", "lock_scopes", "lock_waiters", "store_identity", "idempotency_keys"),
}
_RELEASE = "dists/{}/Release"
#: Schemas between which tables that a test checks were added: without the publisher, without
#: documents, without packs, and the newest. Every fourth one besides is a long proof.
_FEW = {"0001", "0013", "0029", "0045"}
EARLIER = [
    pytest.param(each, marks=[] if each in _FEW else pytest.mark.prove)
    for each in revisions()[:-1:4]
]


@dataclass(frozen=True)
class Used:
    """Remains of a publisher and a site of documents: rows, contents, and served files."""

    rows: Rows
    store: Path
    releases: dict[str, bytes]


@pytest.fixture(scope="module")
def used(migrated: Migrated, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Used]:
    """Yield a database with two published suites and two committed collections."""
    folder = tmp_path_factory.mktemp("used")
    with migrated() as url:
        pools = open_database(url, 4)
        with shop(pools, url, folder) as seller:
            seller.set_up({"stable": {}, "testing": {}})
            seller.add("hello", "other")
            seller.upload(PACKAGES["tool"], suite="testing")
            seller.run()
            seller.add("hello", version="2.0-1")
            seller.run()
            releases = {
                name: seller.served(_RELEASE.format(name)) for name in ("stable", "testing")
            }
            # Accepted, and not published yet.
            seller.add("late")
        with document_api(url, folder) as site:
            site.committed("first", document("one"), policy())
            site.committed("second", secret("hidden", "swordfish"))
            assert site.ask("PUT", "/document-revisions/2/tags/good", {}).status == 200
            site.add("second", secret("hidden", "another"))
        names = [each.name for each in metadata.sorted_tables if each.name not in _OTHER_TABLES]
        with pools.connect() as conn:
            rows = rows_of(conn, names)
        pools.close()
        yield Used(rows, folder, releases)


@pytest.mark.parametrize("revision", EARLIER)
def test_a_database_of_every_earlier_schema_goes_on_in_the_newest_after_all_steps_at_once(
    url: str, pools: Database, used: Used, revision: str
) -> None:
    with pools.begin() as conn:
        there = put_rows(conn, used.rows)
    with pools.begin() as conn:
        filled(conn, revision)
        filled(conn, revision + "b")
    assert ("package_publications" in there) == (revision >= _PUBLISHER)
    assert ("document_revisions" in there) == (revision >= _DOCUMENTS)
    assert migrate(url) == revisions()[-1]
    check_schema(pools)
    check_rows(pools, revision, revision + "b")
    if revision >= _PUBLISHER:
        with shop(pools, url, used.store) as seller:
            check_publisher(seller, used)
    if revision >= _DOCUMENTS:
        check_documents(url, pools, used.store)


def check_publisher(seller: Shop, used: Used) -> None:
    """Assert that served files are unchanged, and that the next publishing adds to them."""
    for name, release in used.releases.items():
        assert seller.served(_RELEASE.format(name)) == release
    assert seller.names() == ["hello 2.0-1", "other 1.0-1"]
    assert seller.served("pool/main/t/tool/tool_1.0-1_amd64.deb") == PACKAGES["tool"]
    seller.add("new")
    assert seller.run().state == "succeeded"
    assert seller.names() == ["hello 2.0-1", "late 1.0-1", "new 1.0-1", "other 1.0-1"]
    assert seller.names("testing") == ["tool 1.0-1"]


def check_documents(url: str, pools: Database, folder: Path) -> None:
    """Assert that committed and buffered documents are present and can be committed."""
    with document_api(url, folder) as site:
        committed = site.get("/configdocs/second", version="committed", cleartext_secrets="true")
        assert [each["data"] for each in loaded(committed.body)] == ["swordfish"]
        assert site.status() == {"first": "unmodified", "second": "modified"}
        assert site.commit().status == 200
        committed = site.get("/configdocs/second", version="committed", cleartext_secrets="true")
        assert [each["data"] for each in loaded(committed.body)] == ["another"]
        (tag,) = site.get("/document-revisions/2").json["tags"]
        assert tag["tag"] == "good"
        one = site.get("/configdocs/first", version="committed")
        assert [each["metadata"]["name"] for each in loaded(one.body)] == ["one", "layering-policy"]
    assert verify_documents(pools).breaks == ()
