"""Statements on a revision, commit, tag or content: rows of all others stay unchanged."""

from collections.abc import Callable
from typing import Any

import pytest
from sqlalchemy import Connection, text

from staging_api.db.engine import Database
from staging_api.documents.rows import commit_rows, content_rows, revision_rows
from staging_api.documents.stored import Stamp, StoredBody, StoredContent
from staging_api.locks.model import new_id

STAMP = Stamp("tester", "here:1", None, "because", new_id(), 7)
KEYS = {
    "document_revisions": "number::text",
    "document_commits": "revision::text",
    "document_tags": "revision || ' ' || tag",
    "document_contents": "left(digest, 1)",
    "document_bodies": """(SELECT left(c.digest, 1) FROM document_contents c
        WHERE c.id = content_id) || ' ' || position""",
}
Call = Callable[[Connection], Any]


@pytest.fixture
def conn(database: Database):
    """Yield a connection to four revisions of two collections, with tags and sealed contents.

    Three of the revisions are committed.
    """
    with database.begin() as made:
        content_rows.add_key(made, "old", b"k" * 32)
        content_rows.add_key(made, "new", b"l" * 32)
        for number, collection in ((1, "a"), (2, "b"), (3, "a"), (4, "b")):
            revision_rows.add_revision(
                made, number, "posted", STAMP, digest="0" * 64, collection=collection
            )
            revision_rows.change(made, number, {collection: sealed(made, number)})
            for tag in ("good", "better"):
                commit_rows.set_tag(made, number, tag, {"n": number}, STAMP)
        for number, seconds in ((1, 600), (2, None), (3, 900)):
            commit_rows.add_commit(made, number, STAMP, forced=False, confirm_seconds=seconds)
            if number == 1:
                assert commit_rows.confirm(made, 1, "another")
    with database.begin() as made:
        yield made


def sealed(conn: Connection, number: int) -> int:
    """Insert a content of two documents, both sealed with the old key."""
    bodies = [
        StoredBody(
            place, "pegleg/Script/v1", f"{number} {place}", "site", False, "encrypted", None, b"old"
        )
        for place in range(2)
    ]
    return content_rows.add_content(conn, StoredContent(str(number) * 64, b"old", 3, "old", bodies))


def all_rows(conn: Connection) -> dict[tuple[str, str], str]:
    return {
        (table, row.key): row.shown
        for table, key in KEYS.items()
        for row in conn.execute(text(f"SELECT {key} AS key, t::text AS shown FROM {table} t"))
    }


def content_of(conn: Connection, collection: str) -> int:
    return revision_rows.state(conn, 2)[collection].content_id


#: By name: the statement, its result, and the rows that differ afterwards.
CHANGES: dict[str, tuple[Call, Any, set[tuple[str, str]]]] = {
    "confirm": (lambda c: commit_rows.confirm(c, 3, "me"), True, {("document_commits", "3")}),
    "confirm one that is final": (lambda c: commit_rows.confirm(c, 2, "me"), False, set()),
    "confirm one that was": (lambda c: commit_rows.confirm(c, 1, "me"), False, set()),
    "undo": (lambda c: commit_rows.mark_undone(c, 3, 4), None, {("document_commits", "3")}),
    "tag again": (
        lambda c: commit_rows.set_tag(c, 2, "good", {"n": 9}, STAMP),
        None,
        {("document_tags", "2 good")},
    ),
    "take a tag": (
        lambda c: commit_rows.remove_tag(c, 2, "good", "me"),
        True,
        {("document_tags", "2 good")},
    ),
    "take a tag that is none": (lambda c: commit_rows.remove_tag(c, 2, "bad", "me"), False, set()),
    "seal anew": (
        lambda c: content_rows.reseal(c, content_of(c, "b"), "new", b"new", {1: b"new"}),
        None,
        {("document_contents", "2"), ("document_bodies", "2 1")},
    ),
}


@pytest.mark.parametrize("name", CHANGES)
def test_a_statement_changes_only_the_given_rows(conn: Connection, name: str) -> None:
    call, expected, changed = CHANGES[name]
    before = all_rows(conn)
    assert call(conn) == expected
    after = all_rows(conn)
    assert {key for key in before | after if before.get(key) != after.get(key)} == changed


def test_a_revision_is_shown_with_what_is_its_own(conn: Connection) -> None:
    found = revision_rows.list_revisions(conn, limit=9)
    assert [(each.number, each.collection) for each in found] == [
        *((4, "b"), (3, "a"), (2, "b"), (1, "a"))
    ]
    assert [[tag.data for tag in each.tags] for each in found] == [
        [{"n": n}] * 2 for n in (4, 3, 2, 1)
    ]
    assert [each.commit.confirmed_by for each in found if each.commit] == [None, None, "another"]
    assert revision_rows.find_revision(conn, 2) == found[2]
    assert revision_rows.list_revisions(conn, limit=9, before=2) == found[3:]


def test_commits_are_found_by_their_revision(conn: Connection) -> None:
    waiting = commit_rows.unconfirmed(conn)
    assert waiting is not None
    assert waiting.revision == 3
    assert [commit_rows.committed_before(conn, number) for number in (1, 2, 3, 4)] == [0, 1, 2, 3]
    assert commit_rows.overdue(conn) is None
    assert content_rows.sealed_by_others(conn, "old", 9) == []
    assert len(content_rows.sealed_by_others(conn, "new", 2)) == 2
