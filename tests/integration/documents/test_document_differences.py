"""Differences between versions in API responses: by collection, document and path."""

from collections.abc import Mapping
from typing import Any

import pytest

from tests.documents import SCRIPT, DocumentApi, document, policy, secret

ROUTE = "/document-differences"


def compared(site: DocumentApi, **query: Any) -> Mapping[tuple[str, str], Any]:
    """Return the changed documents, by collection and name."""
    answer = site.ask("GET", ROUTE, **query)
    assert answer.status == 200, answer.body
    return {(each["collection"], each["document"]["name"]): each for each in answer.json["changes"]}


@pytest.fixture
def changed(site: DocumentApi) -> DocumentApi:
    """Return a site with two collections, one of them changed in the buffer."""
    taken = {"src": {"schema": SCRIPT, "name": "one", "path": ".deep.value"}}
    taken["dest"] = {"path": ".taken"}
    site.add("other", document("bystander", {"kept": 1}), document("leaves", {"a": 1}))
    uses = document("uses", {"own": 1}, substitutions=[taken])
    site.committed("a", policy(), document("one", {"deep": {"value": 1, "same": 2}}), uses)
    new = document("one", {"deep": {"value": 5, "same": 2}, "more": [True]})
    site.add("a", policy(), new, uses, secret("password"))
    return site


def test_the_buffer_is_compared_with_the_committed_version(changed: DocumentApi) -> None:
    found = compared(changed)
    assert found.keys() == {("a", "one"), ("a", "password")}
    assert found["a", "password"]["change"] == "created"
    assert found["a", "one"]["paths"] == [
        {"path": ".data.deep.value", "change": "modified", "old": 1, "new": 5},
        {"path": ".data.more", "change": "created", "old": None, "new": [True]},
    ]
    assert "-    value: 1" in found["a", "one"]["text"]


def test_rendered_it_shows_what_the_change_reaches(changed: DocumentApi) -> None:
    found = compared(changed, rendered="true")
    assert found.keys() == {("a", "one"), ("a", "password"), ("a", "uses")}
    assert found["a", "uses"]["paths"] == [
        {"path": ".data.taken", "change": "modified", "old": 1, "new": 5}
    ]


def test_versions_are_compared_in_either_order_and_by_any_revision(changed: DocumentApi) -> None:
    back = compared(changed, old="buffer", new="committed")
    assert back["a", "password"]["change"] == "deleted"
    assert back["a", "one"]["paths"][0]["old"] == 5
    assert compared(changed, old="2", new="2") == {}
    answer = changed.ask("GET", ROUTE, old="0", new="2").json
    assert (answer["old"], answer["new"]) == (0, 2)
    assert {each["change"] for each in answer["changes"]} == {"created"}
    assert {each["collection"] for each in answer["changes"]} == {"a", "other"}


def test_a_document_that_moves_names_where_from(changed: DocumentApi) -> None:
    changed.add("other", document("bystander", {"kept": 1}))
    changed.add("third", document("leaves", {"a": 1}))
    moved = compared(changed)["third", "leaves"]
    assert (moved["change"], moved["moved_from"], moved["paths"]) == ("modified", "other", [])


def test_without_a_buffer_nothing_differs_from_the_committed_version(changed: DocumentApi) -> None:
    assert changed.commit().status == 200
    assert changed.ask("GET", ROUTE).json == {"old": 3, "new": 3, "changes": [], "next": None}
    assert compared(changed, old="2", rendered="true").keys() == {
        ("a", "one"),
        ("a", "password"),
        ("a", "uses"),
    }


def test_two_empty_versions_have_no_differences(site: DocumentApi) -> None:
    assert site.ask("GET", ROUTE).json == {"old": 0, "new": 0, "changes": [], "next": None}
    assert site.ask("GET", ROUTE, rendered="true").json["changes"] == []


@pytest.mark.parametrize(
    ("query", "status"),
    [
        ({"old": "99"}, 404),
        ({"old": "last_site_action"}, 404),
        ({"new": "hippo"}, 400),
        ({"old": "-1"}, 400),
        ({"new": "9" * 29}, 404),
        ({"more": "1"}, 400),
        ({"rendered": "perhaps"}, 400),
    ],
)
def test_invalid_versions_are_refused(
    changed: DocumentApi, query: dict[str, str], status: int
) -> None:
    assert changed.ask("GET", ROUTE, **query).status == status


def test_documents_that_do_not_render_are_compared_as_posted(site: DocumentApi) -> None:
    site.add("a", document("one"))
    assert compared(site).keys() == {("a", "one")}
    assert site.ask("GET", ROUTE, rendered="true").status == 400


@pytest.mark.parametrize("rendered", ["false", "true"])
def test_secrets_are_masked_unless_requested(site: DocumentApi, rendered: str) -> None:
    source = {"schema": SCRIPT, "name": "password", "path": "."}
    uses = document(
        "uses", {"open": 1}, substitutions=[{"src": source, "dest": {"path": ".taken"}}]
    )
    site.committed("a", policy(), secret("password", "swordfish"), uses)
    site.add("a", policy(), secret("password", "marlin-by-night"), uses)
    answer = site.ask("GET", ROUTE, rendered=rendered)
    assert answer.status == 200
    assert answer.json["changes"]
    for word in (b"swordfish", b"marlin"):
        assert word not in answer.body
    shown = site.send("GET", f"/api/v1.0{ROUTE}?rendered={rendered}&cleartext-secrets=true").body
    assert b"swordfish" in shown
    assert b"marlin-by-night" in shown
    # A response for one caller is not reused for the next caller.
    assert site.ask("GET", ROUTE, rendered=rendered).body == answer.body
