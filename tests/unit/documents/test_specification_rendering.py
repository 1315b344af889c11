"""Specification of rendering, row by row: each case is named by its section and its row.

``LEAVE`` in a name marks a row where the ancestor is wrong: the case expects the behaviour of this
project.
"""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import pytest

from staging_api.documents.model import RenderingFailed
from staging_api.documents.rendering import render
from tests.document_sets import data_schema, doc, documents, policy, rendered, sub

THING = "site/Thing/v1"
P = {"is": "p"}
PARENT = {"a": {"x": 1, "y": 2}, "c": 9}
CHILD = {"a": {"x": 7, "z": 3}, "b": 4}
KEY = "MissingDocumentKey"
REPLACEMENT = "InvalidDocumentReplacement"
INVALID = "InvalidSubstitution"
NO_SOURCE = "SubstitutionSourceNotFound"
NO_DATA = "SubstitutionSourceDataNotFound"
CYCLE = "SubstitutionDependencyCycle"


@dataclass(frozen=True)
class Fails:
    """Documents that cannot be rendered: the fault, its documents, and whether it is a 409."""

    fault: str
    names: Sequence[str]
    conflict: bool = False


# 2.2 to 2.6 Rendering: documents, and the data of some of them; None: it is not returned.

Expected = Mapping[str, Any] | Fails
NOT_RETURNED = object()


def layers_and_parents() -> Iterator[tuple[str, Sequence[Any], Expected]]:
    """Yield the rows of section 2.2."""
    p, child = doc("p", PARENT, labels=P), doc("child", {"b": 4}, layer="site", parent=P)
    done = {**PARENT, "b": 4}
    yield (
        "2.2-policy-two",
        [policy(name="other")],
        Fails("LayeringPolicyNotUnique", ["other", "policy"]),
    )
    yield "2.2-layers-without-documents", [p, child], {"child": done, "p": PARENT}
    yield (
        "2.2-layer-unknown",
        [doc("one", {}, layer="moon")],
        Fails("InvalidDocumentLayer", ["one"]),
    )
    half = doc("half", {"h": 1}, labels=P)
    both = doc("both", {"f": 1}, labels={**P, "in": "x", "more": "y"})
    taking = doc("child", {}, layer="site", parent={**P, "in": "x"})
    yield "2.2-selector-all-pairs", [half, both, taking], {"child": {"f": 1}}
    other = doc("other", {}, schema="site/Other/v1", labels=P)
    for name, more in (("alone", []), ("beside-a-right-one", [p])):
        yield (
            f"2.2-parent-other-schema-{name}",
            [other, child, *more],
            Fails("InvalidDocumentParent", ["child", "other"]),
        )
    for where, layer in (("same", "type"), ("lower", "site")):
        low = doc("low", {}, layer=layer, labels=P)
        values = [p, low, doc("child", {}, layer="type", parent=P)]
        yield f"2.2-parent-{where}-layer", values, Fails("InvalidDocumentParent", ["child", "low"])
    near, far = doc("near", {"n": 1}, layer="type", labels=P), doc("far", {"f": 1}, labels=P)
    yield "2.2-parent-nearest", [near, far, child], {"child": {"n": 1, "b": 4}, "far": {"f": 1}}
    second = doc("second", {}, layer="type", labels=P)
    yield (
        "2.2-parent-two-in-one-layer",
        [near, second, child],
        Fails("IndeterminateDocumentParent", ["child", "near", "second"]),
    )
    yield "2.2-parent-two-farther-LEAVE", [near, far, p, child], {"child": {"n": 1, "b": 4}}
    alone = doc("child", {"b": 4}, layer="site", parent=P, actions=[("delete", ".nowhere")])
    yield "2.2-parent-none", [alone], {"child": {"b": 4}}
    own = doc("one", {"b": 4}, layer="site", labels=P, parent=P)
    yield "2.2-parent-not-itself", [own], {"one": {"b": 4}}
    one = doc("p", PARENT, labels={"is": 1})
    wants = doc("child", {"b": 4}, layer="site", parent={"is": True})
    yield "2.2-label-1-is-not-true-LEAVE", [one, wants], {"child": {"b": 4}}
    twin = doc("twin", {"a": {"x": 5}}, layer="site", parent=P)
    yield (
        "2.2-parent-not-changed",
        [p, child, twin],
        {
            "p": PARENT,
            "child": done,
            "twin": {"a": {"x": 5, "y": 2}, "c": 9},
        },
    )


TABLE: Mapping[str, tuple[Sequence[str], Any, Any, Any]] = {
    "whole": ([".", ".data"], {"a": {"x": 7, "y": 2, "z": 3}, "b": 4, "c": 9}, CHILD, {}),
    "whole-LEAVE": (
        ["$", "$.", "$.data"],
        {"a": {"x": 7, "y": 2, "z": 3}, "b": 4, "c": 9},
        CHILD,
        {},
    ),
    "mapping": (
        [".a", "$.a", "a", ".data.a", "$.data.a"],
        {"a": {"x": 7, "y": 2, "z": 3}, "c": 9},
        {"a": {"x": 7, "z": 3}, "c": 9},
        {"c": 9},
    ),
    "scalar": (
        [".a.x", ".a['x']", "a.'x'"],
        {"a": {"x": 7, "y": 2}, "c": 9},
        {"a": {"x": 7, "y": 2}, "c": 9},
        {"a": {"y": 2}, "c": 9},
    ),
    "child-only": ([".b"], {**PARENT, "b": 4}, {**PARENT, "b": 4}, KEY),
    "parent-only": ([".c"], KEY, KEY, {"a": {"x": 1, "y": 2}}),
    "neither": ([".d", ".a.d"], KEY, KEY, KEY),
}


def acted(parent: Any, child: Any, *actions: tuple[str, str]) -> list[Any]:
    """Return a parent, and a child with these actions."""
    return [
        doc("p", parent, labels=P),
        doc("child", child, layer="site", parent=P, actions=list(actions)),
    ]


def actions() -> Iterator[tuple[str, Sequence[Any], Expected]]:
    """Yield the rows of section 2.3: its table, then its list."""
    for row, (paths, *results) in TABLE.items():
        for path in paths:
            for method, result in zip(("merge", "replace", "delete"), results, strict=True):
                expected = Fails(KEY, ["child", "p"]) if result == KEY else {"child": result}
                yield f"2.3-{row}-{method}-{path}", acted(PARENT, CHILD, (method, path)), expected
    for name, parent, child, action, result in _single_actions():
        expected = Fails(KEY, ["child", "p"]) if result == KEY else {"child": result}
        yield f"2.3-{name}", acted(parent, child, action), expected
    ordered = [("delete", ".a"), ("merge", ".a"), ("delete", ".a.x")]
    yield "2.3-order", acted(PARENT, CHILD, *ordered), {"child": {"a": {"z": 3}, "c": 9}}


def _single_actions() -> Iterator[tuple[str, Any, Any, tuple[str, str], Any]]:
    merge, replace, delete = ("merge", "."), ("replace", "."), ("delete", ".")
    yield "quoted-key", {"a.b": 1, "c": 2}, {"a.b": 3}, ("merge", ".'a.b'"), {"a.b": 3, "c": 2}
    yield "merge-lists", [1, 2], [3], merge, [3]
    yield "merge-lists-below", {"l": [1, 2]}, {"l": [3]}, merge, {"l": [3]}
    yield "merge-mapping-over-scalar", {"a": 1}, {"a": {"b": 2}}, merge, {"a": {"b": 2}}
    yield "merge-scalar-over-mapping", {"a": {"b": 2}}, {"a": 1}, merge, {"a": 1}
    yield "merge-null", {"a": 1, "b": 2}, {"a": None}, merge, {"a": None, "b": 2}
    yield (
        *("merge-index", {"l": [{"a": 1}, {"b": 2}]}, {"l": [{"c": 3}]}, ("merge", ".l[0]")),
        {"l": [{"a": 1, "c": 3}, {"b": 2}]},
    )
    yield (
        *("replace-index", {"l": [{"a": 1}, {"b": 2}]}, {"l": [{"c": 3}]}, ("replace", ".l[0]")),
        {"l": [{"c": 3}, {"b": 2}]},
    )
    for method in ("merge", "replace"):
        yield (
            *(f"{method}-index-beyond", {"l": [1]}, {"l": [3, 4, 5]}, (method, ".l[2]")),
            {"l": [1, {}, 5]},
        )
        yield f"{method}-missing-way", {}, {"x": {"y": 1}}, (method, ".x.y"), {"x": {"y": 1}}
        yield (
            *(f"{method}-below-scalar-LEAVE", {"x": 5}, {"x": {"y": 1}}, (method, ".x.y")),
            KEY,
        )
        yield f"{method}-null-LEAVE", {"a": 1}, {"a": None}, (method, ".a"), {"a": None}
        yield f"{method}-data-null-LEAVE", {"a": 1}, None, (method, "."), None
    for value in (5, "text", [1], None):
        kind = type(value).__name__
        yield f"merge-whole-{kind}", {"a": 1}, value, merge, value
        yield f"replace-whole-{kind}", {"a": 1}, value, replace, value
        yield f"delete-whole-{kind}", value, {"a": 1}, delete, {}
    yield "delete-null-LEAVE", {"a": None, "b": 1}, {}, ("delete", ".a"), {"b": 1}
    same = {"a": {"v": "same"}, "b": {"v": "same"}}
    yield "delete-by-path-LEAVE", same, {}, ("delete", ".b.v"), {"a": {"v": "same"}, "b": {}}
    yield (
        *("delete-index-LEAVE", {"l": ["x", "y", "x"]}, {}, ("delete", ".l[2]")),
        {"l": ["x", "y"]},
    )
    yield "delete-1-is-not-true-LEAVE", {"a": True, "z": 1}, {}, ("delete", ".z"), {"a": True}
    for key in ("database", "data_dir", "datum"):
        yield (
            *(f"data-prefix-LEAVE-{key}", {}, {key: {"x": 1}}, ("merge", f".{key}.x")),
            {key: {"x": 1}},
        )


def replacing(name: str = "one", data: Any = None, **more: Any) -> Any:
    """Return a replacement of the document with the label ``is: p``."""
    given = {"layer": "type", "parent": P, "replacement": True, **more}
    return doc(name, {"b": 2} if data is None else data, **given)


def replacements() -> Iterator[tuple[str, Sequence[Any], Expected]]:
    """Yield the rows of section 2.4."""
    one = doc("one", {"a": 1}, labels=P)
    alone = replacing()
    yield "2.4-no-parent", [alone], Fails(REPLACEMENT, ["one"])
    yield "2.4-no-selector", [doc("one", {}, replacement=True)], Fails(REPLACEMENT, ["one"])
    yield "2.4-other-name", [one, replacing("two")], Fails(REPLACEMENT, ["two"])
    other = replacing(schema="site/Other/v1")
    yield "2.4-other-schema", [one, other], Fails(REPLACEMENT, ["one"])
    yield "2.4-same-layer", [one, replacing(layer="global")], Fails("DuplicateDocument", ["one"])
    child = doc("one", {}, layer="type", parent=P)
    yield "2.4-child-with-the-same-name", [one, child], Fails(REPLACEMENT, ["one", "one"])
    again = [replacing(labels={"is": "q"}), replacing(layer="site", parent={"is": "q"})]
    yield "2.4-replaced-again", [one, *again], Fails(REPLACEMENT, ["one"] * 3)
    yield (
        "2.4-two-of-one-name",
        [one, doc("one", {}, layer="type")],
        Fails(REPLACEMENT, ["one", "one"]),
    )
    yield (
        "2.4-two-replacements-LEAVE",
        [one, replacing(), replacing(layer="site")],
        Fails(REPLACEMENT, ["one"] * 3),
    )
    both = {"a": 1, "b": 2}
    yield "2.4-layers-on-its-parent", [one, replacing()], {"one": both}
    yield (
        "2.4-substitutes",
        [one, doc("v", 5), replacing(subs=[sub("v", ".v")])],
        {"one": {**both, "v": 5}},
    )
    user = doc("user", {}, subs=[sub("one", ".taken")])
    yield "2.4-is-the-source", [one, replacing(), user], {"user": {"taken": both}}
    sibling = doc("sibling", {"s": 1}, layer="site", parent=P)
    yield "2.4-is-the-parent", [one, replacing(), sibling], {"sibling": {**both, "s": 1}}
    yield "2.4-abstract-removes-both", [one, replacing(abstract=True)], {"one": NOT_RETURNED}
    yield (
        "2.4-abstract-is-no-source",
        [one, replacing(abstract=True), user],
        Fails(NO_SOURCE, ["user", "one"], conflict=True),
    )


def taking(data: Any, *subs: Any, source: Any = None) -> list[Any]:
    """Return a document, and a source for its substitutions."""
    return [doc("source", "v" if source is None else source), doc("user", data, subs=list(subs))]


def sources() -> Iterator[tuple[str, Sequence[Any], Expected]]:
    """Yield the rows of section 2.5 about order and sources."""
    fails = ["user", "source"]
    parent = doc("p", {"t": "X"}, labels=P, subs=[sub("source", {"path": ".t", "pattern": "X"})])
    child = doc("child", {"b": 4}, layer="site", parent=P)
    yield (
        "2.5-parents-act-in-the-parent",
        [doc("source", "v"), parent, child],
        {
            "p": {"t": "v"},
            "child": {"t": "v", "b": 4},
        },
    )
    winner = doc("child", {"t": "mine"}, layer="site", parent=P)
    yield (
        "2.5-the-childs-merge-wins",
        [doc("source", "v"), parent, winner],
        {"child": {"t": "mine"}},
    )
    after = doc("child", {"b": 4}, layer="site", parent=P, subs=[sub("source", ".b")])
    yield (
        "2.5-after-the-own-actions",
        [doc("source", "v"), doc("p", {}, labels=P), after],
        {"child": {"b": "v"}},
    )
    chain = [
        sub("source", ".t", path=".x"),
        sub("source", {"path": ".t", "pattern": "N"}, path=".n"),
    ]
    yield "2.5-in-order", taking({}, *chain, source={"x": "a N", "n": "b"}), {"user": {"t": "a b"}}
    twice = [sub("source", ".t", path=".x"), sub("source", ".t", path=".n")]
    yield "2.5-same-path-twice", taking({}, *twice, source={"x": 1, "n": 2}), {"user": {"t": 2}}
    for name, values in (("missing", []), ("abstract", [doc("source", 1, abstract=True)])):
        user = doc("user", {}, subs=[sub("source", ".a")])
        yield f"2.5-source-{name}", [*values, user], Fails(NO_SOURCE, fails, conflict=True)
    low = [doc("low", 1, layer="site"), doc("user", {}, subs=[sub("low", ".a")])]
    yield "2.5-source-of-any-layer", low, {"user": {"a": 1}}
    own = doc("child", {}, layer="site", parent=P, subs=[sub("p", ".mine", path=".c")])
    yield (
        "2.5-source-own-parent",
        [doc("p", PARENT, labels=P), own],
        {"child": {**PARENT, "mine": 9}},
    )
    for path in (".v.w", "v.w", "$.v.w"):
        one = sub("source", ".a", path=path)
        yield f"2.5-src-path-{path}", taking({}, one, source={"v": {"w": 1}}), {"user": {"a": 1}}
    for name, source in (("missing", {}), ("null", {"v": None})):
        one = sub("source", ".a", path=".v")
        yield f"2.5-src-path-{name}", taking({}, one, source=source), Fails(NO_DATA, fails)
    falsy: Sequence[Any] = (False, 0, "")
    for value in falsy:
        one = sub("source", ".a", path=".v")
        yield (
            f"2.5-src-value-{value!r}",
            taking({}, one, source={"v": value}),
            {"user": {"a": value}},
        )
    others: Sequence[Any] = ("text", 5, ["a"])
    for value in others:
        one = sub("source", ".a", path=".v")
        kind = type(value).__name__
        yield f"2.5-src-path-on-{kind}-LEAVE", taking({}, one, source=value), Fails(NO_DATA, fails)
    one = sub("source", ".a", path=".[0]")
    yield "2.5-src-index-LEAVE", taking({}, one, source=["x", "y"]), {"user": {"a": "x"}}


def source_patterns() -> Iterator[tuple[str, Sequence[Any], Expected]]:
    """Yield the rows of section 2.5 about patterns of sources."""
    fails = Fails(INVALID, ["user", "source"])
    text = "one=1 two=2"
    for name, more, value in (
        ("first-match", {"pattern": "[0-9]"}, "1"),
        ("group-0", {"pattern": "(t)wo", "match_group": 0}, "two"),
        ("group-1", {"pattern": "(t)wo", "match_group": 1}, "t"),
        ("no-match", {"pattern": "three"}, text),
    ):
        yield (
            f"2.5-src-pattern-{name}",
            taking({}, sub("source", ".a", **more), source=text),
            {"user": {"a": value}},
        )
    values: Sequence[Any] = (5, True, ["a"], {"a": "a"})
    for source in values:
        one = sub("source", ".a", pattern="a")
        yield f"2.5-src-pattern-on-{type(source).__name__}", taking({}, one, source=source), fails
    one = sub("source", ".a", pattern="v(x)?", match_group=1)
    yield "2.5-src-optional-group-LEAVE", taking({}, one), fails


def destinations() -> Iterator[tuple[str, Sequence[Any], Expected]]:
    """Yield the rows of section 2.5 about destinations."""
    fails = Fails(INVALID, ["user", "source"])
    for name, data, path, result in (
        ("mappings-made", {}, ".a.b", {"a": {"b": "v"}}),
        ("lists-made", {}, ".a[1]", {"a": [{}, "v"]}),
        ("index-beyond", {"a": [1]}, ".a[2]", {"a": [1, {}, "v"]}),
        ("below-scalar", {"a": 1}, ".a.b", None),
        ("below-null", {"a": None}, ".a.b", None),
        ("below-empty-list", {"a": []}, ".a[0]", None),
        ("whole-scalar", {"a": 1}, ".", "v"),
        ("whole-dollar", {"a": 1}, "$", "v"),
        ("quoted-LEAVE", {}, ".'a.b'", {"a.b": "v"}),
        ("bracket-LEAVE", {}, "$['a.b']", {"a.b": "v"}),
    ):
        yield (
            f"2.5-dest-{name}",
            taking(data, sub("source", path)),
            (fails if result is None else {"user": result}),
        )
    whole = sub("source", ".")
    yield (
        "2.5-dest-whole-mapping",
        taking({"a": 1, "b": {"c": 2}}, whole, source={"b": 3}),
        {"user": {"a": 1, "b": 3}},
    )
    many = sub("source", [{"path": ".a"}, {"path": ".b.c"}])
    yield "2.5-dest-list", taking({}, many), {"user": {"a": "v", "b": {"c": "v"}}}
    shared = doc(
        "user", {}, subs=[sub("source", ".m", path=".m"), sub("other", ".m.a"), sub("source", ".n")]
    )
    values = [doc("source", {"m": {"a": 1}}), doc("other", 9), shared]
    yield (
        "2.5-values-are-copied-LEAVE",
        values,
        {
            "user": {"m": {"a": 9}, "n": {"m": {"a": 1}}},
            "source": {"m": {"a": 1}},
        },
    )


def destination_patterns() -> Iterator[tuple[str, Sequence[Any], Expected]]:
    """Yield the rows of section 2.5 about patterns and recursion of destinations."""
    fails = Fails(INVALID, ["user", "source"])

    def at(path: str = ".t", pattern: str = "X[0-9]", **more: Any) -> Any:
        return sub("source", {"path": path, "pattern": pattern, **more})

    yield "2.5-dest-pattern-every-match", taking({"t": "X1-X2"}, at()), {"user": {"t": "v-v"}}
    yield "2.5-dest-pattern-number", taking({"t": "X1"}, at(), source=5), {"user": {"t": "5"}}
    for source in ({"a": 1}, [1]):
        yield (
            f"2.5-dest-pattern-{type(source).__name__}-LEAVE",
            (taking({"t": "X1"}, at(), source=source)),
            fails,
        )
    yield "2.5-dest-pattern-no-match", taking({"t": "none"}, at()), {"user": {"t": "none"}}
    for name, data in (("missing", {}), ("number", {"t": 5}), ("mapping", {"t": {"a": "X1"}})):
        yield f"2.5-dest-pattern-on-{name}", taking(data, at()), fails
    for value in (r"\1", r"\g<0>", r"\n", r"\d"):
        one = at(pattern="(X)")
        yield (
            f"2.5-dest-pattern-literal-LEAVE-{value}",
            taking({"t": "-X-"}, one, source=value),
            {"user": {"t": f"-{value}-"}},
        )
    deep = {"X1": "X1", "m": {"a": "X1", "l": ["X1", 5]}}
    for depth, result in (
        (0, deep),
        (1, {"X1": "v", "m": {"a": "X1", "l": ["X1", 5]}}),
        (2, {"X1": "v", "m": {"a": "v", "l": ["X1", 5]}}),
        (3, {"X1": "v", "m": {"a": "v", "l": ["v", 5]}}),
        (-1, {"X1": "v", "m": {"a": "v", "l": ["v", 5]}}),
    ):
        one = at(recurse={"depth": depth})
        yield f"2.5-recurse-{depth}", taking({"t": deep}, one), {"user": {"t": result}}
    one = at(recurse={"depth": 0})
    yield "2.5-recurse-on-a-text", taking({"t": "X1"}, one), {"user": {"t": "v"}}
    one = at(path=".", pattern="INSERT_[A-Z]+_HERE", recurse={"depth": -1})
    yield (
        "2.5-recurse-expression-LEAVE",
        taking({"a": ["INSERT_A_HERE"]}, one),
        {"user": {"a": ["v"]}},
    )
    one = sub("source", {"path": ".t", "recurse": {"depth": 1}})
    yield "2.5-recurse-without-pattern", taking({"t": {"a": "X1"}}, one), {"user": {"t": "v"}}


def order_and_output() -> Iterator[tuple[str, Sequence[Any], Expected]]:
    """Yield the rows of section 2.6."""
    yield "2.6-cycle-itself", [doc("a", {}, subs=[sub("a", ".x")])], Fails(CYCLE, ["a"])
    two = [doc("a", {}, subs=[sub("b", ".x")]), doc("b", {}, subs=[sub("a", ".x")])]
    yield "2.6-cycle-substitution", two, Fails(CYCLE, ["a", "b"])
    mixed = [
        doc("p", {}, labels=P, subs=[sub("child", ".x")]),
        doc("child", {}, layer="site", parent=P),
    ]
    yield "2.6-cycle-mixed", mixed, Fails(CYCLE, ["child", "p"])
    yield "2.6-abstract-not-returned", [doc("one", {}, abstract=True)], {"one": NOT_RETURNED}
    long = [doc("a", {}, subs=[sub("b", ".v")]), doc("b", {}, subs=[sub("c", ".v")]), doc("c", 1)]
    yield "2.6-sources-first", long, {"a": {"v": {"v": 1}}, "b": {"v": 1}}


ROWS = [
    *(*layers_and_parents(), *actions(), *replacements()),
    *(*sources(), *source_patterns(), *destinations(), *destination_patterns()),
    *order_and_output(),
]


@pytest.mark.parametrize(
    ("values", "expected"), [pytest.param(*row, id=name) for name, *row in ROWS]
)
def test_rendering(values: Sequence[Any], expected: Expected) -> None:
    if isinstance(expected, Fails):
        with pytest.raises(RenderingFailed) as caught:
            rendered(*values)
        _check_failure(caught.value, expected)
        return
    rendering = rendered(*values)
    for name, data in expected.items():
        found = rendering.get(THING, name)
        assert (NOT_RETURNED if found is None else found.data) == data


def _check_failure(failed: RenderingFailed, expected: Fails) -> None:
    first = failed.findings[0]
    assert first.fault.value == expected.fault
    assert sorted(each.name for each in first.documents) == sorted(expected.names)
    assert failed.conflict == expected.conflict
    assert first.message
    assert first.fault.message_name == "D001"


def test_the_names_of_rows_are_unique() -> None:
    names = [name for name, *_ in ROWS]
    assert len(set(names)) == len(names)


# Rows that are not about one document or one result.


@pytest.mark.parametrize("_row", ["2.2-policy-none"])
def test_documents_without_a_policy_are_a_conflict(_row: str) -> None:
    with pytest.raises(RenderingFailed) as caught:
        render(documents(doc("one", {})))
    _check_failure(caught.value, Fails("LayeringPolicyNotFound", [], conflict=True))


@pytest.mark.parametrize("_row", ["2.3-errors-name-action-documents-and-layers"])
def test_a_failed_action_names_all_that_it_is_about(_row: str) -> None:
    with pytest.raises(RenderingFailed) as caught:
        rendered(*acted(PARENT, CHILD, ("delete", ".b")))
    [finding] = caught.value.findings
    assert [str(each) for each in finding.documents] == [
        "site/Thing/v1 child on layer site",
        "site/Thing/v1 p on layer global",
    ]
    assert finding.path == ".metadata.layeringDefinition.actions[0].path"
    assert "delete .b" in finding.message


@pytest.mark.parametrize("_row", ["2.5-failures-name-document-path-and-reason-LEAVE"])
def test_a_failed_substitution_names_all_that_it_is_about(_row: str) -> None:
    with pytest.raises(RenderingFailed) as caught:
        rendered(*taking({"a": 1}, sub("source", ".a.b")))
    [finding] = caught.value.findings
    assert finding.path == ".metadata.substitutions[0].dest"
    assert ".a is a number" in finding.message


#: Parents without a selector, or without a matching document: both have no parent.
SAME_REASON = {"2.4-no-selector", "2.4-other-schema"}


@pytest.mark.parametrize("_row", ["2.4-each-fault-has-its-own-reason"])
def test_each_fault_of_a_replacement_has_its_own_reason(_row: str) -> None:
    reasons = set()
    for name, values, expected in replacements():
        if isinstance(expected, Fails) and expected.fault == REPLACEMENT:
            with pytest.raises(RenderingFailed) as caught:
                rendered(*values)
            reasons.add((name, caught.value.findings[0].message))
    texts = [text for name, text in reasons if name not in SAME_REASON]
    assert len(texts) == len(set(texts)) == 6


@pytest.mark.parametrize("_row", ["2.6-control-documents-are-returned"])
def test_control_documents_are_returned(_row: str) -> None:
    values = [data_schema(THING, {"type": "object"}), doc("one", {})]
    found = {each.document.kind: each.data for each in rendered(*values).documents}
    assert found["deckhand/LayeringPolicy"] == policy()["data"]
    assert found["deckhand/DataSchema"] == {"type": "object"}


@pytest.mark.parametrize("_row", ["2.6-metadata-as-posted"])
def test_metadata_is_returned_as_posted(_row: str) -> None:
    value = doc("user", {}, labels={"a": "b"}, subs=[sub("source", ".a")])
    found = rendered(doc("source", 1), value).get(THING, "user")
    assert found is not None
    assert found.value["metadata"] == value["metadata"]


@pytest.mark.parametrize("_row", ["2-order-of-input-never-matters"])
def test_the_order_of_input_does_not_matter(_row: str) -> None:
    for name, values, expected in ROWS:
        if isinstance(expected, Mapping):
            one, other = render(documents(policy(), *values)), rendered(*reversed(values))
            left = [each.value for each in one.documents]
            assert left == [each.value for each in other.documents], name
