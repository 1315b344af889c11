"""Incremental rendering after random series of changes: equal to a full rendering."""

import json
import random
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from staging_api.documents.model import Document, DocumentLimits, RenderingFailed
from staging_api.documents.provenance import users
from staging_api.documents.redaction import redacted
from staging_api.documents.rendering import Rendering, render
from staging_api.documents.validation import Checker
from tests.document_sets import data_schema, doc, documents, policy, sub

LAYERS = ("global", "type", "site")
NAMES = "abcdefgh"
LABELS = "klmnopqrstuvwxyz"


def random_document(values: list[dict[str, Any]], rng: random.Random) -> dict[str, Any]:
    """Return a document with a random relation to others: parent, child, replacement, source."""
    there = [each["metadata"] for each in values if "layeringDefinition" in each["metadata"]]
    if there and rng.random() < 0.4:
        return changed(rng.choice([each for each in values if each["metadata"] in there]), rng)
    above, name = rng.choice([*there, None]), rng.choice(NAMES)
    parent, layer, replacement = None, rng.choice(LAYERS), False
    if above is not None and rng.random() < 0.6:
        parent = {"own": above["labels"]["own"]}
        layer = "site" if rng.random() < 0.5 else "type"
        replacement = rng.random() < 0.3
        name = above["name"] if replacement else name
    others = [each["name"] for each in rng.sample(there, min(len(there), rng.randrange(3)))]
    return doc(
        name,
        rng.choice([{"v": rng.randrange(3)}, {"v": {"w": 1}, "x": "a-v-b"}, {}]),
        schema="site/Other/v1" if rng.random() < 0.05 else "site/Thing/v1",
        layer=layer,
        labels={"own": rng.choice(LABELS), "kind": "thing"},
        parent=parent,
        actions=rng.choice([[("merge", ".")], [("replace", ".")], [("delete", ".v")]]),
        subs=[
            sub(each, rng.choice([".v", ".t", {"path": ".", "pattern": "v"}])) for each in others
        ],
        abstract=rng.random() < 0.1,
        replacement=replacement,
        policy=rng.choice(["cleartext", "cleartext", "encrypted"]),
    )


def changed(value: dict[str, Any], rng: random.Random) -> dict[str, Any]:
    """Return the document with other data, or with other labels."""
    if rng.random() < 0.6:
        return value | {"data": {"v": rng.randrange(9), "x": "v"}}
    labels = value["metadata"]["labels"] | {"own": rng.choice(LABELS)}
    return value | {"metadata": value["metadata"] | {"labels": labels}}


def random_change(values: list[dict[str, Any]], rng: random.Random) -> list[dict[str, Any]]:
    """Add and remove some documents, and rarely change the layers or a schema."""
    kept = [value for value in values if rng.random() > 0.03]
    come = [random_document(values, rng) for _ in range(rng.choice((0, 1, 1, 2)))]
    if rng.random() < 0.1:
        come.append(policy(*rng.sample(LAYERS, rng.choice((2, 3, 3)))))
    if rng.random() < 0.1:
        come.append(data_schema("site/Thing/v1", {"maxProperties": rng.randrange(1, 4)}))
    after = {identity_of(value): value for value in (*kept, *come)}
    return list(after.values())


def identity_of(value: dict[str, Any]) -> tuple[str, ...]:
    metadata = value["metadata"]
    layer = metadata.get("layeringDefinition", {}).get("layer", "")
    return value["schema"], layer, metadata["name"]


def outcome(values: list[Document], previous: Rendering | None) -> Any:
    """Return the rendering, or the errors that prevent it, in a form that can be compared."""
    try:
        rendering = render(values, previous)
    except RenderingFailed as error:
        found = {
            (each.fault, each.documents, each.message, each.path, each.line)
            for each in error.findings
        }
        return None, found
    shown = [
        (
            each.document.identity,
            each.value,
            each.digest,
            each.size,
            each.parent,
            each.sources,
            each.returned,
            sorted(map(str, each.secret_paths)),
            redacted(each, rendering),
            each.warnings,
            users(rendering, each.document.identity),
        )
        for each in rendering.everything
    ]
    return rendering, (
        shown,
        [each.document.name for each in rendering.documents],
        rendering.digest,
    )


@given(st.integers(0, 1 << 32))
@settings(max_examples=80, deadline=None, suppress_health_check=[HealthCheck.too_slow])
def test_after_any_series_of_changes_parts_and_whole_are_the_same(seed):
    rng = random.Random(seed)
    good = [policy(*LAYERS)]
    previous: Rendering | None = None
    sound: Rendering | None = None
    for _ in range(15):
        values = random_change(good, rng)
        taken = list(documents(*values))
        rng.shuffle(taken)
        made, by_parts = outcome(taken, previous)
        whole, from_scratch = outcome(taken, None)
        assert by_parts == from_scratch
        if made is None or whole is None:
            continue
        previous, good = made, values
        found = Checker().findings(whole)
        assert Checker().findings(made, before=sound) == found
        if not found:
            sound = made


def test_the_changes_of_that_test_reach_others_and_fail_often_enough():
    rng = random.Random(7)
    reached = failed = 0
    good, previous = [policy(*LAYERS)], None
    for _ in range(400):
        values = random_change(good, rng)
        made, _ = outcome(list(documents(*values)), previous)
        if made is None:
            failed += 1
            continue
        related = made.relations
        reached += len(related.reached_from(related.touched) - related.touched) > 0
        good, previous = values, made
    assert min(reached, failed) > 40, (reached, failed)


BASE = [
    doc("base", {"v": 1}, labels={"is": "base"}),
    doc("base", {"w": 2}, layer="type", parent={"is": "base"}, replacement=True),
    doc("child", {"x": 3}, layer="site", parent={"is": "base"}),
    doc("user", {}, subs=[sub("base", ".taken"), sub("child", ".child")]),
    doc("aside", {"v": 5}),
]


@pytest.mark.parametrize(
    "after",
    [
        pytest.param([BASE[0], *BASE[2:]], id="the replacement goes"),
        pytest.param([BASE[0] | {"data": {"v": 9}}, *BASE[1:]], id="the replaced one changes"),
        pytest.param(
            [*BASE, doc("near", {"n": 1}, layer="type", labels={"is": "base"})],
            id="a nearer parent comes",
        ),
        pytest.param([*BASE[:2], BASE[2] | {"data": {}}, *BASE[3:]], id="a child changes"),
        pytest.param([policy("site", "type", "global"), *BASE], id="layers turn round"),
        pytest.param([BASE[0], *BASE[2:4]], id="two go"),
        pytest.param([*BASE[2:3], BASE[4]], id="the parents go"),
        pytest.param([*BASE[:4], doc("aside", {}, abstract=True)], id="one becomes abstract"),
    ],
)
@pytest.mark.parametrize("back", [False, True])
def test_each_kind_of_change_there_and_back(after, back):
    def taken(values: list[dict[str, Any]]) -> list[Document]:
        policies = [] if any("Policy" in each["schema"] for each in values) else [policy()]
        return list(documents(*policies, *values))

    first, second = (after, BASE) if back else (BASE, after)
    try:
        before = render(taken(first))
    except RenderingFailed:
        before = render(taken([]))
    _, by_parts = outcome(taken(second), before)
    _, whole = outcome(taken(second), None)
    assert by_parts == whole


def test_a_parent_that_is_a_source_too_is_waited_for_once():
    """The other source is finished later: the document must wait for that source as well."""
    values = [
        doc("chain-1", "end"),
        doc("chain-2", {}, subs=[sub("chain-1", ".v")]),
        doc("chain-3", {}, subs=[sub("chain-2", ".v", path=".v")]),
        doc("parent", {"a": 1}, labels={"is": "p"}),
        doc(
            "child",
            {},
            layer="site",
            parent={"is": "p"},
            subs=[sub("parent", ".p"), sub("chain-3", ".c", path=".v")],
        ),
    ]
    child = render(documents(policy(), *values)).get("site/Thing/v1", "child")
    assert child is not None
    assert child.data == {"a": 1, "p": {"a": 1}, "c": "end"}


def test_a_posted_copy_of_the_same_documents_keeps_what_was_rendered():
    first = documents(policy(), *BASE)
    again = documents(policy(), *BASE, collection="another")
    before = render(first)
    after = render(again, before)
    for old, new in zip(before.everything, after.everything, strict=True):
        assert (new.data is old.data, new.document.collection) == (True, "another")


def test_only_what_changed_is_related_again():
    before = render(documents(policy(), *BASE))
    after = render(documents(policy(), *BASE[:4], doc("aside", {"v": 6})), before)
    assert [each.name for each in after.relations.touched] == ["aside"]


def test_what_was_kept_counts_towards_the_limit():
    values = [policy(), *(doc(f"d{number}", "x" * 1000) for number in range(10))]
    limits = DocumentLimits(rendered_size=12_500)
    before = render(documents(*values), limits=limits)
    more = documents(*values, doc("more", "y" * 2000))
    for previous in (None, before):
        with pytest.raises(RenderingFailed) as caught:
            render(more, previous, limits)
        assert {each.fault.value for each in caught.value.findings} == {"LimitExceeded"}


def test_one_selector_of_thousands_is_matched_once():
    """Comparing all 25 million pairs of child and parent would take minutes."""
    parents = [doc(f"p{number}", {}, labels={"is": "p"}) for number in range(5000)]
    children = [
        doc(f"c{number}", {}, layer="site", parent={"is": "p"}, labels={"is": "c"})
        for number in range(5000)
    ]
    with pytest.raises(RenderingFailed) as caught:
        render(documents(policy(), *parents, *children))
    [finding, *_] = caught.value.findings
    assert finding.fault == "IndeterminateDocumentParent"
    assert len(finding.documents) < 30
    assert "5000 documents" in finding.message


def test_a_long_cycle_is_named_in_short():
    count = 3000
    ring = [
        doc(f"d{number}", {}, subs=[sub(f"d{(number + 1) % count}", ".v")])
        for number in range(count)
    ]
    with pytest.raises(RenderingFailed) as caught:
        render(documents(policy(), *ring))
    [finding] = caught.value.findings
    assert finding.fault == "SubstitutionDependencyCycle"
    assert f"({count + 1 - 20} more)" in finding.message
    assert len(json.dumps(finding.message)) < 2000
