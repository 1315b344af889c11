"""Layers, parents, actions and replacement, by the rows of the specification."""

from typing import Any

import pytest

from staging_api.documents.model import DocumentsInvalid, RenderingFailed
from staging_api.documents.rendering import render
from tests.document_sets import data_of, doc, documents, failure, policy, rendered

PARENT = {"a": {"x": 1, "y": 2}, "c": 9}
CHILD = {"a": {"x": 7, "z": 3}, "b": 4}
MISSING = "MissingDocumentKey"
DEEP = {"x": 7, "y": 2, "z": 3}


def layered(parent, child, *actions):
    return data_of(
        rendered(
            doc("parent", parent, labels={"is": "p"}),
            doc("child", child, layer="site", parent={"is": "p"}, actions=list(actions)),
        ),
        "child",
    )


def refused(parent, child, *actions):
    return failure(
        doc("parent", parent, labels={"is": "p"}),
        doc("child", child, layer="site", parent={"is": "p"}, actions=list(actions)),
    )


@pytest.mark.parametrize("path", [".", ".data", "$", "$.", "$.data"])
def test_actions_on_the_whole(path):
    assert layered(PARENT, CHILD, ("merge", path)) == {"a": DEEP, "b": 4, "c": 9}
    assert layered(PARENT, CHILD, ("replace", path)) == CHILD
    assert layered(PARENT, CHILD, ("delete", path)) == {}


@pytest.mark.parametrize("path", [".a", "$.a", "a", ".data.a", "$.data.a", "['a']", ".'a'"])
def test_actions_on_a_mapping(path):
    assert layered(PARENT, CHILD, ("merge", path)) == {"a": DEEP, "c": 9}
    assert layered(PARENT, CHILD, ("replace", path)) == {"a": {"x": 7, "z": 3}, "c": 9}
    assert layered(PARENT, CHILD, ("delete", path)) == {"c": 9}


@pytest.mark.parametrize("path", [".a.x", ".a['x']", '.a["x"]', "data.a.x"])
def test_actions_on_a_scalar(path):
    assert layered(PARENT, CHILD, ("merge", path)) == {"a": {"x": 7, "y": 2}, "c": 9}
    assert layered(PARENT, CHILD, ("replace", path)) == {"a": {"x": 7, "y": 2}, "c": 9}
    assert layered(PARENT, CHILD, ("delete", path)) == {"a": {"y": 2}, "c": 9}


def test_actions_on_what_only_the_child_has():
    assert layered(PARENT, CHILD, ("merge", ".b")) == {**PARENT, "b": 4}
    assert layered(PARENT, CHILD, ("replace", ".b")) == {**PARENT, "b": 4}
    assert refused(PARENT, CHILD, ("delete", ".b")) == (MISSING, ["child", "parent"])


def test_actions_on_what_only_the_parent_has():
    assert refused(PARENT, CHILD, ("merge", ".c")) == (MISSING, ["child", "parent"])
    assert refused(PARENT, CHILD, ("replace", ".c")) == (MISSING, ["child", "parent"])
    assert layered(PARENT, CHILD, ("delete", ".c")) == {"a": {"x": 1, "y": 2}}


@pytest.mark.parametrize("method", ["merge", "replace", "delete"])
@pytest.mark.parametrize("path", [".nowhere", ".a.nowhere", ".a.x.deeper", ".c[0]"])
def test_actions_on_what_neither_has(method, path):
    assert refused(PARENT, CHILD, (method, path)) == (MISSING, ["child", "parent"])


@pytest.mark.parametrize(
    ("parent", "child", "merged"),
    [
        ([1, 2], [3], [3]),
        ({"a": 1}, "text", "text"),
        ("text", {"a": 1}, {"a": 1}),
        (5, None, None),
        (None, {"a": 1}, {"a": 1}),
        ({"a": {"b": 1}}, {"a": 2}, {"a": 2}),
        ({"a": 1}, {"a": {"b": 2}}, {"a": {"b": 2}}),
        ({"a": [1, 2]}, {"a": [3]}, {"a": [3]}),
        ({"a": 1, "b": 2}, {"a": None}, {"a": None, "b": 2}),
        ({}, {"a": 1}, {"a": 1}),
        ({"a": 1}, {}, {"a": 1}),
    ],
)
def test_only_mappings_merge_and_the_child_wins(parent, child, merged):
    assert layered(parent, child, ("merge", ".")) == merged


@pytest.mark.parametrize("value", [1, "text", [1], None, True])
def test_whole_data_that_is_no_mapping(value):
    assert layered({"a": 1}, value, ("replace", ".")) == value
    assert layered(value, {"a": 1}, ("delete", ".")) == {}


def test_indexes_name_elements():
    parent = [{"a": 1}, {"b": 2}]
    assert layered({"l": parent}, {"l": [{"c": 3}]}, ("merge", ".l[0]")) == {
        "l": [{"a": 1, "c": 3}, {"b": 2}]
    }
    assert layered({"l": parent}, {"l": [{"c": 3}]}, ("replace", ".l[0]")) == {
        "l": [{"c": 3}, {"b": 2}]
    }


def test_an_index_beyond_the_end_fills_with_empty_mappings():
    child = {"l": [3, 4, 5]}
    assert layered({"l": [1]}, child, ("merge", ".l[2]")) == {"l": [1, {}, 5]}
    assert layered({}, child, ("replace", ".l[1]")) == {"l": [{}, 4]}


def test_missing_mappings_on_the_way_are_made():
    assert layered({}, {"x": {"y": {"z": 1}}}, ("merge", ".x.y")) == {"x": {"y": {"z": 1}}}


@pytest.mark.parametrize("below", [5, "text", None, [1]])
def test_nothing_is_made_below_a_scalar(below):
    assert refused({"x": below}, {"x": {"y": 1}}, ("merge", ".x.y"))[0] == MISSING


def test_null_is_a_value_and_not_missing():
    assert layered({"a": 1}, {"a": None}, ("merge", ".a")) == {"a": None}
    assert layered({"a": 1}, {"a": None}, ("replace", ".a")) == {"a": None}
    assert layered({"a": None}, {}, ("delete", ".a")) == {}
    assert layered({"a": 1}, None, ("replace", ".")) is None


def test_data_is_dropped_as_a_segment_and_not_as_a_text():
    assert layered({}, {"database": {"x": 1}}, ("merge", ".database.x")) == {"database": {"x": 1}}
    assert layered({}, {"data_dir": 1}, ("merge", ".data_dir")) == {"data_dir": 1}
    assert layered({}, {"data": {"x": 1}}, ("merge", ".data.data.x")) == {"data": {"x": 1}}


def test_delete_is_by_place_and_not_by_value():
    assert layered({"a": {"v": "same"}, "b": {"v": "same"}}, {}, ("delete", ".b.v")) == {
        "a": {"v": "same"},
        "b": {},
    }
    assert layered({"l": ["x", "y", "x"]}, {}, ("delete", ".l[2]")) == {"l": ["x", "y"]}
    assert layered({"a": True, "z": 1}, {}, ("delete", ".z")) == {"a": True}


def test_actions_run_in_order():
    actions = [("delete", ".a"), ("merge", ".a"), ("delete", ".a.x"), ("replace", ".b")]
    assert layered(PARENT, CHILD, *actions) == {"a": {"z": 3}, "b": 4, "c": 9}


@pytest.mark.parametrize("path", [".l[*]", ".*", "$..a", ".a[?(@.x)]", ".a[-1]", "a..b", ".a[", ""])
def test_a_path_that_names_no_one_place_is_refused(path):
    with pytest.raises(DocumentsInvalid) as caught:
        documents(doc("child", {}, parent={"is": "p"}, actions=[("merge", path)]))
    assert caught.value.findings[0].path == ".metadata.layeringDefinition.actions[0].path"


def test_the_nearest_layer_above_has_the_parent():
    labels = {"is": "p"}
    rendering = rendered(
        doc("far", {"from": "far"}, labels=labels),
        doc("near", {"from": "near"}, layer="type", labels=labels),
        doc("child", {}, layer="site", parent=labels),
    )
    assert data_of(rendering, "child") == {"from": "near"}
    assert data_of(rendering, "far") == {"from": "far"}


def test_a_nearer_single_parent_wins_over_two_farther_ones():
    labels = {"is": "p"}
    rendering = rendered(
        doc("far-1", 1, labels=labels),
        doc("far-2", 2, labels=labels),
        doc("near", {"from": "near"}, layer="type", labels=labels),
        doc("child", {}, layer="site", parent=labels),
    )
    assert data_of(rendering, "child") == {"from": "near"}


def test_layers_without_documents_do_not_count():
    rendering = rendered(
        doc("parent", {"a": 1}, labels={"is": "p"}),
        doc("child", {}, layer="site", parent={"is": "p"}),
    )
    assert data_of(rendering, "child") == {"a": 1}


def test_all_pairs_of_the_selector_must_be_there():
    selector = {"is": "p", "in": "x"}
    rendering = rendered(
        doc("half", {"from": "half"}, labels={"is": "p"}),
        doc("full", {"from": "full"}, labels={**selector, "more": "yes"}),
        doc("child", {}, layer="site", parent=selector),
    )
    assert data_of(rendering, "child") == {"from": "full"}


@pytest.mark.parametrize(("label", "selected"), [(1, True), (1, "1"), (0, False), (1, 1.0)])
def test_labels_are_compared_with_their_type(label, selected):
    rendering = rendered(
        doc("parent", {"a": 1}, labels={"is": label}),
        doc("child", {"b": 1}, layer="site", parent={"is": selected}),
    )
    assert data_of(rendering, "child") == {"b": 1}


def test_without_a_parent_a_document_stays_as_it_is():
    rendering = rendered(
        doc("child", {"a": 1}, layer="site", parent={"is": "p"}, actions=[("delete", ".nowhere")])
    )
    assert data_of(rendering, "child") == {"a": 1}


def test_a_document_is_not_its_own_parent():
    labels = {"is": "p"}
    rendering = rendered(doc("one", {"a": 1}, layer="site", labels=labels, parent=labels))
    assert data_of(rendering, "one") == {"a": 1}


@pytest.mark.parametrize("right_one_too", [False, True])
def test_a_matching_document_of_another_schema_is_an_error(right_one_too):
    labels = {"is": "p"}
    right = [doc("right", {}, labels=labels)] if right_one_too else []
    assert failure(
        doc("wrong", {}, schema="other/Thing/v1", labels=labels),
        doc("child", {}, layer="site", parent=labels),
        *right,
    ) == ("InvalidDocumentParent", ["child", "wrong"])


@pytest.mark.parametrize(("layer", "of_child"), [("site", "site"), ("site", "type")])
def test_a_matching_document_not_above_is_an_error(layer, of_child):
    labels = {"is": "p"}
    assert failure(
        doc("right", {}, labels=labels),
        doc("low", {}, layer=layer, labels=labels),
        doc("child", {}, layer=of_child, parent=labels),
    ) == ("InvalidDocumentParent", ["child", "low"])


def test_two_parents_in_the_nearest_layer_are_an_error():
    labels = {"is": "p"}
    assert failure(
        doc("one", {}, layer="type", labels=labels),
        doc("two", {}, layer="type", labels=labels),
        doc("child", {}, layer="site", parent=labels),
    ) == ("IndeterminateDocumentParent", ["child", "one", "two"])


def test_each_child_starts_from_the_parent_as_it_is():
    labels = {"is": "p"}
    rendering = rendered(
        doc("parent", {"l": {"a": 1}}, labels=labels),
        doc("one", {"l": {"b": 1}}, layer="site", parent=labels),
        doc("two", {}, layer="site", parent=labels, actions=[("delete", ".l.a")]),
    )
    assert data_of(rendering, "parent") == {"l": {"a": 1}}
    assert data_of(rendering, "one") == {"l": {"a": 1, "b": 1}}
    assert data_of(rendering, "two") == {"l": {}}


def test_an_unknown_layer_is_an_error():
    assert failure(doc("one", {}, layer="moon")) == ("InvalidDocumentLayer", ["one"])


def test_no_policy_and_two_policies_are_errors():
    with pytest.raises(RenderingFailed) as caught:
        render(documents(doc("one", {})))
    assert caught.value.findings[0].fault == "LayeringPolicyNotFound"
    assert caught.value.conflict
    assert failure(policy(name="another"))[0] == "LayeringPolicyNotUnique"


def test_no_documents_render_to_none():
    assert render(()).documents == ()


def test_control_documents_are_returned_and_abstract_ones_are_not():
    rendering = rendered(doc("one", {}), doc("hidden", {}, abstract=True))
    names = [each.document.name for each in rendering.documents]
    assert names == ["policy", "one"]


def test_metadata_is_returned_as_posted():
    posted = doc("one", {}, labels={"a": "b"})
    found = rendered(posted).get("site/Thing/v1", "one")
    assert found is not None
    assert found.value == posted


def pair(**more):
    """Return a document and its replacement."""
    return (
        doc("one", {"a": 1}, labels={"is": "p"}, **more),
        doc("one", {"b": 2}, layer="type", parent={"is": "p"}, replacement=True),
    )


def test_a_replacement_stands_for_its_parent_everywhere():
    rendering = rendered(
        *pair(),
        doc("sibling", {}, layer="site", parent={"is": "p"}),
        doc("user", {}, subs=[sub_of("one", ".taken")]),
    )
    assert data_of(rendering, "one") == {"a": 1, "b": 2}
    assert [each.document.name for each in rendering.documents].count("one") == 1
    assert data_of(rendering, "sibling") == {"a": 1, "b": 2}
    assert data_of(rendering, "user") == {"taken": {"a": 1, "b": 2}}


def sub_of(name, path):
    src = {"schema": "site/Thing/v1", "name": name, "path": "."}
    return {"src": src, "dest": {"path": path}}


def test_an_abstract_replacement_removes_both():
    one, other = pair()
    other["metadata"]["layeringDefinition"]["abstract"] = True
    assert rendered(one, other).get("site/Thing/v1", "one") is None


def test_an_abstract_document_may_be_replaced_by_a_concrete_one():
    assert data_of(rendered(*pair(abstract=True)), "one") == {"a": 1, "b": 2}


BAD = "InvalidDocumentReplacement"
REPLACEMENT: Any = {"layer": "type", "replacement": True, "parent": {"is": "p"}}


@pytest.mark.parametrize(
    "values",
    [
        pytest.param([doc("one", {}, layer="type", replacement=True)], id="no selector"),
        pytest.param(
            [doc("one", {}, layer="type", replacement=True, parent={"no": "one"})], id="no parent"
        ),
        pytest.param(
            [
                doc("other", {}, labels={"is": "p"}),
                doc("one", {}, layer="type", replacement=True, parent={"is": "p"}),
            ],
            id="another name",
        ),
        pytest.param(
            [
                doc("one", {}, labels={"is": "p"}),
                doc("one", {}, layer="type", parent={"is": "p"}),
            ],
            id="child with the same name",
        ),
        pytest.param([doc("one", {}), doc("one", {}, layer="type")], id="same name, no relation"),
        pytest.param(
            [
                doc("one", {}, labels={"is": "p"}),
                doc(
                    "one",
                    {},
                    layer="type",
                    labels={"is": "q"},
                    replacement=True,
                    parent={"is": "p"},
                ),
                doc("one", {}, layer="site", replacement=True, parent={"is": "q"}),
            ],
            id="replaced again",
        ),
        pytest.param(
            [
                doc("one", {}, labels={"is": "p"}),
                doc("one", {}, layer="type", replacement=True, parent={"is": "p"}),
                doc("one", {}, layer="site", replacement=True, parent={"is": "p"}),
            ],
            id="two replacements",
        ),
    ],
)
def test_replacements_that_are_errors(values):
    fault, names = failure(*values)
    assert fault == BAD
    assert set(names) == {"one"}


def test_the_same_identity_twice_is_an_error():
    one = documents(policy(), doc("one", {}), collection="left")
    two = documents(doc("one", {}), collection="right")
    with pytest.raises(RenderingFailed) as caught:
        render(one + two)
    [finding] = caught.value.findings
    assert finding.fault == "DuplicateDocument"
    assert "left and right" in finding.message


def test_every_unrenderable_document_has_its_finding():
    with pytest.raises(RenderingFailed) as caught:
        rendered(doc("one", {}, layer="moon"), doc("two", {}, layer="sun"), doc("sound", {}))
    assert [finding.documents[0].name for finding in caught.value.findings] == ["one", "two"]
