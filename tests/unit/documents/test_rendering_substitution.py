"""Substitution, by the rows of the specification."""

from typing import Any

import pytest

from staging_api.documents.model import DocumentLimits, DocumentsInvalid, RenderingFailed
from staging_api.documents.rendering import render
from tests.document_sets import data_of, doc, documents, failure, policy, rendered, sub

INVALID = "InvalidSubstitution"
NO_DATA = "SubstitutionSourceDataNotFound"
NO_SOURCE = "SubstitutionSourceNotFound"
CYCLE = "SubstitutionDependencyCycle"


def taken(source: Any, data: Any, *subs: Any) -> Any:
    return data_of(rendered(doc("source", source), doc("user", data, subs=list(subs))), "user")


def refused(source: Any, data: Any, *subs: Any) -> str:
    fault, names = failure(doc("source", source), doc("user", data, subs=list(subs)))
    assert names == ["user", "source"]
    return fault


@pytest.mark.parametrize("value", ["text", 0, False, "", 1.5, [1], {"a": 1}, {}, []])
def test_values_of_every_kind_are_taken(value):
    assert taken({"v": value}, {}, sub("source", ".here", path=".v")) == {"here": value}


@pytest.mark.parametrize("path", [".v.w", "v.w", "$.v.w", "['v'].w"])
def test_the_source_path_may_lack_its_dot(path):
    assert taken({"v": {"w": 1}}, {}, sub("source", ".here", path=path)) == {"here": 1}


@pytest.mark.parametrize("source", [{}, {"v": None}, {"v": {}}, "text", 5, [1], None])
def test_a_missing_or_null_value_is_an_error(source):
    assert refused(source, {}, sub("source", ".here", path=".v.w")) == NO_DATA
    if not isinstance(source, dict):
        assert refused(source, {}, sub("source", ".here", path=".v")) == NO_DATA


def test_the_path_counts_on_lists_and_texts_too():
    assert taken(["a", "b"], {}, sub("source", ".here", path=".[1]")) == {"here": "b"}
    assert taken("whole", {}, sub("source", ".here", path=".")) == {"here": "whole"}


def test_a_source_may_be_of_any_layer_and_the_own_parent():
    rendering = rendered(
        doc("low", 1, layer="site"),
        doc("parent", {"a": {"b": 1}}, labels={"is": "p"}, subs=[sub("low", ".low")]),
        doc("child", {}, layer="type", parent={"is": "p"}, subs=[sub("parent", ".c", path=".a")]),
    )
    assert data_of(rendering, "parent") == {"a": {"b": 1}, "low": 1}
    assert data_of(rendering, "child") == {"a": {"b": 1}, "low": 1, "c": {"b": 1}}


def test_a_source_is_finished_before_it_is_used():
    rendering = rendered(
        doc("a-last", {}, subs=[sub("b-middle", ".v", path=".v")]),
        doc("b-middle", {}, subs=[sub("c-first", ".v")]),
        doc("c-first", "end"),
    )
    assert data_of(rendering, "a-last") == {"v": "end"}


@pytest.mark.parametrize("abstract", [True, None])
def test_an_abstract_or_missing_source_is_a_conflict(abstract):
    sources = [doc("source", 1, abstract=True)] if abstract else []
    with pytest.raises(RenderingFailed) as caught:
        rendered(*sources, doc("user", {}, subs=[sub("source", ".a")]))
    assert caught.value.findings[0].fault == NO_SOURCE
    assert caught.value.conflict


def test_the_first_match_of_a_source_pattern_is_taken():
    text = "one=1 two=22"
    assert taken(text, {}, sub("source", ".v", pattern=r"\d+")) == {"v": "1"}
    assert taken(text, {}, sub("source", ".v", pattern=r"(\w+)=(\d+)", match_group=2)) == {"v": "1"}
    assert taken(text, {}, sub("source", ".v", pattern="nothing")) == {"v": text}


@pytest.mark.parametrize("source", [5, ["a"], {"a": 1}, True])
def test_a_source_pattern_needs_a_text(source):
    assert refused(source, {}, sub("source", ".v", pattern="a")) == INVALID


def test_an_optional_group_that_is_not_in_the_match_is_an_error():
    pattern = sub("source", ".v", pattern="a(b)?", match_group=1)
    assert refused("a", {}, pattern) == INVALID


@pytest.mark.parametrize(
    ("src", "dest", "path"),
    [
        ({"pattern": "("}, {"path": "."}, ".src.pattern"),
        ({"pattern": "a", "match_group": 1}, {"path": "."}, ".src.match_group"),
        ({"pattern": "a", "match_group": -1}, {"path": "."}, ".src.match_group"),
        ({"match_group": True}, {"path": "."}, ".src.match_group"),
        ({"deepcopy": 1}, {"path": "."}, ".src.deepcopy"),
        ({"more": 1}, {"path": "."}, ".src.more"),
        ({}, {"path": "a"}, ".dest.path"),
        ({}, {"path": ".a[*]"}, ".dest.path"),
        ({}, {"path": ".a[99999]"}, ".dest.path"),
        ({}, {"path": ".", "pattern": "["}, ".dest.pattern"),
        ({}, {"path": ".", "recurse": {}}, ".dest.recurse.depth"),
        ({}, {"path": ".", "recurse": {"depth": -2}}, ".dest.recurse.depth"),
        ({}, {"path": ".", "recurse": {"depth": "1"}}, ".dest.recurse.depth"),
        ({}, {"path": ".", "more": 1}, ".dest.more"),
        ({}, [], ".dest"),
        ({}, "text", ".dest"),
    ],
)
def test_a_substitution_of_the_wrong_shape_is_refused(src, dest, path):
    with pytest.raises(DocumentsInvalid) as caught:
        one = sub("source", ".", **src)
        documents(doc("user", {}, subs=[{**one, "dest": dest}]))
    assert [each.path for each in caught.value.findings] == [f".metadata.substitutions[0]{path}"]


@pytest.mark.parametrize(
    ("data", "path", "result"),
    [
        ({}, ".a.b", {"a": {"b": 7}}),
        ({}, ".a[1].b", {"a": [{}, {"b": 7}]}),
        ({"a": [1]}, ".a[2]", {"a": [1, {}, 7]}),
        ({"a": [{"b": 1}]}, ".a[0].b", {"a": [{"b": 7}]}),
        ({"a": [[1, 2]]}, ".a[0][1]", {"a": [[1, 7]]}),
        ({}, ".'a.b'", {"a.b": 7}),
        ({}, "['a.b']", None),
        ({}, "$['a.b'].c", {"a.b": {"c": 7}}),
        ({"a": 1}, ".", 7),
        ("text", "$", 7),
    ],
)
def test_destinations_are_made_where_they_are_missing(data, path, result):
    if result is None:
        with pytest.raises(DocumentsInvalid):
            taken(7, data, sub("source", path))
    else:
        assert taken(7, data, sub("source", path)) == result


@pytest.mark.parametrize(
    ("data", "path"),
    [
        ({"a": 1}, ".a.b"),
        ({"a": "text"}, ".a[0]"),
        ({"a": None}, ".a.b"),
        ({"a": []}, ".a[0]"),
        ({"a": []}, ".a[0].b"),
        ({"a": [1]}, ".a.b"),
        ("text", ".a"),
        (None, ".a"),
    ],
)
def test_nothing_is_made_below_a_scalar_null_or_empty_list(data, path):
    assert refused(7, data, sub("source", path)) == INVALID


def test_the_whole_takes_a_mapping_key_by_key():
    one = sub("source", ".")
    assert taken({"a": 1, "b": {"c": 2}}, {"b": {"d": 3}, "e": 4}, one) == {
        "a": 1,
        "b": {"c": 2},
        "e": 4,
    }
    assert taken({"a": 1}, "text", one) == {"a": 1}
    assert taken([1], {"a": 1}, one) == [1]


def test_several_destinations_get_the_same_value():
    dest = [{"path": ".a"}, {"path": ".b[0]"}, {"path": ".c", "pattern": "X"}]
    assert taken("v", {"c": "-X-"}, sub("source", dest)) == {"a": "v", "b": ["v"], "c": "-v-"}


def test_substitutions_run_in_order_and_see_the_ones_before():
    subs = [
        sub("source", ".text", path=".template"),
        sub("source", {"path": ".text", "pattern": "NAME"}, path=".name"),
        sub("source", ".last", path=".name"),
        sub("source", ".last", path=".template"),
    ]
    source = {"template": "hello NAME", "name": "you"}
    assert taken(source, {}, *subs) == {"text": "hello you", "last": "hello NAME"}


@pytest.mark.parametrize(
    ("value", "text"), [("v", "v"), (5, "5"), (1.5, "1.5"), (True, "true"), (False, "false")]
)
def test_every_match_of_a_destination_pattern_is_replaced(value, text):
    dest = {"path": ".t", "pattern": "X[0-9]"}
    expected = {"t": f"a {text} b {text} X"}
    assert taken(value, {"t": "a X1 b X2 X"}, sub("source", dest)) == expected


@pytest.mark.parametrize("value", ["\\1", "\\g<0>", "a\\nb", "\\d", "$1", "{}", "\\"])
def test_values_are_no_templates(value):
    dest = {"path": ".t", "pattern": "(X)"}
    assert taken(value, {"t": "-X-"}, sub("source", dest)) == {"t": f"-{value}-"}


@pytest.mark.parametrize("value", [[1], {"a": 1}])
def test_a_container_cannot_take_the_place_of_a_pattern(value):
    assert refused(value, {"t": "X"}, sub("source", {"path": ".t", "pattern": "X"})) == INVALID


@pytest.mark.parametrize("data", [{}, {"t": 5}, {"t": None}, {"t": ["X"]}, {"t": {"a": "X"}}])
def test_a_destination_pattern_needs_a_text(data):
    assert refused("v", data, sub("source", {"path": ".t", "pattern": "X"})) == INVALID


def test_a_pattern_without_a_match_changes_nothing_and_warns():
    one = sub("source", {"path": ".t", "pattern": "X"})
    rendering = rendered(doc("source", "v"), doc("user", {"t": "text"}, subs=[one]))
    assert data_of(rendering, "user") == {"t": "text"}
    [warning] = rendering.warnings
    assert warning.level == "Warning"
    assert warning.path == ".metadata.substitutions[0].dest.pattern"


NESTED = {"X": "X", "l": ["X", ["X"], {"a": "X", "n": 5}], "m": {"a": "aXbX"}}


@pytest.mark.parametrize(
    ("depth", "result"),
    [
        (0, NESTED),
        (1, {**NESTED, "X": "v"}),
        (2, {"X": "v", "l": ["v", ["X"], {"a": "X", "n": 5}], "m": {"a": "avbv"}}),
        (3, {"X": "v", "l": ["v", ["v"], {"a": "v", "n": 5}], "m": {"a": "avbv"}}),
        (-1, {"X": "v", "l": ["v", ["v"], {"a": "v", "n": 5}], "m": {"a": "avbv"}}),
    ],
)
def test_recursion_goes_as_deep_as_it_says_and_leaves_keys(depth, result):
    dest = {"path": ".t", "pattern": "X", "recurse": {"depth": depth}}
    assert taken("v", {"t": NESTED}, sub("source", dest)) == {"t": result}


def test_recursion_takes_real_expressions():
    dest = {"path": ".", "pattern": "INSERT_[A-Z]+_HERE", "recurse": {"depth": -1}}
    assert taken("v", {"a": ["INSERT_NAME_HERE"]}, sub("source", dest)) == {"a": ["v"]}


@pytest.mark.parametrize("depth", [0, -1])
def test_recursion_on_a_text_is_as_without(depth):
    dest = {"path": ".t", "pattern": "X", "recurse": {"depth": depth}}
    assert taken("v", {"t": "-X-"}, sub("source", dest)) == {"t": "-v-"}


def test_recursion_without_a_pattern_is_ignored():
    dest = {"path": ".t", "recurse": {"depth": -1}}
    assert taken("v", {"t": {"a": "X"}}, sub("source", dest)) == {"t": "v"}


@pytest.mark.parametrize("deepcopy", [{}, {"deepcopy": True}, {"deepcopy": False}])
def test_a_later_substitution_inside_a_value_leaves_its_source_alone(deepcopy):
    rendering = rendered(
        doc("source", {"m": {"a": 1, "l": [1, 2]}}),
        doc("other", 9),
        doc(
            "user",
            {},
            subs=[
                sub("source", [{"path": ".one"}, {"path": ".two"}], path=".m", **deepcopy),
                sub("other", ".one.a"),
                sub("other", ".one.l[0]"),
            ],
        ),
        doc("second", {}, subs=[sub("source", ".m", path=".m")]),
    )
    assert data_of(rendering, "user") == {
        "one": {"a": 9, "l": [9, 2]},
        "two": {"a": 1, "l": [1, 2]},
    }
    assert data_of(rendering, "source") == {"m": {"a": 1, "l": [1, 2]}}
    assert data_of(rendering, "second") == {"m": {"a": 1, "l": [1, 2]}}


def test_children_inherit_what_parents_substituted_and_win_over_it():
    rendering = rendered(
        doc("source", "v"),
        doc(
            "parent",
            {},
            labels={"is": "p"},
            abstract=True,
            subs=[sub("source", [{"path": ".a"}, {"path": ".b"}])],
        ),
        doc("child", {"b": "mine"}, layer="site", parent={"is": "p"}),
    )
    assert data_of(rendering, "child") == {"a": "v", "b": "mine"}


@pytest.mark.parametrize(
    ("values", "names"),
    [
        ([doc("a", {}, subs=[sub("a", ".x")])], {"a"}),
        ([doc("a", {}, subs=[sub("b", ".x")]), doc("b", {}, subs=[sub("a", ".x")])], {"a", "b"}),
        (
            [
                doc("parent", {}, labels={"is": "p"}, subs=[sub("child", ".x")]),
                doc("child", {}, layer="site", parent={"is": "p"}),
            ],
            {"parent", "child"},
        ),
        (
            [
                doc("one", {}, labels={"is": "p"}, subs=[sub("one", ".x")]),
                doc("one", {}, layer="site", parent={"is": "p"}, replacement=True),
            ],
            {"one"},
        ),
    ],
)
def test_cycles_are_errors_that_name_their_documents(values, names):
    fault, found = failure(*values, doc("aside", {}), doc("behind", {}, subs=[sub("aside", ".x")]))
    assert (fault, set(found)) == (CYCLE, names)


@pytest.mark.parametrize("pattern_in", ["src", "dest"])
def test_a_pattern_that_does_not_end_fails_its_document_only(pattern_in):
    evil = "^(a|aa)+$"
    if pattern_in == "src":
        one = sub("source", ".t", pattern=evil)
    else:
        one = sub("source", {"path": ".t", "pattern": evil})
    text = "a" * 60 + "b"
    values = documents(policy(), doc("source", text), doc("user", {"t": text}, subs=[one]))
    with pytest.raises(RenderingFailed) as caught:
        render(values, limits=DocumentLimits(pattern_seconds=0.2))
    [finding] = caught.value.findings
    assert finding.fault == INVALID
    assert "too long" in finding.message


def doubling(levels: int) -> list[Any]:
    """Return documents that each take the value of the previous document ten times."""
    values = [doc("d0", {"a": "x" * 100})]
    for level in range(1, levels):
        subs = [sub(f"d{level - 1}", f".k{number}") for number in range(10)]
        values.append(doc(f"d{level}", {}, subs=subs))
    return values


def test_what_documents_grow_to_is_limited():
    assert rendered(*doubling(3))
    assert failure(*doubling(12))[0] == "LimitExceeded"


def test_what_patterns_grow_to_is_limited():
    grow = sub("source", {"path": ".t", "pattern": "x"})
    big = doc("source", "x" * 50_000)
    assert failure(big, doc("user", {"t": "x" * 50_000}, subs=[grow]))[0] == "LimitExceeded"
    small = doc("source", "xx")
    assert failure(small, doc("user", {"t": "x"}, subs=[grow] * 40))[0] == INVALID


def test_what_one_parent_grows_to_is_limited():
    parent = doc("parent", {"a": "x" * 1000}, labels={"is": "p"})
    children = [doc(f"c{n}", {}, layer="site", parent={"is": "p"}) for n in range(50)]
    values = documents(policy(), parent, *children)
    assert render(values)
    with pytest.raises(RenderingFailed) as caught:
        render(values, limits=DocumentLimits(rendered_size=20_000))
    assert {each.fault.value for each in caught.value.findings} == {"LimitExceeded"}


def test_how_deep_documents_become_is_limited():
    values = [doc("d0", 1)]
    values += [doc(f"d{n}", {}, subs=[sub(f"d{n - 1}", ".a.b")]) for n in range(1, 60)]
    assert failure(*values)[0] == "LimitExceeded"
    assert rendered(*values[:50])


def test_a_failed_substitution_names_documents_field_and_reason():
    with pytest.raises(RenderingFailed) as caught:
        rendered(
            doc("source", {"a": "swordfish"}),
            doc("user", {"t": 5}, subs=[sub("source", {"path": ".t", "pattern": "X"}, path=".a")]),
        )
    [finding] = caught.value.findings
    assert [each.name for each in finding.documents] == ["user", "source"]
    assert finding.path == ".metadata.substitutions[0].dest"
    assert ".t is a number, not a text" in finding.message
    assert "swordfish" not in str(finding)
