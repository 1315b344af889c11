"""Hypothesis strategies for sets of documents: most of them render, some do not."""

from typing import Any

from hypothesis import strategies as st

from tests.document_sets import doc, policy, sub

NAMES = [f"d{number}" for number in range(6)]
LAYERS = ["global", "type", "site"]
KEYS = st.sampled_from("abc")
PATHS = st.sampled_from([".", ".a", ".a.b", ".b", ".c[0]", ".c[1].a", ".a.b.c"])
LEAVES = st.none() | st.booleans() | st.integers(0, 3) | st.sampled_from(["x", "xyx", ""])
DATA = st.recursive(
    LEAVES,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(KEYS, inner, max_size=3),
    max_leaves=6,
).map(lambda value: value if isinstance(value, dict) else {"a": value, "x": "yxy"})


@st.composite
def document_values(draw: st.DrawFn, name: str, before: list[dict[str, Any]]) -> dict[str, Any]:
    """Draw a document that may substitute values from the documents before it."""
    rank = draw(st.integers(0, 2))
    names = [each["metadata"]["name"] for each in before]
    above = [
        each["metadata"]["name"]
        for each in before
        if LAYERS.index(each["metadata"]["layeringDefinition"]["layer"]) < rank
    ]
    subs = []
    for source in draw(st.lists(st.sampled_from(names), max_size=3)) if names else []:
        dest: dict[str, Any] = {"path": draw(PATHS)}
        if draw(st.booleans()):
            dest |= {"pattern": "x", "recurse": {"depth": draw(st.integers(-1, 2))}}
        subs.append(sub(source, draw(st.sampled_from([dest, [dest, {"path": ".z"}]]))))
    parent = draw(st.none() | st.sampled_from(above)) if above else None
    methods = st.sampled_from(["merge", "merge", "replace", "delete"])
    few_actions = st.lists(st.tuples(methods, PATHS), min_size=1, max_size=2)
    return doc(
        name,
        draw(DATA),
        layer=LAYERS[rank],
        labels={"p": draw(st.sampled_from([name, name, name, "d0"]))},
        parent=parent and {"p": parent},
        actions=draw(st.just([("merge", ".")]) | few_actions),
        subs=subs,
        abstract=draw(st.integers(0, 9)) == 0,
        policy=draw(st.sampled_from(["cleartext", "cleartext", "encrypted"])),
    )


@st.composite
def sets(draw: st.DrawFn) -> list[dict[str, Any]]:
    """Draw a LayeringPolicy and up to six documents."""
    values: list[dict[str, Any]] = []
    for name in NAMES[: draw(st.integers(1, len(NAMES)))]:
        values.append(draw(document_values(name, values)))
    return [policy(*LAYERS), *values]
