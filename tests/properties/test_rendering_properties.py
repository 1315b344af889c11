"""Rendering of random documents: order, unchanged inputs, repetition, and partial rendering."""

import copy
import json
from typing import Any

from hypothesis import given, settings
from hypothesis import strategies as st

from staging_api.documents.model import Document, RenderingFailed
from staging_api.documents.redaction import redacted
from staging_api.documents.rendering import Rendering, render
from tests.document_sets import SECRET, doc, documents, policy, sub
from tests.drawn_documents import NAMES, PATHS, sets


def outcome(values: list[Document], previous: Rendering | None = None) -> Any:
    """Return the result of rendering in a form that can be compared."""
    try:
        rendering = render(values, previous=previous)
    except RenderingFailed as error:
        return {(each.fault, each.documents, each.message, each.path) for each in error.findings}
    return [
        (each.value, each.digest, sorted(map(str, each.secret_paths)), redacted(each, rendering))
        for each in rendering.documents
    ]


@given(sets(), st.randoms(use_true_random=False))
@settings(max_examples=80, deadline=None)
def test_the_order_of_documents_does_not_matter(values, random):
    shuffled = copy.deepcopy(values)
    random.shuffle(shuffled)
    assert outcome(list(documents(*shuffled))) == outcome(list(documents(*values)))


@given(sets())
@settings(max_examples=80, deadline=None)
def test_documents_are_not_changed(values):
    before = json.dumps(values, sort_keys=True)
    taken = list(documents(*values))
    outcome(taken)
    outcome(taken)
    assert json.dumps(values, sort_keys=True) == before


@given(sets())
@settings(max_examples=60, deadline=None)
def test_rendering_twice_is_rendering_once(values):
    taken = list(documents(*values))
    once = outcome(taken)
    assert outcome(taken) == once


@given(sets())
@settings(max_examples=60, deadline=None)
def test_what_was_rendered_renders_to_itself(values):
    """Rendered data has no instructions left, so rendering it changes nothing."""
    try:
        rendering = render(documents(*values))
    except RenderingFailed:
        return
    finished = []
    for each in rendering.documents:
        value = copy.deepcopy(each.value)
        value["metadata"].pop("substitutions", None)
        if not each.document.control:
            value["metadata"]["layeringDefinition"] = {"layer": each.document.layer}
        finished.append(value)
    again = render(documents(*finished))
    assert [each.data for each in again.documents] == [each.data for each in rendering.documents]


@given(sets(), sets(), st.data())
@settings(max_examples=150, deadline=None)
def test_rendering_by_parts_is_rendering_from_scratch(values, others, data):
    """Some documents change, come or go; reuse of the previous rendering changes no result."""
    try:
        previous = render(documents(*values))
    except RenderingFailed:
        return
    changed = {value["metadata"]["name"]: value for value in values}
    for other in data.draw(st.lists(st.sampled_from(others), max_size=3)):
        changed[other["metadata"]["name"]] = other
    for name in data.draw(st.lists(st.sampled_from(NAMES), max_size=2)):
        changed.pop(name, None)
    after = list(documents(*changed.values()))
    assert outcome(after, previous) == outcome(after)


def test_only_what_a_change_reaches_is_rendered_again():
    values = [
        policy(),
        doc("source", "one"),
        doc("user", {}, subs=[sub("source", ".v")]),
        doc("parent", {}, labels={"is": "p"}, subs=[sub("user", ".v")]),
        doc("child", {}, layer="site", parent={"is": "p"}),
        doc("aside", {"v": 1}),
    ]
    before = render(documents(*values))
    values[1] = doc("source", "two")
    after = render(documents(*values), previous=before)
    same = {
        each.document.name
        for each in after.everything
        if any(each.trace is old.trace for old in before.everything)
    }
    assert same == {"policy", "aside"}


WORD = "swordfish"
SECRETS = st.sampled_from([WORD, WORD, f"a {WORD} b", {"k": WORD}, [WORD]])


@given(sets(), SECRETS, PATHS, st.booleans())
@settings(max_examples=150, deadline=None)
def test_no_redacted_answer_holds_a_secret(values, value, path, by_pattern):
    """The secret is in one encrypted document only, and in every document that substitutes it."""
    first = values[1]
    dest = {"path": ".", "pattern": "x", "recurse": {"depth": -1}} if by_pattern else path
    first["data"]["x"] = "yxy"
    one = sub("secret", dest, schema=SECRET)
    first["metadata"]["substitutions"] = [one, *first["metadata"].get("substitutions", [])]
    hidden = doc("secret", value, schema=SECRET, policy="encrypted")
    try:
        rendering = render(documents(hidden, *values))
    except RenderingFailed as error:
        answers = [str(each) for each in error.findings]
    else:
        answers = [json.dumps(redacted(each, rendering)) for each in rendering.documents]
        answers += map(str, rendering.warnings)
    assert "swordfish" not in "\n".join(answers)
