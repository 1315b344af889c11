"""Provenance: origins of rendered values, and effects of a changed document."""

from typing import Any

from staging_api.documents.paths import parse_path, path_text
from staging_api.documents.provenance import users, why
from tests.document_sets import SECRET, doc, rendered, secret, sub


def shown(
    *values: Any, name: str = "one", path: str = "."
) -> list[tuple[str, str, str, list[str]]]:
    """Return path, document, place and steps (first step first) of each origin."""
    found = rendered(*values).get("site/Thing/v1", name)
    assert found is not None
    return [
        (
            path_text(at),
            origin.document.name,
            path_text(origin.path),
            [f"{step.document.name} {step.instruction}" for step in reversed(origin.steps)],
        )
        for at, origin in why(found, parse_path(path))
    ]


def test_a_value_that_was_written_here_came_no_way():
    assert shown(doc("one", {"a": {"b": 1}}), path=".a.b") == [(".a.b", "one", ".a.b", [])]


def test_a_value_of_the_parent_and_one_of_the_child():
    values = [
        doc("base", {"a": {"x": 1, "y": 2}}, labels={"is": "p"}),
        doc("one", {"a": {"x": 7}}, layer="site", parent={"is": "p"}),
    ]
    layered = ["one layeringDefinition.parentSelector"]
    assert shown(*values, path=".a.y") == [(".a.y", "base", ".a.y", layered)]
    assert shown(*values, path=".a.x") == [(".a.x", "one", ".a.x", [])]
    assert shown(*values, path=".a") == [
        (".a", "base", ".a", layered),
        (".a.x", "one", ".a.x", []),
    ]


def test_a_value_that_came_through_documents_names_each_step():
    values = [
        doc("source", {"k": ["v"]}),
        doc("middle", {}, labels={"is": "p"}, subs=[sub("source", ".m", path=".k")]),
        doc("low", {}, layer="type", parent={"is": "p"}),
        doc("one", {}, subs=[sub("low", ".here", path=".m[0]"), sub("source", ".w")]),
    ]
    assert shown(*values, path=".here") == [
        (
            ".here",
            "source",
            ".k[0]",
            [
                "middle substitutions[0]",
                "low layeringDefinition.parentSelector",
                "one substitutions[0]",
            ],
        )
    ]
    assert shown(*values, path=".w.k") == [(".w.k", "source", ".k", ["one substitutions[1]"])]


def test_a_text_that_patterns_composed_has_all_its_origins():
    values = [
        doc("host", "db"),
        doc("port", 5432),
        doc(
            "one",
            {"url": "HOST:PORT"},
            subs=[
                sub("host", {"path": ".url", "pattern": "HOST"}),
                sub("port", {"path": ".url", "pattern": "PORT"}),
            ],
        ),
    ]
    assert [each[1] for each in shown(*values, path=".url")] == ["port", "host", "one"]


def test_recursion_names_only_the_texts_that_it_changed():
    dest = {"path": ".", "pattern": "X", "recurse": {"depth": -1}}
    values = [doc("source", "v"), doc("one", {"a": ["X", "y"]}, subs=[sub("source", dest)])]
    changed = [(each[0], each[1]) for each in shown(*values) if each[1] == "source"]
    assert changed == [(".a[0]", "source")]


def test_an_element_keeps_its_origin_when_one_before_it_is_deleted():
    values = [
        doc("source", "v"),
        doc("base", {"l": [1, 2, 3]}, labels={"is": "p"}, subs=[sub("source", ".l[2]")]),
        doc("one", {}, layer="site", parent={"is": "p"}, actions=[("delete", ".l[0]")]),
    ]
    assert [each[1:3] for each in shown(*values, path=".l[1]")] == [("source", ".")]
    assert [each[1:3] for each in shown(*values, path=".l[0]")] == [("base", ".l[1]")]


def test_a_replacement_names_both():
    values = [
        doc("one", {"a": 1}, labels={"is": "p"}),
        doc("one", {"b": 2}, layer="site", parent={"is": "p"}, replacement=True),
    ]
    found = rendered(*values).get("site/Thing/v1", "one")
    assert found is not None
    assert [origin.document.layer for _, origin in why(found, ("a",))] == ["global"]
    assert [origin.document.layer for _, origin in why(found, ("b",))] == ["site"]


def test_neither_the_place_nor_the_keys_of_a_secret_are_shown():
    hidden = secret("pass", {"swordfish": {"deep": 1}})
    one = doc("one", {}, subs=[sub("pass", ".v", schema=SECRET, path=".swordfish")])
    assert [each[:3] for each in shown(hidden, one, path=".v")] == [(".v", "pass", ".")]


def names(*values: Any, of: str) -> list[str]:
    rendering = rendered(*values)
    [identity] = [each for each in rendering.by_identity if each.name == of]
    return [user.name for user in users(rendering, identity)]


def test_users_are_those_that_a_change_touches():
    values = [
        doc("source", 1),
        doc("user", {}, subs=[sub("source", ".v")]),
        doc("base", {}, labels={"is": "p"}, abstract=True, subs=[sub("user", ".v")]),
        doc("child", {}, layer="site", parent={"is": "p"}),
        doc("aside", {}),
    ]
    assert names(*values, of="source") == ["base", "user", "child"]
    assert names(*values, of="base") == ["child"]
    assert names(*values, of="aside") == []
