"""Secrets: encrypted in the database, hidden by role in responses, and kept when keys change."""

import json
from base64 import b64encode
from pathlib import Path

import pytest
from sqlalchemy import text

from staging_api.db.engine import Database
from staging_api.documents.changing import ChangeOrigin
from staging_api.documents.rotation import rotate
from staging_api.documents.sealing import new_key
from staging_api.errors import DocumentsUnreadable, Invalid
from staging_api.locks.hold import RequestOrigin
from tests.documents import (
    API,
    DocumentApi,
    document,
    document_api,
    policy,
    secret,
    stream,
)
from tests.rows import dump, execute, refused_by_database, select

SECRET = "swordfish"
AUTHOR = ChangeOrigin(RequestOrigin("tester"))


def everything(database: Database) -> str:
    """Return all rows of all tables as text, with bytes in hex."""
    return json.dumps(dump(database, ("document_keys",)))


def traces(value: str) -> list[str]:
    """Return the spellings in which a value would appear in a dump."""
    return [value, value.encode().hex(), b64encode(value.encode()).decode()]


def test_nothing_of_a_secret_is_in_the_tables(site: DocumentApi, database: Database) -> None:
    cloud = document("open", {"user": "in the clear"})
    site.committed("a", policy(), cloud, secret("password", {"deep": [SECRET]}))
    rows = everything(database)
    for trace in traces(SECRET):
        assert trace not in rows
    assert "in the clear" in rows, "and what is no secret can be asked for in SQL"
    assert select(
        database,
        "SELECT name, body IS NULL, sealed IS NULL FROM document_bodies ORDER BY name",
    ) == [
        ("layering-policy", False, True),
        ("open", False, True),
        ("password", True, False),
    ]


def test_equal_secrets_are_not_seen_to_be_equal(site: DocumentApi, database: Database) -> None:
    site.add("a", secret("one"))
    site.add("b", secret("two"))
    values = [row[0] for row in select(database, "SELECT sealed FROM document_bodies")]
    assert len({bytes(value)[:12] for value in values}) == len(values) == 2
    # The same collection, posted again, is still recognized as unchanged.
    assert site.post("b", secret("two"), buffermode="append").status == 409
    assert site.post("b", secret("two"), buffermode="replace").status == 201


def test_a_sealed_value_does_not_open_in_another_row(site: DocumentApi, database: Database) -> None:
    site.add("a", secret("one", "first secret"))
    site.add("b", secret("two", "second secret"))
    execute(
        database,
        "UPDATE document_contents a SET posted = b.posted FROM document_contents b"
        " WHERE a.id < b.id",
    )
    answer = site.get("/configdocs/a", cleartext_secrets="true")
    assert answer.status == 500
    assert "second secret" not in answer.body.decode()


def test_an_answer_says_whether_secrets_are_hidden_in_it(site: DocumentApi) -> None:
    site.add("a", secret("one"))
    site.add("b", document("open"))
    for collection, asked, said in (
        ("a", {}, "true"),
        ("a", {"cleartext_secrets": "true"}, None),
        ("b", {}, None),
    ):
        shown = site.get(f"/configdocs/{collection}", **asked)
        assert shown.headers.get("X-Redacted") == said, (collection, asked)
        assert ("REDACTED" in shown.body.decode()) is (said == "true")
        known = site.send(
            "GET",
            f"{API}/configdocs/{collection}?cleartext-secrets={bool(asked)}",
            headers={"If-None-Match": shown.headers["Etag"]},
        )
        assert (known.status, known.headers.get("X-Redacted")) == (304, said)


def test_rendered_documents_say_whether_secrets_are_hidden_in_them(site: DocumentApi) -> None:
    def said(**asked: str) -> str | None:
        answer = site.get("/renderedconfigdocs", **asked)
        assert answer.status == 200
        return answer.headers.get("X-Redacted")

    site.add("a", policy(), document("open"))
    assert said() is None
    site.add("b", secret("one"))
    assert said() == "true"
    assert said(cleartext_secrets="true") is None


def test_an_auditor_may_read_the_tables_but_not_the_keys(
    site: DocumentApi, database: Database
) -> None:
    site.add("a", secret("one"))
    with database.begin() as conn:
        conn.execute(text("SET LOCAL ROLE staging_audit"))
        assert conn.execute(text("SELECT count(*) FROM document_revisions")).scalar_one() == 1
    with refused_by_database("permission denied"), database.begin() as conn:
        conn.execute(text("SET LOCAL ROLE staging_audit"))
        conn.execute(text("SELECT * FROM document_keys"))


@pytest.mark.parametrize("made", [True, False])
def test_rotation_seals_all_anew_and_old_processes_read_on(
    site: DocumentApi, other_site: DocumentApi, database: Database, made: bool
) -> None:
    posted = stream(secret("one"), document("open"))
    site.post_text("a", posted)
    site.committed("b", secret("two"), policy())
    assert other_site.get("/configdocs/b", version="committed").status == 200
    before = select(database, "SELECT key_id, posted FROM document_contents ORDER BY id")
    count = rotate(site.services.documents, AUTHOR, new_key=made)
    after = select(database, "SELECT key_id, posted FROM document_contents ORDER BY id")
    assert count == (2 if made else 0)
    assert {key for key, _ in before} == {"first"}
    assert ({key for key, _ in after} == {"first"}) is not made
    assert (bytes(before[0][1]) == bytes(after[0][1])) is not made
    for each in (site, other_site):
        shown = each.get("/configdocs/a", version="committed", cleartext_secrets="true")
        assert shown.body == posted
    assert rotate(site.services.documents, AUTHOR, new_key=False) == 0
    # Equal values are still recognized as equal.
    assert site.post_text("a", posted).status == 400


def test_after_a_rotation_other_processes_seal_with_the_new_key(
    site: DocumentApi, other_site: DocumentApi, database: Database
) -> None:
    other_site.add("a", secret("one"), document("open"))
    assert rotate(site.services.documents, AUTHOR, new_key=True) == 1
    other_site.add("b", secret("two"))
    keys = select(database, "SELECT DISTINCT key_id FROM document_contents")
    assert len(keys) == 1
    assert keys != [("first",)]
    assert rotate(site.services.documents, AUTHOR, new_key=False) == 0


@pytest.fixture
def keys_file(tmp_path: Path) -> Path:
    """Return the path of a file of keys."""
    file = tmp_path / "keys"
    lines = [f"{name} {b64encode(new_key()).decode()}" for name in ("equality", "k1")]
    file.write_text("\n".join(lines))
    return file


def test_keys_of_a_file_are_nowhere_in_the_database(
    database: Database, database_url: str, tmp_path: Path, keys_file: Path
) -> None:
    with document_api(database_url, tmp_path, documents_keys_file=str(keys_file)) as site:
        site.add("a", secret("one"))
        assert select(database, "SELECT * FROM document_keys") == []
        with pytest.raises(Invalid, match="put a new one above"):
            rotate(site.services.documents, AUTHOR, new_key=True)
        equality, old = keys_file.read_text().splitlines()
        new = f"k2 {b64encode(new_key()).decode()}"
        keys_file.write_text(f"{equality}\n{new}\n{old}")
        assert rotate(site.services.documents, AUTHOR, new_key=False) == 1
        keys_file.write_text(f"{equality}\n{new}")
    with document_api(database_url, tmp_path, documents_keys_file=str(keys_file)) as site:
        assert SECRET.encode() in site.get("/configdocs/a", cleartext_secrets="true").body


def test_while_the_file_of_keys_is_written_documents_are_sealed_with_those_of_before(
    database: Database, database_url: str, tmp_path: Path, keys_file: Path
) -> None:
    with document_api(database_url, tmp_path, documents_keys_file=str(keys_file)) as site:
        site.add("a", secret("one"))
        before = keys_file.read_text()
        keys_file.write_text("equality")
        site.add("b", secret("two"))
        keys_file.write_text(before.replace("k1", f"k2 {b64encode(new_key()).decode()}\nk1"))
        site.add("c", secret("three"))
    sealed = select(database, "SELECT key_id FROM document_contents ORDER BY id")
    assert sealed == [("k1",), ("k1",), ("k2",)]


def test_a_lost_key_is_reported_and_does_not_stop_the_rest(
    database: Database, database_url: str, tmp_path: Path, keys_file: Path
) -> None:
    assert database is not None
    with document_api(database_url, tmp_path, documents_keys_file=str(keys_file)) as site:
        site.add("a", secret("one"))
        site.add("b", document("open"))
    equality = keys_file.read_text().splitlines()[0]
    keys_file.write_text(f"{equality}\nk9 {b64encode(new_key()).decode()}")
    with document_api(database_url, tmp_path, documents_keys_file=str(keys_file)) as site:
        answer = site.get("/configdocs/a")
        assert answer.status == 500
        assert "'k1'" in answer.json["reason"]
        assert site.get("/configdocs/b").status == 200
        assert set(site.status()) == {"a", "b"}
        with pytest.raises(DocumentsUnreadable):
            rotate(site.services.documents, AUTHOR, new_key=False)


# Callers of different roles


@pytest.mark.parametrize("path", ["/configdocs/a", "/renderedconfigdocs"])
def test_a_viewer_and_an_administrator_never_see_each_others_answer(
    callers: dict[str, DocumentApi], path: str
) -> None:
    viewer, operator = callers["viewer"], callers["operator"]
    operator.add("a", policy(), secret("password"))
    for _ in range(3):
        shown = operator.get(path, cleartext_secrets="true")
        hidden, asked = viewer.get(path), viewer.get(path, cleartext_secrets="true")
        unasked = operator.get(path)
        assert SECRET.encode() in shown.body
        for each in (hidden, unasked):
            assert each.status == 200
            assert SECRET.encode() not in each.body
            assert each.headers["Etag"] != shown.headers["Etag"]
        assert asked.status == 403
        assert asked.json["message"] == "Forbidden"
        assert asked.json["reason"] == "Credentials do not permit access"
        assert SECRET not in asked.body.decode()
        # The ETag of another caller's response gives no access to that response.
        known = {"If-None-Match": shown.headers["Etag"]}
        assert viewer.send("GET", f"/api/v1.0{path}", None, known).status == 200


@pytest.mark.parametrize("rendered", ["false", "true"])
def test_differences_show_secrets_only_to_operators_who_request_them(
    callers: dict[str, DocumentApi], rendered: str
) -> None:
    callers["operator"].committed("a", policy(), secret("password", SECRET))
    callers["operator"].add("a", policy(), secret("password", "another"))
    path = "/document-differences"
    for _ in range(2):
        shown = callers["operator"].get(path, rendered=rendered, cleartext_secrets="true")
        assert SECRET.encode() in shown.body
        for name in ("operator", "viewer"):
            hidden = callers[name].get(path, rendered=rendered)
            assert len(hidden.json["changes"]) == 1
            assert SECRET.encode() not in hidden.body
        refused = callers["viewer"].get(path, rendered=rendered, cleartext_secrets="true")
        assert (refused.status, SECRET.encode() in refused.body) == (403, False)


def test_the_token_of_openstack_clients_is_a_credential(callers: dict[str, DocumentApi]) -> None:
    assert callers["viewer"].get("/configdocs").status == 200
    answer = callers["anonymous"].get("/configdocs")
    assert (answer.status, answer.json["message"]) == (401, "Unauthenticated")
    assert answer.json["reason"] == "Credentials are not established"
    wrong = {"X-Auth-Token": "not a token"}
    assert callers["anonymous"].send("GET", "/api/v1.0/configdocs", None, wrong).status == 401
    both = {"Authorization": "Bearer nonsense"}
    assert callers["viewer"].send("GET", "/api/v1.0/configdocs", None, both).status == 401
    assert callers["anonymous"].get("/health").status == 204
    assert callers["anonymous"].send("GET", "/versions").status == 200


@pytest.mark.parametrize("name", ["viewer", "auditor"])
def test_readers_change_nothing(callers: dict[str, DocumentApi], name: str) -> None:
    callers["stager"].committed("a", policy())
    reader = callers[name]
    for answer in (
        reader.post("b", document("one")),
        reader.commit(),
        reader.ask("DELETE", "/document-buffer"),
        reader.ask("POST", "/document-revisions/1/rollback", {}),
        reader.ask("PUT", "/document-revisions/1/tags/x", {}),
        reader.ask("POST", "/document-site-actions", {"outcome": "success"}),
    ):
        assert answer.status == 403
    assert reader.post("b", document("one")).json["message"] == "Forbidden"
    assert reader.get("/configdocs").status == 200


def test_messages_and_refusals_quote_no_secret(site: DocumentApi) -> None:
    wrong = secret("password", {"deep": SECRET}, substitutions=[])
    wrong["metadata"]["labels"] = {"x": [SECRET]}
    answer = site.post("a", wrong)
    assert answer.status == 400
    assert SECRET not in answer.body.decode()
