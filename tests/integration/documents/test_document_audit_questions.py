"""Auditors' questions about documents, on two authors, two collections and two site actions.

The queries are those of docs/how-to/audit.md, run with the role of auditors.
"""

import re
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import text

from staging_api.db.engine import Database
from tests.documents import SCRIPT, DocumentApi, document, policy, secret

PAGE = (Path(__file__).parents[3] / "docs" / "how-to" / "audit.md").read_text()
COMMITTED, SITE_AT, PUT_IN = 11, 12, 13


@pytest.fixture
def authors(callers: dict[str, DocumentApi]) -> tuple[DocumentApi, DocumentApi]:
    """Return two callers who may change documents."""
    return callers["stager"], callers["operator"]


def ask(database: Database, question: int, **given: Any) -> list[dict[str, Any]]:
    """Return the rows that answer a question of the page, as an auditor."""
    found = re.search(rf"^## {question}\..*?```sql\n(.*?);\n```", PAGE, re.DOTALL | re.MULTILINE)
    assert found
    with database.begin() as conn:
        conn.execute(text("SET LOCAL ROLE staging_audit"))
        return [dict(row._mapping) for row in conn.execute(text(found[1]), given)]


def moment(database: Database) -> datetime:
    """Return the current time of the database's clock."""
    with database.begin() as conn:
        now: datetime = conn.execute(text("SELECT clock_timestamp()")).scalar_one()
    return now


def post(api: DocumentApi, collection: str, *documents: Any, reason: str) -> int:
    answer = api.post(collection, *documents, buffermode="append", reason=reason)
    assert answer.status == 201, answer.body
    number: int = answer.json["revision"]
    return number


def commit(api: DocumentApi, **query: Any) -> int:
    answer = api.commit(**query)
    assert answer.status == 200, answer.body
    number: int = answer.json["revision"]
    return number


def test_who_committed_what_when_and_why(
    authors: tuple[DocumentApi, DocumentApi], database: Database
) -> None:
    stager, operator = authors
    began = moment(database)
    post(stager, "a", policy(), document("one"), reason="to begin")
    post(operator, "b", document("two"), reason="a second rack")
    first = commit(operator, reason="reviewed")
    between = moment(database)
    post(stager, "a", policy(), document("one", 2), reason="a new value")
    assert operator.post("b", buffermode="append", empty_collection="true").status == 201
    second = commit(stager, reason="the rack is gone", force="true")
    everything = {"since": began, "until": datetime.now(UTC) + timedelta(days=1)}
    found = ask(database, COMMITTED, **everything)
    columns = ("revision", "committed_by", "reason", "collection", "change", "posted_by")
    assert [tuple(row[name] for name in columns) for row in found] == [
        (first, "operator", "reviewed", "a", "created", "stager"),
        (first, "operator", "reviewed", "b", "created", "operator"),
        (second, "stager", "the rack is gone", "a", "modified", "stager"),
        (second, "stager", "the rack is gone", "b", "deleted", "operator"),
    ]
    assert [row["posted_because"] for row in found] == [
        *("to begin", "a second rack", "a new value"),
        None,
    ]
    assert all(row["posted_at"] <= row["committed_at"] for row in found)
    assert {row["forced"] for row in found} == {False}
    later = ask(database, COMMITTED, since=between, until=everything["until"])
    assert {row["revision"] for row in later} == {second}
    assert ask(database, COMMITTED, since=began, until=began) == []


def test_documents_that_a_commit_did_not_change_are_not_listed(
    authors: tuple[DocumentApi, DocumentApi], database: Database
) -> None:
    stager, operator = authors
    post(stager, "a", policy(), document("one"), reason="to begin")
    commit(stager)
    post(operator, "a", policy(), document("one", 2), reason="a mistake")
    assert operator.ask("DELETE", "/document-buffer/a").status == 200
    post(operator, "b", document("two"), reason="better")
    second = commit(operator)
    found = ask(database, COMMITTED, since=datetime(2000, 1, 1, tzinfo=UTC), until=moment(database))
    assert [(row["revision"], row["collection"]) for row in found] == [(1, "a"), (second, "b")]


def test_which_revision_the_site_was_at(
    authors: tuple[DocumentApi, DocumentApi], database: Database
) -> None:
    stager, operator = authors
    moments, revisions = [moment(database)], []
    for value, outcome in ((1, "success"), (2, "failure")):
        post(stager, "a", policy(), document("one", value), reason="change")
        post(operator, "b", document("two", value), reason="change")
        revisions.append(commit(operator, reason=f"value {value}"))
        moments.append(moment(database))
        body = {"outcome": outcome, "reason": f"it was a {outcome}"}
        assert stager.ask("POST", "/document-site-actions", body).status == 201
        moments.append(moment(database))
    first, second = revisions
    found = [
        {row["version"]: row["revision"] for row in ask(database, SITE_AT, moment=each)}
        for each in moments
    ]
    assert found == [
        {},
        {"committed": first},
        {"committed": first, "last_site_action": first, "successful_site_action": first},
        {"committed": second, "last_site_action": first, "successful_site_action": first},
        {"committed": second, "last_site_action": second, "successful_site_action": first},
    ]
    rows = {row["version"]: row for row in ask(database, SITE_AT, moment=moments[-1])}
    assert (rows["committed"]["actor"], rows["committed"]["reason"]) == ("operator", "value 2")
    last = rows["last_site_action"]
    assert (last["actor"], last["reason"]) == ("stager", "it was a failure")


def test_who_put_a_document_in(
    authors: tuple[DocumentApi, DocumentApi], database: Database
) -> None:
    stager, operator = authors
    first = post(stager, "a", policy(), document("one"), reason="to begin")
    post(operator, "b", document("two"), secret("hidden"), reason="another")
    committed = commit(operator)
    second = post(operator, "a", policy(), document("one", 2), reason="a new value")
    commit(stager)
    third = post(stager, "a", policy(), document("one", 2), document("three"), reason="more")
    found = ask(database, PUT_IN, schema=SCRIPT, name="one")
    columns = ("revision", "caller", "reason", "collection", "differs", "committed_by", "gone_in")
    assert [tuple(row[name] for name in columns) for row in found] == [
        (first, "stager", "to begin", "a", True, "operator", second),
        (second, "operator", "a new value", "a", True, "stager", third),
        (third, "stager", "more", "a", False, None, None),
    ]
    [other] = ask(database, PUT_IN, schema=SCRIPT, name="two")
    assert (other["caller"], other["collection"], other["differs"]) == ("operator", "b", True)
    # The document is still in the buffer, and was in the buffer at the time of the commit.
    assert (other["committed_by"], other["gone_in"]) == ("operator", None)
    [hidden] = ask(database, PUT_IN, schema=SCRIPT, name="hidden")
    assert (hidden["differs"], hidden["storage_policy"]) == (None, "encrypted")
    assert committed == hidden["revision"]
    assert ask(database, PUT_IN, schema=SCRIPT, name="none") == []
