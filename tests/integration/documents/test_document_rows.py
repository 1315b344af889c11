"""Constraints on the rows of documents: invalid rows that the database refuses."""

from typing import Any

import pytest
from sqlalchemy import Connection
from sqlalchemy.exc import IntegrityError

from staging_api.db.engine import Database
from staging_api.documents.rows import commit_rows, content_rows, revision_rows
from staging_api.documents.stored import (
    ContentRef,
    DocumentElsewhere,
    Stamp,
    StoredBody,
    StoredContent,
    Versions,
)
from staging_api.locks.model import new_id
from tests.rows import execute, refused_by_database, select

LAYERING_POLICY = "deckhand/LayeringPolicy/v1"
SCRIPT = "pegleg/Script/v1"
STAMP = Stamp("tester", "here:1", None, "because", new_id(), 7)


def content(conn: Connection, digit: str, *documents: tuple[str, str]) -> int:
    """Insert a content with these documents, and return its id."""
    bodies = [
        StoredBody(place, schema, name, "site", False, "cleartext", "{}", None)
        for place, (schema, name) in enumerate(documents)
    ]
    return content_rows.add_content(conn, StoredContent(digit * 64, b"", 0, None, bodies))


def revision(
    database: Database, number: int, **changed: tuple[Any, ...] | None
) -> DocumentElsewhere | None:
    """Add a revision that changes collections; a content is its digit and its documents."""
    with database.begin() as conn:
        revision_rows.add_revision(
            conn, number, "rolled_back", STAMP, digest="0" * 64, copied_from=0
        )
        contents: dict[str, int | None] = {}
        for name, documents in changed.items():
            contents[name] = content(conn, documents[0], *documents[1:]) if documents else None
        return revision_rows.change(conn, number, contents)


def state(database: Database, number: int) -> dict[str, str]:
    """Return the first digit of each collection's digest."""
    with database.connect() as conn:
        return {name: held.digest[0] for name, held in revision_rows.state(conn, number).items()}


def test_each_revision_has_what_it_had(database: Database) -> None:
    assert revision(database, 1, a=("1", (SCRIPT, "one")), b=("2", (SCRIPT, "two"))) is None
    assert revision(database, 2, a=("3", (SCRIPT, "three"))) is None
    assert revision(database, 3, b=None) is None
    assert revision(database, 4, a=("1", (SCRIPT, "one")), b=("2", (SCRIPT, "two"))) is None
    found = [state(database, number) for number in range(5)]
    assert found == [{}, {"a": "1", "b": "2"}, {"a": "3", "b": "2"}, {"a": "3"}, found[1]]
    with database.connect() as conn:
        assert revision_rows.versions(conn) == Versions(4, 0, 0, 0)
        assert revision_rows.state(conn, 4)["a"] == ContentRef(
            revision_rows.state(conn, 1)["a"].content_id, "1" * 64
        )


def test_a_document_moves_from_one_collection_to_another_at_once(database: Database) -> None:
    revision(database, 1, a=("1", (SCRIPT, "one")), b=("2", (SCRIPT, "two")))
    moved = {"a": ("3", (SCRIPT, "two")), "b": ("4", (SCRIPT, "one"))}
    assert revision(database, 2, **moved) is None
    assert select(
        database,
        "SELECT p.name, c.name FROM document_places p"
        " JOIN document_collections c ON c.id = p.collection_id"
        " WHERE p.until_revision IS NULL ORDER BY p.name",
    ) == [("one", "b"), ("two", "a")]


@pytest.mark.parametrize(
    ("here", "there"),
    [((SCRIPT, "one"), (SCRIPT, "one")), ((LAYERING_POLICY, "x"), (LAYERING_POLICY, "y"))],
)
def test_a_document_in_two_collections_is_named(
    database: Database, here: tuple[str, str], there: tuple[str, str]
) -> None:
    revision(database, 1, a=("1", here))
    revision(database, 2, b=("2", (SCRIPT, "other")))
    found = revision(database, 3, c=("3", there))
    assert found == DocumentElsewhere(*there, "a")


@pytest.mark.parametrize(
    ("schema", "name", "constraint"),
    [
        (SCRIPT, "one", "document_places_current_key"),
        (LAYERING_POLICY, "second", "document_places_one_layering_policy_key"),
    ],
)
def test_the_database_refuses_what_the_code_would_let_through(
    database: Database, schema: str, name: str, constraint: str
) -> None:
    documents = ((SCRIPT, "one"), (LAYERING_POLICY, "first"))
    revision(database, 1, a=("1", *documents), b=("2", (SCRIPT, "two")))
    revision(database, 2, c=("3", (SCRIPT, "three")))
    with pytest.raises(IntegrityError, match=constraint):
        execute(
            database,
            "INSERT INTO document_places (schema, name, replacement, first_revision, collection_id)"
            " SELECT :schema, :name, false, 2, id FROM document_collections WHERE name = 'b'",
            schema=schema,
            name=name,
        )


@pytest.mark.parametrize(
    "statement",
    [
        "UPDATE document_places SET until_revision = 2 WHERE name = 'gone'",
        "UPDATE document_places SET name = 'other' WHERE name = 'one'",
        "DELETE FROM document_places",
        (
            "INSERT INTO document_places (schema, name, replacement, first_revision, collection_id)"
            " SELECT 'a/B/v1', 'late', false, 1, id FROM document_collections WHERE name = 'a'"
        ),
        "UPDATE document_collection_versions SET content_id = content_id + 1",
        "UPDATE document_revisions SET caller = 'nobody'",
        "DELETE FROM document_revisions",
        "UPDATE document_events SET actor = 'nobody'",
        "DELETE FROM document_events",
        "TRUNCATE document_events",
    ],
)
def test_history_is_not_changed(database: Database, statement: str) -> None:
    revision(database, 1, a=("1", (SCRIPT, "one"), (SCRIPT, "gone")))
    revision(database, 2, a=("2", (SCRIPT, "one")))
    revision(database, 3, b=("3", (SCRIPT, "three")))
    before = select(database, "SELECT * FROM document_places ORDER BY 1, 2, 3, 4")
    with refused_by_database("refused|only once|foreign key"):
        execute(database, statement)
    assert select(database, "SELECT * FROM document_places ORDER BY 1, 2, 3, 4") == before


def test_every_change_is_an_event_of_one_chain(database: Database) -> None:
    revision(database, 1, a=("1", (SCRIPT, "one")))
    with database.begin() as conn:
        commit_rows.add_commit(conn, 1, STAMP, forced=False, confirm_seconds=600)
        commit_rows.set_tag(conn, 1, "good", {"n": 1}, STAMP)
        commit_rows.set_tag(conn, 1, "good", {"n": 2}, STAMP)
        assert commit_rows.confirm(conn, 1, "another")
        assert commit_rows.remove_tag(conn, 1, "good", "third")
    events = select(
        database,
        "SELECT number, kind, actor, reason, fence, digest, previous_digest FROM document_events"
        " ORDER BY number",
    )
    assert [(kind, actor) for _, kind, actor, *_ in events] == [
        ("revision", "tester"),
        ("commit", "tester"),
        ("tag", "tester"),
        ("tag", "tester"),
        ("confirm", "another"),
        ("untag", "third"),
    ]
    assert events[0][3:5] == ("because", 7)
    digests = [event[5] for event in events]
    assert [event[6] for event in events] == [None, *digests[:-1]]
