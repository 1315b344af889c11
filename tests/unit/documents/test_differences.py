"""Differences between two sets of documents, and their redaction for a caller."""

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from staging_api.documents.differences import ChangeKind, compare
from staging_api.documents.paths import path_text
from tests.document_sets import SECRET, doc, documents, rendered, secret, sub


def places(old: Any, new: Any) -> list[tuple[str, str, Any, Any]]:
    """Return the changed places of one document."""
    changes = compare(documents(doc("one", old)), documents(doc("one", new)))
    return [
        (each.change.value, path_text(each.path), each.old, each.new)
        for change in changes
        for each in change.paths
    ]


@pytest.mark.parametrize(
    ("old", "new", "expected"),
    [
        ({"a": 1}, {"a": 2}, [("modified", ".data.a", 1, 2)]),
        ({"a": 1}, {"a": True}, [("modified", ".data.a", 1, True)]),
        ({"a": 1}, {}, [("deleted", ".data.a", 1, None)]),
        ({}, {"a": None}, [("created", ".data.a", None, None)]),
        ({"a": {"b": 1}}, {"a": 5}, [("modified", ".data.a", {"b": 1}, 5)]),
        ([1, 2, 3], [0, 1, 2, 3], [("created", ".data[0]", None, 0)]),
        ([1, 2, 3], [1, 3], [("deleted", ".data[1]", 2, None)]),
        ([{"a": 1}], [{"a": 2}], [("modified", ".data[0].a", 1, 2)]),
        ({"x.y": 1}, {"x.y": 2}, [("modified", ".data['x.y']", 1, 2)]),
        ({"a": 1}, {"a": 1}, []),
    ],
)
def test_changes_are_found_place_by_place(old, new, expected):
    assert places(old, new) == expected


def test_documents_come_by_collection_and_say_how_they_changed():
    old = documents(doc("gone", 1), doc("same", 1), doc("moved", 1), collection="a")
    new = documents(doc("same", 1), collection="a") + documents(
        doc("moved", 1), doc("made", 1), collection="b"
    )
    found = [
        (each.collection, each.document.name, each.change, each.moved_from)
        for each in compare(old, new)
    ]
    assert found == [
        ("a", "gone", ChangeKind.DELETED, None),
        ("b", "made", ChangeKind.CREATED, None),
        ("b", "moved", ChangeKind.MODIFIED, "a"),
    ]


def test_equal_sets_have_no_changes_in_either_order():
    one, two = documents(doc("a", 1), doc("b", 2)), documents(doc("b", 2), doc("a", 1))
    assert compare(one, two) == ()
    assert compare((), ()) == ()


def test_a_change_has_a_unified_diff():
    [change] = compare(documents(doc("one", {"a": 1})), documents(doc("one", {"a": 2})))
    lines = change.text.splitlines()
    assert lines[:2] == [
        "--- one site/Thing/v1 one on layer global",
        "+++ one site/Thing/v1 one on layer global",
    ]
    assert "-  a: 1" in lines
    assert "+  a: 2" in lines


def test_a_changed_secret_is_shown_as_changed_and_no_more():
    old, new = documents(secret("one", "swordfish")), documents(secret("one", "haddock"))
    [change] = compare(old, new)
    assert change.change is ChangeKind.MODIFIED
    assert [path_text(each.path) for each in change.paths] == [".data"]
    assert "swordfish" not in repr(change)
    assert "haddock" not in repr(change)
    [revealed] = compare(old, new, reveal=True)
    assert (revealed.paths[0].old, revealed.paths[0].new) == ("swordfish", "haddock")


def test_keys_inside_a_secret_are_not_shown():
    old, new = documents(secret("one", {"haddock": 1})), documents(secret("one", {"swordfish": 2}))
    [change] = compare(old, new)
    assert "haddock" not in repr(change)
    assert "swordfish" not in repr(change)
    assert [path_text(each.path) for each in change.paths] == [".data"]


def test_a_secret_that_was_open_before_is_masked_on_both_sides():
    """A value that became secret must not be shown by the comparison with its old state."""
    old, new = documents(doc("one", "swordfish")), documents(doc("one", "swordfish"))
    hidden = documents(doc("one", "swordfish", policy="encrypted"))
    assert compare(old, new) == ()
    [change] = compare(old, hidden)
    assert "swordfish" not in repr(change)


def test_rendered_documents_are_compared_with_their_secrets_masked():
    def one(word: str, open_value: int) -> Any:
        subs = [sub("pass", ".deep.secret", schema=SECRET)]
        return rendered(secret("pass", word), doc("one", {"open": open_value}, subs=subs)).documents

    changes = compare(one("swordfish", 1), one("haddock", 2))
    assert "swordfish" not in repr(changes)
    assert "haddock" not in repr(changes)
    [change] = [each for each in changes if each.document.name == "one"]
    assert [path_text(each.path) for each in change.paths] == [".data.deep.secret", ".data.open"]
    assert change.paths[1].new == 2


def test_a_rendered_document_whose_data_is_the_same_has_not_changed():
    before = rendered(doc("source", {"a": 1, "b": 1}), doc("one", {}, subs=[sub_a()]))
    after = rendered(doc("source", {"a": 1, "b": 2}), doc("one", {}, subs=[sub_a()]))
    changes = compare(before.documents, after.documents)
    assert [each.document.name for each in changes] == ["source"]


def sub_a() -> dict[str, Any]:
    return sub("source", ".v", path=".a")


VALUES = st.recursive(
    st.none() | st.booleans() | st.integers(0, 2) | st.sampled_from(["", "a"]),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.sampled_from("abc"), inner),
    max_leaves=8,
)


@given(VALUES, VALUES)
def test_there_are_changes_exactly_if_the_values_differ(old, new):
    one, two = documents(doc("one", old)), documents(doc("one", new))
    assert bool(places(old, new)) == (one[0].digest != two[0].digest)


def test_a_document_and_one_that_wrongly_replaces_it_are_two_also_on_one_layer():
    base, over = doc("one", 1), doc("one", 2, parent={"is": "p"}, replacement=True)
    both = documents(base, collection="a") + documents(over, collection="b")
    changed = documents(base, collection="a") + documents({**over, "data": 3}, collection="b")
    assert [each.collection for each in compare((), both)] == ["a", "b"]
    assert [each.collection for each in compare(both, changed)] == ["b"]
    assert [each.change.value for each in compare(both, both[:1])] == ["deleted"]
