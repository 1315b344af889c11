"""``audit verify`` on the record of documents: intact, and with a break that it names."""

import json

import pytest
from sqlalchemy import text

from staging_api.cli import main
from staging_api.db.engine import Database
from staging_api.documents.audit import verify_documents
from tests.documents import DocumentApi, document, policy

_REASON = 'because of ü, "quotes", a \\ and \u2028'


@pytest.fixture
def recorded(site: DocumentApi) -> DocumentApi:
    """Return a site with events of every kind."""
    site.add("b", document("other"))
    site.committed("a", document("one"), policy())
    answer = site.ask(
        "PUT", "/document-revisions/2/tags/good", {"data": {"é": [1, None]}, "reason": _REASON}
    )
    assert answer.status == 200
    assert site.ask("DELETE", "/document-revisions/2/tags/good").status == 200
    site.add("a", document("one", 2), policy())
    assert site.commit(confirm_within=600).status == 200
    assert site.ask("POST", "/document-revisions/3/confirm").status == 200
    return site


def tamper(database: Database, statement: str) -> None:
    """Change rows while triggers are off, as only a superuser can."""
    with database.begin() as conn:
        conn.execute(text("SET LOCAL session_replication_role = 'replica'"))
        assert conn.execute(text(statement)).rowcount


def test_an_untouched_record_is_whole(recorded: DocumentApi, database: Database) -> None:
    assert recorded is not None
    verdict = verify_documents(database)
    assert verdict.breaks == ()
    assert verdict.events == 8
    assert len(verdict.head) == 64


def test_an_empty_record_is_whole(site: DocumentApi, database: Database) -> None:
    assert site is not None
    verdict = verify_documents(database)
    assert (verdict.events, verdict.head, verdict.breaks) == (0, "", ())


@pytest.mark.parametrize(
    ("statement", "revision", "what"),
    [
        ("UPDATE document_events SET actor = 'x' WHERE number = 4", 2, "it was altered"),
        ("UPDATE document_events SET detail = '{}' WHERE number = 4", 2, "it was altered"),
        ("UPDATE document_events SET at = at + interval '1 us' WHERE number = 4", 2, "altered"),
        ("DELETE FROM document_events WHERE number = 4", 2, "event 4 is gone"),
        ("DELETE FROM document_events WHERE number = 1", 1, "event 1 is gone"),
        ("DELETE FROM document_events WHERE kind = 'revision' AND revision = 3", 3, "has no event"),
        ("DELETE FROM document_commits WHERE revision = 3", 3, "its commit is gone"),
        ("DELETE FROM document_revisions WHERE number = 3", 3, "its row is gone"),
        (
            "UPDATE document_revisions SET digest = repeat('0', 64) WHERE number = 3",
            3,
            "event says",
        ),
        ("UPDATE document_commits SET caller = 'x' WHERE revision = 3", 3, "as its event says"),
        (
            "UPDATE document_events SET previous_digest = repeat('0', 64) WHERE number = 5",
            2,
            "does not follow",
        ),
    ],
)
def test_what_was_altered_is_found_and_nothing_else(
    recorded: DocumentApi, database: Database, statement: str, revision: int, what: str
) -> None:
    assert recorded is not None
    tamper(database, statement)
    found = verify_documents(database).breaks
    assert any(what in each.what for each in found), found
    assert revision in {each.revision for each in found}
    if "DELETE" not in statement:
        assert len(found) == 1


def test_the_verb_walks_documents_too(
    recorded: DocumentApi,
    database: Database,
    database_url: str,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    assert recorded is not None
    monkeypatch.setenv("STAGING_DATABASE_URL", database_url)

    def code(*options: str) -> object:
        with pytest.raises(SystemExit) as ended:
            main(["audit", "verify", *options])
        return ended.value.code

    assert code("--json") == 0
    documents = json.loads(capsys.readouterr().out)["documents"]
    assert documents["events"] == 8
    assert code("--expect-documents", documents["head"]) == 0
    assert "8 events of documents are whole" in capsys.readouterr().out
    assert code("--expect-documents", "0" * 64) == 1
    # Before the first of these events there was no head.
    assert code("--until", "2001-01-01", "--expect-documents", "") == 0
    tamper(database, "UPDATE document_events SET reason = 'x' WHERE number = 2")
    assert code("--json") == 1
    assert "it was altered" in capsys.readouterr().out
