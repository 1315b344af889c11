"""Validation of rendered documents: built-in kinds, DataSchemas, and endless schemas."""

import json
from typing import Any

import jsonschema
import pytest
from hypothesis import given
from hypothesis import strategies as st

from staging_api.documents.model import (
    DEFAULT_LIMITS,
    DocumentLimits,
    DocumentsInvalid,
    Finding,
    RenderingFailed,
)
from staging_api.documents.rendering import render
from staging_api.documents.text import load_documents
from staging_api.documents.validation import SECRET_KINDS, Checker, check_schemas, validate
from staging_api.documents.validation.cpu_budget import CpuBudget
from staging_api.documents.validation.watched import validator_of
from tests.document_sets import data_schema, doc, documents, policy, rendered, secret, sub

SCHEMA = {
    "type": "object",
    "required": ["name"],
    "properties": {
        "name": {"type": "string", "pattern": "^[a-z]+$"},
        "mode": {"enum": ["a", "b"]},
        "ports": {"type": "array", "uniqueItems": True, "items": {"maximum": 9}},
    },
    "additionalProperties": False,
}
QUICK = DocumentLimits(check_seconds=0.2)


def findings(
    schema: Any, data: Any, limits: DocumentLimits = DEFAULT_LIMITS
) -> tuple[Finding, ...]:
    rendering = rendered(data_schema("site/Thing/v1", schema), doc("one", data))
    return Checker().findings(rendering, limits)


def complaints(schema: Any, data: Any) -> list[tuple[str, str, str]]:
    return [(each.fault.value, each.path, each.message) for each in findings(schema, data)]


def test_data_that_its_schema_takes_has_no_findings():
    assert complaints(SCHEMA, {"name": "x", "mode": "a", "ports": [1, 2]}) == []


@pytest.mark.parametrize(
    ("data", "path", "message"),
    [
        ({}, ".data", 'lacks the key "name"'),
        ({"name": 5}, ".data.name", 'is a number, and must be of type "string"'),
        ({"name": "X"}, ".data.name", 'must match the pattern "^[a-z]+$"'),
        ({"name": "x", "mode": "c"}, ".data.mode", 'must be one of ["a","b"]'),
        ({"name": "x", "ports": [1, 10]}, ".data.ports[1]", "must satisfy maximum: 9"),
        ({"name": "x", "ports": [1, 1.0]}, ".data.ports", "must not have an element twice"),
        ({"name": "x", "more": 1}, ".data.more", "is not a known key"),
        ([], ".data", 'is a list, and must be of type "object"'),
    ],
)
def test_a_finding_says_where_and_what_would_be_right(data, path, message):
    assert complaints(SCHEMA, data) == [("InvalidData", path, message)]


def test_a_finding_of_data_names_both_documents_and_the_part_of_the_schema():
    [finding] = findings(SCHEMA, {"name": 5})
    assert finding.fault.message_name == "D002"
    assert [each.name for each in finding.documents] == ["one", "site/Thing/v1"]
    assert finding.diagnostic == {
        "schema_path": ["properties", "name", "type"],
        "validation_schema": "site/Thing/v1",
        "error_section": 5,
    }


def test_a_finding_has_the_line_of_the_posted_text():
    raw = b"""schema: deckhand/LayeringPolicy/v1
metadata: {schema: metadata/Control/v1, name: p}
data: {layerOrder: [global]}
---
schema: deckhand/DataSchema/v1
metadata: {schema: metadata/Control/v1, name: site/Thing/v1}
data:
  properties: {a: {type: string}}
---
# a comment
schema: site/Thing/v1
metadata:
  schema: metadata/Document/v1
  name: one
  storagePolicy: cleartext
  layeringDefinition: {layer: global}
data:
  b: 1
  a: 2
"""
    [finding] = validate(render(load_documents(raw)))
    assert (finding.path, finding.line, finding.index) == (".data.a", 19, 2)


def test_data_is_checked_as_it_is_rendered():
    schema = data_schema("site/Thing/v1", {"properties": {"a": {"type": "integer"}}})
    base = doc("base", {"a": "text"}, labels={"is": "p"}, abstract=True)
    child = doc("child", {"a": 1}, layer="site", parent={"is": "p"})
    assert Checker().findings(rendered(schema, base, child)) == ()
    child["data"] = {}
    [finding] = Checker().findings(rendered(schema, base, child))
    assert finding.documents[0].name == "child"


def test_documents_without_a_schema_of_theirs_are_not_checked():
    other = doc("one", 5, schema="site/Other/v1")
    assert validate(rendered(data_schema("site/Thing/v1", SCHEMA), other)) == ()


@pytest.mark.parametrize("kind", sorted(SECRET_KINDS))
def test_secret_kinds_have_texts(kind):
    schema = f"{kind}/v1"
    found = validate(rendered(doc("good", "text", schema=schema), doc("bad", [1], schema=schema)))
    assert [(each.documents[0].name, each.fault.value) for each in found] == [
        ("bad", "InvalidData")
    ]


@pytest.mark.parametrize("uri", ["http://json-schema.org/draft-07/schema#", "nonsense", None])
def test_every_schema_is_draft_4_whatever_it_says(uri):
    schema = {"$schema": uri, "maximum": 3, "exclusiveMaximum": True, "const": 1}
    schema = {key: value for key, value in schema.items() if value is not None}
    assert len(complaints(schema, 3)) == 1
    assert complaints(schema, 2) == []


@pytest.mark.parametrize(
    ("schema", "path"),
    [
        ({"type": "oops"}, ".data.type"),
        ({"properties": {"a": {"maximum": "x"}}}, ".data.properties.a.maximum"),
        ({"properties": {"a": {"pattern": "("}}}, ".data.properties.a.pattern"),
        ({"patternProperties": {"(": {}}}, ".data.patternProperties"),
        ({"multipleOf": 0}, ".data.multipleOf"),
    ],
)
def test_a_schema_that_is_none_is_found_when_it_is_posted(schema, path):
    found = check_schemas(documents(data_schema("site/Thing/v1", schema)))
    assert [(each.fault.value, each.path) for each in found] == [("InvalidDataSchema", path)]
    # This schema checks no data; other schemas still do.
    assert [each[0] for each in complaints(schema, {"a": 1})] == ["InvalidDataSchema"]


def test_patterns_in_enum_and_default_are_data():
    schema = {"enum": [{"pattern": "("}], "default": {"patternProperties": {"(": 1}}}
    assert check_schemas(documents(data_schema("site/Thing/v1", schema))) == ()


def test_a_reference_that_nothing_reaches_may_lead_nowhere():
    schema = {"properties": {"a": {"$ref": "#/definitions/missing"}}}
    assert complaints(schema, {}) == []
    [(fault, _, message)] = complaints(schema, {"a": 1})
    assert fault == "InvalidDataSchema"
    assert "leads nowhere" in message


@pytest.mark.parametrize(
    "reference",
    ["#", "http://127.0.0.1:9/schema", "file:///etc/passwd", "//[", "#/%zz", 5, {"a": 1}, None],
)
def test_a_reference_is_never_followed_outside_and_never_raises(reference):
    found = complaints({"$ref": reference}, 1)
    assert [fault for fault, _, _ in found] == ["InvalidDataSchema"]


def twice_each(keyword: str, leaf: dict[str, Any]) -> dict[str, Any]:
    """Return a schema of 40 definitions, each of which refers twice to the next."""
    definitions: dict[str, Any] = {"d0": leaf}
    for number in range(1, 40):
        below = {"not": {"$ref": f"#/definitions/d{number - 1}"}}
        definitions[f"d{number}"] = {keyword: [below, below]}
    return {"definitions": definitions, "$ref": "#/definitions/d39"}


@pytest.mark.parametrize(
    ("schema", "data"),
    [
        pytest.param({"pattern": "^(a|aa)+$"}, "a" * 60 + "b", id="pattern"),
        pytest.param({"patternProperties": {"^(a|aa)+$": {}}}, {"a" * 60 + "b": 1}, id="keys"),
        pytest.param(
            {"patternProperties": {"^(a|aa)+$": {}}, "additionalProperties": False},
            {"a" * 60 + "b": 1},
            id="additional keys",
        ),
        pytest.param(twice_each("anyOf", {"type": "integer"}), 1, id="anyOf"),
        pytest.param(twice_each("oneOf", {"type": "integer"}), 1, id="oneOf"),
    ],
)
def test_a_check_that_does_not_end_is_a_finding(schema, data):
    [finding] = findings(schema, data, QUICK)
    assert finding.fault == "InvalidData"
    assert "too long" in finding.message


def test_errors_do_not_keep_texts_that_quote_the_data():
    with CpuBudget(5, 5).one_check():
        [error] = validator_of({"anyOf": [{"type": "string"}] * 3}).iter_errors(["swordfish"])
    assert len(error.context) == 3
    assert not any("swordfish" in f"{each.message}{each.args}" for each in [error, *error.context])


def test_unique_items_are_not_compared_in_pairs():
    assert findings({"uniqueItems": True}, [{"a": number} for number in range(10_000)]) == ()


def test_findings_never_quote_a_secret():
    schema = {
        "properties": {
            "password": {"type": "integer"},
            "nested": {"type": "string"},
            "open": {"type": "string"},
        },
        "maxProperties": 1,
    }
    rendering = rendered(
        data_schema("site/Thing/v1", schema),
        secret("pass", {"key": {"deep": "swordfish"}}),
        doc(
            "one",
            {"open": 7},
            subs=[
                sub("pass", ".password", schema="deckhand/Passphrase/v1", path=".key.deep"),
                sub("pass", ".nested", schema="deckhand/Passphrase/v1", path=".key"),
            ],
        ),
    )
    found = [each for each in validate(rendering) if each.documents[0].name == "one"]
    assert {each.path for each in found} == {
        ".data",
        ".data.password",
        ".data.nested",
        ".data.open",
    }
    text = json.dumps([(each.message, each.path, each.diagnostic) for each in found])
    assert "swordfish" not in text
    assert "deep" not in text
    shown = [each.path for each in found if "error_section" in each.diagnostic]
    assert shown == [".data.open"]


@pytest.mark.parametrize(
    ("schema", "data"),
    [
        ({"enum": ["swordfish"]}, "x"),
        ({"required": ["swordfish"]}, {}),
        ({"pattern": "^swordfish$"}, "x"),
        ({"not": {"enum": ["x", "swordfish"]}}, "x"),
        ({"$ref": "#/definitions/swordfish"}, 1),
        ({"properties": {"swordfish": {"type": "oops"}}}, {}),
        ({"patternProperties": {"swordfish(": {}}}, {}),
    ],
)
def test_findings_never_quote_a_schema_that_is_a_secret(schema, data):
    hidden = data_schema("site/Thing/v1", schema)
    hidden["metadata"]["storagePolicy"] = "encrypted"
    found = Checker().findings(rendered(hidden, doc("one", data)))
    found += check_schemas(documents(hidden))
    assert found
    assert "swordfish" not in repr(found)
    # A schema that is not secret is still quoted.
    assert "swordfish" in repr(findings({"enum": ["swordfish"]}, "x"))


def test_keys_below_a_secret_are_not_named():
    schema = {"properties": {"a": {"additionalProperties": False}}}
    rendering = rendered(
        data_schema("site/Thing/v1", schema),
        secret("pass", {"swordfish": 1}),
        doc("one", {}, subs=[sub("pass", ".a", schema="deckhand/Passphrase/v1")]),
    )
    [finding] = [each for each in validate(rendering) if each.documents[0].name == "one"]
    assert finding.path == ".data.a"
    assert "swordfish" not in str(finding)


def test_what_was_found_sound_is_not_checked_again(monkeypatch):
    checker = Checker()
    sets = (
        data_schema("site/Thing/v1", SCHEMA),
        doc("one", {"name": "x"}),
        doc("two", {"name": "y"}),
    )
    assert checker.findings(rendered(*sets)) == ()
    checked: list[Any] = []
    monkeypatch.setattr(
        "staging_api.documents.validation.schemas.CompiledSchema.errors",
        lambda self, data, watch: checked.append(data) or [],
    )
    sets[2]["data"] = {"name": "z"}
    assert checker.findings(rendered(*sets)) == ()
    assert checked == [{"name": "z"}]


def test_a_changed_schema_judges_anew():
    checker = Checker()
    sets = data_schema("site/Thing/v1", {}), doc("one", 5)
    assert checker.findings(rendered(*sets)) == ()
    sets[0]["data"] = {"type": "string"}
    assert len(checker.findings(rendered(*sets))) == 1


VALUES = st.recursive(
    st.none() | st.booleans() | st.integers(-3, 3) | st.sampled_from(["", "a", "b", "1"]),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.sampled_from("ab"), inner),
    max_leaves=6,
)
SCHEMAS = st.recursive(
    st.sampled_from(
        [
            {"type": "object"},
            {"type": ["string", "null"]},
            {"enum": [1, "a", None]},
            {"pattern": "^a"},
            {"minimum": 1},
            {"required": ["a"]},
            {"uniqueItems": True},
            {"additionalProperties": False, "properties": {"a": {}}},
            {"additionalProperties": {"type": "string"}, "patternProperties": {"^a": {}}},
            {"maxItems": 1},
            {"minProperties": 1},
        ]
    ),
    lambda inner: st.one_of(
        st.fixed_dictionaries({"properties": st.fixed_dictionaries({"a": inner, "b": inner})}),
        st.fixed_dictionaries({"items": inner}),
        st.fixed_dictionaries({"items": st.lists(inner, min_size=1, max_size=2)}),
        st.fixed_dictionaries({"not": inner}),
        st.fixed_dictionaries({"anyOf": st.lists(inner, min_size=1, max_size=3)}),
        st.fixed_dictionaries({"oneOf": st.lists(inner, min_size=1, max_size=3)}),
        st.fixed_dictionaries({"dependencies": st.fixed_dictionaries({"a": inner})}),
    ),
    max_leaves=5,
)


@given(SCHEMAS, VALUES)
def test_watched_checks_find_what_the_library_finds(schema, value):
    expected = sorted(
        (list(map(str, each.absolute_path)), str(each.validator))
        for each in jsonschema.Draft4Validator(schema).iter_errors(value)
        if each.validator != "additionalProperties"
    )
    with CpuBudget(5, 5).one_check():
        errors = list(validator_of(schema).iter_errors(value))
    found = sorted(
        (list(map(str, each.absolute_path)), str(each.validator))
        for each in errors
        if each.validator != "additionalProperties"
    )
    assert found == expected
    assert jsonschema.Draft4Validator(schema).is_valid(value) == (not errors)


def test_control_documents_are_checked_when_they_are_read():
    bad = data_schema("site/Thing/v1", 5)
    with pytest.raises(DocumentsInvalid):
        documents(bad)


def of_version(version, name, data, **more):
    schema = data_schema(name, data)
    schema["metadata"].update(more)
    return {**schema, "schema": f"deckhand/DataSchema/{version}"}


@pytest.mark.parametrize("order", [("v1", "v2"), ("v2", "v1")])
@pytest.mark.parametrize("wrong", [5, "text"])
def test_two_schemas_of_one_name_are_a_finding_and_both_judge(order, wrong):
    data = {"v1": {"type": "string"}, "v2": {"type": "integer"}}
    rivals = [of_version(version, "site/Thing/v1", data[version]) for version in order]
    others = [data_schema("site/Other/v1", {}), doc("other", 1, schema="site/Other/v1")]
    rival, *judged = Checker().findings(rendered(*rivals, *others, doc("one", wrong)))
    assert rival.fault == "DuplicateDocument"
    assert rival.level == "Error"
    assert [each.schema for each in rival.documents] == [
        "deckhand/DataSchema/v1",
        "deckhand/DataSchema/v2",
    ]
    assert "deckhand/DataSchema/v1 and deckhand/DataSchema/v2" in rival.message
    [judgement] = judged
    assert [each.name for each in judgement.documents] == ["one", "site/Thing/v1"]
    assert judgement.documents[1].schema.endswith("v1" if wrong == 5 else "v2")


def test_a_second_schema_of_a_name_is_found_by_a_checker_that_knew_the_first():
    checker, one = Checker(), doc("one", 1)
    before = rendered(of_version("v1", "site/Thing/v1", {}), one)
    assert checker.findings(before) == ()
    schemas = [of_version(version, "site/Thing/v1", {}) for version in ("v1", "v2")]
    after = render(documents(policy(), *schemas, one), before)
    assert [each.fault for each in checker.findings(after, before=before)] == ["DuplicateDocument"]


def test_two_layers_of_one_schema_are_one_document_twice():
    layers = [
        of_version("v1", "site/Thing/v1", {}, layeringDefinition={"layer": layer})
        for layer in ("global", "site")
    ]
    with pytest.raises(RenderingFailed) as caught:
        rendered(*layers)
    assert [each.fault for each in caught.value.findings] == ["DuplicateDocument"]
