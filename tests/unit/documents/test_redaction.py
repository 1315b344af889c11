"""Redaction: secrets are masked wherever layering, replacement or substitution moved them."""

import json
from typing import Any

import pytest

from staging_api.documents.builds import named_by
from staging_api.documents.redaction import REDACTED, masked, redacted, redacted_document
from staging_api.documents.validation import validate
from staging_api.documents.validation.build_lists import BUILDS_SCHEMA
from tests.document_sets import SECRET, doc, documents, rendered, secret, sub

WORD = "swordfish"


def shown(*values: Any, name: str = "one") -> dict[str, Any]:
    """Return a rendered document as a caller without the permission sees it."""
    rendering = rendered(*values)
    found = rendering.get("site/Thing/v1", name)
    assert found is not None
    answer = redacted(found, rendering)
    assert WORD not in json.dumps(answer)
    # Redacting a response must not change the response for the next caller with the permission.
    assert redacted(found, rendering) == answer
    return answer


def from_secret(dest: Any, **source: Any) -> dict[str, Any]:
    return sub("pass", dest, schema=SECRET, **source)


def test_an_encrypted_document_shows_no_data():
    one = doc("one", {"a": WORD, "b": [1]}, policy="encrypted")
    answer = shown(one)
    assert answer == {**one, "data": REDACTED}


def test_a_substituted_secret_is_masked_at_its_place_and_nothing_else_is():
    answer = shown(secret("pass", WORD), doc("one", {"a": {"c": 1}}, subs=[from_secret(".a.b")]))
    assert answer["data"] == {"a": {"b": REDACTED, "c": 1}}
    [one] = answer["metadata"]["substitutions"]
    assert (one["src"]["path"], one["dest"]["path"]) == (REDACTED, REDACTED)
    assert one["src"]["name"] == "pass"


def test_paths_of_open_substitutions_stay():
    subs = [sub("open", ".x"), from_secret([{"path": ".y"}, {"path": ".z"}])]
    answer = shown(secret("pass", WORD), doc("open", 1), doc("one", {}, subs=subs))
    first, second = answer["metadata"]["substitutions"]
    assert first["dest"] == {"path": ".x"}
    assert second["dest"] == [{"path": REDACTED}, {"path": REDACTED}]
    assert answer["data"] == {"x": 1, "y": REDACTED, "z": REDACTED}


@pytest.mark.parametrize(
    "one",
    [
        from_secret({"path": ".t", "pattern": "X"}),
        from_secret({"path": ".", "pattern": "X", "recurse": {"depth": -1}}),
        from_secret({"path": ".t", "pattern": "X"}, pattern="sword(fish)", match_group=0),
    ],
)
def test_a_text_with_a_secret_in_it_is_masked_whole(one):
    answer = shown(secret("pass", WORD), doc("one", {"t": "-X-", "u": "open"}, subs=[one]))
    assert answer["data"] == {"t": REDACTED, "u": "open"}


def test_a_secret_equal_to_the_text_that_it_replaces_is_masked():
    one = from_secret({"path": ".t", "pattern": "X"})
    rendering = rendered(secret("pass", "X"), doc("one", {"t": "X"}, subs=[one]))
    found = rendering.get("site/Thing/v1", "one")
    assert found is not None
    assert redacted(found, rendering)["data"] == {"t": REDACTED}


def test_a_child_of_a_parent_with_a_substituted_secret_is_masked():
    parent = doc("base", {"o": 1}, labels={"is": "p"}, abstract=True, subs=[from_secret(".s")])
    answer = shown(
        secret("pass", WORD), parent, doc("one", {"m": 2}, layer="site", parent={"is": "p"})
    )
    assert answer["data"] == {"o": 1, "s": REDACTED, "m": 2}


def test_what_the_child_put_in_the_place_of_a_secret_is_its_own():
    parent = doc("base", {}, labels={"is": "p"}, subs=[from_secret(".s"), from_secret(".t")])
    child = doc("one", {"s": "open"}, layer="site", parent={"is": "p"})
    assert shown(secret("pass", WORD), parent, child)["data"] == {"s": "open", "t": REDACTED}


def test_a_child_of_an_encrypted_parent_shows_only_its_own():
    parent = doc("base", {"a": WORD, "b": {"c": WORD}}, labels={"is": "p"}, policy="encrypted")
    child = doc("one", {"b": {"d": 1}, "e": 2}, layer="site", parent={"is": "p"})
    # The mapping itself was written in the encrypted document, so its keys are secret too.
    assert shown(parent, child)["data"] == REDACTED


def test_a_replacement_of_an_encrypted_document_is_masked():
    first = doc("one", {"a": WORD}, labels={"is": "p"}, policy="encrypted")
    second = doc("one", {"b": 1}, layer="site", parent={"is": "p"}, replacement=True)
    assert shown(first, second)["data"] == REDACTED
    wholly = doc(
        "one",
        {"b": 1},
        layer="site",
        parent={"is": "p"},
        actions=[("replace", ".")],
        replacement=True,
    )
    assert shown(first, wholly)["data"] == {"b": 1}


def test_a_secret_goes_on_through_open_documents():
    middle = doc("middle", {"open": 1}, subs=[from_secret(".deep.secret", path=".k")])
    one = doc("one", {}, subs=[sub("middle", ".all"), sub("middle", ".part", path=".open")])
    assert shown(secret("pass", {"k": WORD}), middle, one)["data"] == {
        "all": {"open": 1, "deep": {"secret": REDACTED}},
        "part": 1,
    }


def test_open_data_taken_from_an_encrypted_child_is_secret():
    parent = doc("base", {"a": 1}, labels={"is": "p"})
    child = doc("mid", {}, layer="site", parent={"is": "p"}, policy="encrypted")
    one = doc("one", {}, subs=[sub("mid", ".v", path=".a")])
    assert shown(parent, child, one)["data"] == {"v": REDACTED}
    assert shown(parent, child, one, name="base")["data"] == {"a": 1}


def test_open_data_that_came_through_an_encrypted_document_is_secret():
    middle = doc("middle", {}, policy="encrypted", subs=[sub("open", ".v")])
    one = doc("one", {}, subs=[sub("middle", ".w", path=".v")])
    assert shown(doc("open", {"a": 1}), middle, one)["data"] == {"w": REDACTED}


def test_a_secret_moves_up_when_an_element_before_it_is_deleted():
    parent = doc("base", {"l": ["a", "b", "c"]}, labels={"is": "p"}, subs=[from_secret(".l[2]")])
    child = doc("one", {}, layer="site", parent={"is": "p"}, actions=[("delete", ".l[0]")])
    assert shown(secret("pass", WORD), parent, child)["data"] == {"l": ["b", REDACTED]}


def test_a_deleted_secret_leaves_nothing_to_mask():
    parent = doc("base", {"a": 1}, labels={"is": "p"}, subs=[from_secret(".s")])
    child = doc("one", {}, layer="site", parent={"is": "p"}, actions=[("delete", ".s")])
    assert shown(secret("pass", WORD), parent, child)["data"] == {"a": 1}


def test_a_posted_document_is_masked_by_its_policy():
    open_one, hidden = documents(doc("one", {"a": 1}), secret("pass", WORD))
    assert redacted_document(open_one) == open_one.value
    assert redacted_document(hidden)["data"] == REDACTED


def test_masking_changes_a_copy():
    data = {"a": {"b": 1, "c": 2}, "l": [1, 2]}
    assert masked(data, [("a", "b"), ("l", 1), ("gone", "x")]) == {
        "a": {"b": REDACTED, "c": 2},
        "l": [1, REDACTED],
    }
    assert data == {"a": {"b": 1, "c": 2}, "l": [1, 2]}


@pytest.mark.parametrize("by", ["policy", "substitution"])
def test_builds_that_are_a_secret_are_refused_and_not_listed(by):
    """Every caller who may list stagings sees their URLs, so a secret URL would be disclosed."""
    policy = "encrypted" if by == "policy" else "cleartext"
    subs = [from_secret(".builds[0].archive_url")] if by == "substitution" else []
    urls = {"builds": [{"archive_url": f"gs://{WORD}"}]}
    rendering = rendered(
        secret("pass", f"gs://{WORD}"),
        doc("hidden", urls, schema=BUILDS_SCHEMA, policy=policy, subs=subs),
        doc("open", {"builds": [{"archive_url": "gs://open"}]}, schema=BUILDS_SCHEMA),
    )
    [finding] = validate(rendering)
    assert [each.name for each in finding.documents] == ["hidden"]
    assert WORD not in repr(finding)
    assert [url for url, _ in named_by(rendering)] == ["gs://open"]
