"""YAML streams: accepted as clients and the ancestor read them, or refused with a position."""

import json
from typing import Any

import pytest
import yaml
from hypothesis import example, given
from hypothesis import strategies as st

from staging_api.documents.model import DocumentLimits, DocumentsInvalid, Fault
from staging_api.documents.reading import read_stream
from staging_api.documents.text import dump, load_documents
from tests.document_sets import doc, policy

LIMITS = DocumentLimits()


def values_of(text: str | bytes, limits: DocumentLimits = LIMITS) -> list[Any]:
    stream = read_stream(text.encode() if isinstance(text, str) else text, limits)
    assert stream.findings == []
    return [node.value for node in stream.nodes]


def refused(
    text: str | bytes, limits: DocumentLimits = LIMITS
) -> list[tuple[str, int | None, str]]:
    stream = read_stream(text.encode() if isinstance(text, str) else text, limits)
    return [(finding.path, finding.line, finding.message) for finding in stream.findings]


@pytest.mark.parametrize(
    ("text", "value"),
    [
        ("0644", 420),
        ("0o644", "0o644"),
        ("0x1F", 31),
        ("0b101", 5),
        ("1_000", 1000),
        ("12:30:45", 45045),
        ("190:20:30.15", 685230.15),
        ("08", "08"),
        ("1e3", "1e3"),
        ("1.5e3", "1.5e3"),
        ("1.5e+3", 1500.0),
        (".5", 0.5),
        ("+1", 1),
        ("yes", True),
        ("Off", False),
        ("y", "y"),
        ("~", None),
        ("=", "="),
        ("'0644'", "0644"),
        ('"2020-01-01"', "2020-01-01"),
        ("! 12", "12"),
        ("!!str 12", "12"),
        ('!!int "12"', 12),
        ("!!float 1", 1.0),
        ("!!bool on", True),
        ("!!null ''", None),
        ("!!map {a: 1}", {"a": 1}),
        ("!!seq [1]", [1]),
        ("18446744073709551615", 18446744073709551615),
        ("-9223372036854775808", -9223372036854775808),
    ],
)
def test_scalars_are_read_as_yaml_1_1(text, value):
    read = values_of(f"a: {text}")[0]["a"]
    assert (read, type(read)) == (value, type(value))


@pytest.mark.parametrize(
    "text",
    [
        "2020-01-01",
        "2001-12-14t21:59:43.10-05:00",
        ".nan",
        ".inf",
        "-.INF",
        "1.0e+999",
        "18446744073709551616",
        "-9223372036854775809",
        "1" * 5000,
        "1:" * 500 + "1",
        "0x_",
        "0b_",
        "!!int abc",
        "!!timestamp 2020-01-01",
        "!!binary aGk=",
        "!!set {a}",
        "!!omap [a: 1]",
        "!custom 1",
        "!!python/name:os.system x",
        '"\\0"',
        "*missing",
        "&a [*a]",
    ],
)
def test_a_scalar_that_json_cannot_hold_is_refused_with_its_place(text):
    [(path, line, message)] = refused(f"first: 1\nlist:\n- sound\n- {text}\n")
    assert (path.split("[")[:2], line) == ([".list", "1]"], 4)
    assert message
    assert len(message) < 300


def test_a_refused_scalar_is_reported_each_time():
    assert [line for _, line, _ in refused("a: 2020-01-01\nb: 2020-01-01\n")] == [1, 2]


@pytest.mark.parametrize("key", ["a", "1", "yes", "~", "'x.y'"])
def test_a_key_twice_is_refused_with_the_line_of_the_second(key):
    [(_, line, message)] = refused(f"top:\n  {key}: 1\n  other: 2\n  {key}: 3\n")
    assert (line, "twice" in message) == (4, True)


def test_a_number_and_its_text_are_the_same_key():
    assert "twice" in refused("1: a\n'1': b\n")[0][2]


def test_keys_become_their_json_text():
    assert values_of("1: a\nyes: b\n~: c\n0644: d\n1.5: e\n") == [
        {"1": "a", "true": "b", "null": "c", "420": "d", "1.5": "e"}
    ]


@pytest.mark.parametrize(
    "between", ["\ufeff---\n", "...\n\ufeff---\n", "---\n\ufeff", "...\n\ufeff# b\n---\n"]
)
def test_the_mark_of_a_later_document_counts_as_that_of_the_first(between: str) -> None:
    stream = read_stream(f"\ufeffa: 1\n{between}b: x\ufeff---\n".encode(), LIMITS)
    assert stream.findings == []
    assert [node.value for node in stream.nodes] == [{"a": 1}, {"b": "x\ufeff---"}]
    assert "".join(node.text.decode() for node in stream.nodes).count("\ufeff") == 1


def test_a_name_or_layer_that_is_no_text_is_one_fault() -> None:
    text = dump([doc("a", {})]).replace("name: a", "name: 123").replace("layer: global", "layer: 1")
    with pytest.raises(DocumentsInvalid) as refused_for:
        load_documents(text.encode())
    assert [each.path for each in refused_for.value.findings] == [
        ".metadata.layeringDefinition.layer",
        ".metadata.name",
    ]


@pytest.mark.parametrize("text", ["? [a]\n: 1", "? {a: 1}\n: 1", "x: &x [1]\n*x : 2"])
def test_a_container_as_key_is_refused(text):
    assert "cannot be a key" in refused(text)[-1][2]


@pytest.mark.parametrize(
    ("text", "value"),
    [
        ("{<<: {x: 1}, x: 2}", {"x": 2}),
        ("{x: 2, <<: {x: 1, y: 3}}", {"x": 2, "y": 3}),
        ("{<<: [{x: 1}, {x: 2, y: 3}]}", {"x": 1, "y": 3}),
        ("{'<<': {x: 1}}", {"<<": {"x": 1}}),
        ("{<<: []}", {}),
    ],
)
def test_merge_keys_are_those_of_yaml_1_1(text, value):
    assert values_of(f"a: {text}") == [{"a": value}]
    assert yaml.safe_load(f"a: {text}") == {"a": value}


@pytest.mark.parametrize("text", ["{<<: 1}", "{<<: [1]}", "{<<: {a: 1}, <<: {b: 1}}"])
def test_a_merge_of_something_else_is_refused(text):
    assert "<<" in refused(f"a: {text}")[0][2]


def test_depth_is_limited_before_the_scanner_gets_slow():
    assert "deep" in refused("[" * 500_000)[0][2]
    assert "deep" in refused("- " * 500_000)[0][2]
    assert values_of("[" * 100 + "]" * 100)


@pytest.mark.parametrize("text", ["!swordfish", "!!swordfish", "!swordfish {a: 1}", "*swordfish"])
def test_a_password_that_is_taken_for_a_tag_or_an_alias_is_not_quoted(text: str) -> None:
    ((path, line, message),) = refused(f"data: {text}\n")
    assert (path, line) == (".data", 1)
    assert "swordfish" not in message


def test_aliases_count_as_if_written_out():
    laughs = "a0: &a0 [x, x, x, x, x, x, x, x, x, x]\n" + "".join(
        f"a{n}: &a{n} [{', '.join([f'*a{n - 1}'] * 10)}]\n" for n in range(1, 12)
    )
    assert "aliases" in refused(laughs)[0][2]
    long_text = f"t: &t {'x' * 1000}\nl: [{', '.join(['*t'] * 1000)}]\n"
    assert values_of(long_text)
    assert "aliases" in refused(long_text, DocumentLimits(expanded_size=500_000))[0][2]


def test_tag_directives_are_limited():
    many = "".join(f"%TAG !a{n}! x\n" for n in range(2000)) + "--- a"
    assert "%TAG" in refused(many)[0][2]


def test_documents_of_one_stream_are_limited():
    assert "documents" in refused("--- 1\n" * 4, DocumentLimits(documents=3))[0][2]
    assert len(values_of("--- 1\n" * 3, DocumentLimits(documents=3))) == 3


def test_unknown_keys_of_one_document_are_limited():
    raw = "".join(f"k{number}: 1\n" for number in range(1000)).encode()
    with pytest.raises(DocumentsInvalid) as caught:
        load_documents(raw)
    assert len(caught.value.findings) == LIMITS.findings


def test_a_stream_over_the_limit_is_refused_unread():
    assert "bytes" in refused("a: 1", DocumentLimits(stream_bytes=3))[0][2]


@pytest.mark.parametrize(
    "raw",
    [b"\xff", b"a: \xc3", b"\xff\xfea", b"\xfe\xff\xd8\x00", "a".encode("utf-32"), b"a\x00b"],
)
def test_bytes_that_are_not_text_are_refused(raw):
    assert refused(raw)[0][1] == 1


@pytest.mark.parametrize("encoding", ["utf-8", "utf-8-sig", "utf-16", "utf-16-le", "utf-16-be"])
@pytest.mark.parametrize("end", ["\n", "\r\n", "\r"])
def test_streams_of_every_encoding_and_line_end_read_the_same(encoding, end):
    text = "a: é\nb:\t0644\n---\nc: [2020-01-01]\n".replace("\n", end)
    mark = "\ufeff" if encoding in ("utf-16-le", "utf-16-be") else ""
    stream = read_stream((mark + text).encode(encoding), LIMITS)
    assert [node.value for node in stream.nodes] == [{"a": "é", "b": 420}]
    [finding] = stream.findings
    assert (finding.index, finding.line, finding.path) == (1, 4, ".c[0]")


@pytest.mark.parametrize(
    "stream",
    [
        pytest.param("\n".join(f"k{number}: 1" for number in range(1000)), id="keys"),
        pytest.param("[" + "1," * 1500 + "]", id="elements"),
        pytest.param("[" + "[]," * 1500 + "]", id="containers"),
        pytest.param("- &a 1\n" + "- *a\n" * 1500, id="aliases"),
        pytest.param("--- 1\n" * 1500, id="documents"),
    ],
)
def test_keys_and_values_of_one_stream_are_limited(stream):
    assert "1000 keys and values" in refused(stream, DocumentLimits(values=1000))[0][2]
    assert not refused(stream, DocumentLimits(values=2002))


def test_findings_of_one_stream_are_limited():
    assert len(refused("a: [" + "2020-01-01, " * 5000 + "]")) == LIMITS.findings


def test_one_bad_document_does_not_hide_the_faults_of_the_next():
    assert [line for _, line, _ in refused("a: .nan\n---\nb: 1\n---\nc: .nan\n")] == [1, 5]


@given(st.text(st.sampled_from("-+.:_0123456789abefxonytYNOsETRulinaZ~=<"), min_size=1, max_size=9))
@example("1.")
@example("-.5")
@example("0_")
@example("+0x1_f")
def test_plain_scalars_read_as_pyyaml_reads_them(text):
    source = f"a: {text}\n"
    try:
        expected = yaml.safe_load(source)
    except (yaml.YAMLError, ValueError):
        return
    stream = read_stream(source.encode(), LIMITS)
    if stream.findings:
        assert not is_json(expected)
    else:
        assert stream.nodes[0].value == json_keys(expected)


def is_json(value: Any) -> bool:
    try:
        text = json.dumps(value, allow_nan=False)
    except (TypeError, ValueError):
        return False
    return not any(len(digits) > 18 for digits in text.split())


def json_keys(value: Any) -> Any:
    return json.loads(json.dumps(value))


def taken_or_refused(raw: bytes) -> bool:
    try:
        load_documents(raw)
    except DocumentsInvalid as error:
        return bool(error.findings)
    return True


@given(st.binary(max_size=60))
def test_no_bytes_raise_anything_but_findings(raw):
    assert taken_or_refused(raw)


@given(st.text(st.sampled_from("ab:-[]{}&*!|>'\"\\\n #%?,<0~.\t"), max_size=40))
@example("'' \t'")
@example("a: 1\n...\n- [")
def test_no_text_raises_anything_but_findings(text):
    assert taken_or_refused(text.encode())


def test_texts_of_documents_joined_are_the_stream():
    raw = "# first\na: é\n---\nb: 1 # last\n...\n%YAML 1.1\n---\nc: 2\n".encode()
    nodes = read_stream(raw, LIMITS).nodes
    assert b"".join(node.text for node in nodes) == raw
    assert [yaml.safe_load(node.text) for node in nodes] == [node.value for node in nodes]
    assert [node.line for node in nodes] == [2, 3, 6]


def test_empty_documents_are_skipped():
    assert load_documents(b"---\n---\n# nothing\n") == ()
    assert load_documents(b"") == ()


def test_a_finding_names_document_field_and_line():
    raw = b"""---
schema: site/Network/v1
metadata: {schema: metadata/Control/v1, name: one}
data: 1
---
# two
schema: site/Network/v1
metadata:
  schema: metadata/Document/v1
  name: two
  storagePolicy: sometimes
  layeringDefinition: {layer: site}
data: 1
"""
    with pytest.raises(DocumentsInvalid) as caught:
        load_documents(raw)
    [finding] = caught.value.findings
    assert finding.fault is Fault.INVALID_DOCUMENT_FORMAT
    assert (finding.index, finding.line, finding.path) == (1, 11, ".metadata.storagePolicy")
    assert str(finding.documents[0]) == "site/Network/v1 two"


def replacing(name, layer):
    return doc(name, {}, layer=layer, parent={"is": "p"}, replacement=True)


@pytest.mark.parametrize(
    ("values", "fault", "named"),
    [
        ([doc("one", 1), doc("one", 2)], "DuplicateDocument", 1),
        ([doc("one", 1), doc("one", 2, layer="site")], "InvalidDocumentReplacement", 2),
        ([replacing("one", "type"), replacing("one", "site")], "InvalidDocumentReplacement", 2),
        ([policy(name="one"), policy(name="two")], "LayeringPolicyNotUnique", 2),
        (
            [policy(), {**policy(), "schema": "deckhand/LayeringPolicy/v2"}],
            "LayeringPolicyNotUnique",
            2,
        ),
    ],
)
def test_a_stream_holds_nothing_twice_that_a_revision_holds_once(values, fault, named):
    with pytest.raises(DocumentsInvalid) as caught:
        load_documents(dump([*values, doc("other", 1)]).encode())
    [finding] = caught.value.findings
    assert (finding.fault.value, finding.index, len(finding.documents)) == (fault, 1, named)
    assert "line 1" in finding.message
    assert finding.line is not None
    assert finding.line > 1


def test_a_document_and_its_replacement_may_be_in_one_stream():
    stream = dump([doc("one", 1, labels={"is": "p"}), replacing("one", "site")]).encode()
    assert len(load_documents(stream)) == 2
