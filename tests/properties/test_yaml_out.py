"""YAML output: read equally by parsers of YAML 1.1 and of YAML 1.2."""

import re
from typing import Any

import pytest
import yaml
from hypothesis import example, given
from hypothesis import strategies as st

from staging_api.documents.model import DocumentLimits
from staging_api.documents.reading import read_stream
from staging_api.documents.text import dump

# The core schema of YAML 1.2.2, section 10.3.2.
CORE = (
    ("null", r"null|Null|NULL|~|", ["~", "n", "N", ""]),
    ("bool", r"true|True|TRUE|false|False|FALSE", list("tTfF")),
    ("int", r"[-+]?[0-9]+|0o[0-7]+|0x[0-9a-fA-F]+", list("-+0123456789")),
    (
        "float",
        r"[-+]?(\.[0-9]+|[0-9]+(\.[0-9]*)?)([eE][-+]?[0-9]+)?|[-+]?\.(inf|Inf|INF)|\.(nan|NaN|NAN)",
        list("-+0123456789."),
    ),
)


class Core(yaml.SafeLoader):
    """A reader of scalars by the core schema of YAML 1.2."""

    yaml_implicit_resolvers: dict[str, Any] = {}  # noqa: RUF012


for kind, pattern, first in CORE:
    Core.add_implicit_resolver(f"tag:yaml.org,2002:{kind}", re.compile(f"^(?:{pattern})\\Z"), first)
Core.add_constructor(
    "tag:yaml.org,2002:int",
    lambda loader, node: int(node.value, 0) if "0o" in node.value else int(node.value),
)
Core.add_constructor("tag:yaml.org,2002:float", lambda loader, node: float(node.value))

WORDS = (
    "0644 0o14 1e3 +1e5 .5e3 1.5e3 08 1_000 12:30 1:2:3.4 y N yes Off true NULL ~ = << .inf .NaN "
    "0x1F 0b1 2020-01-01 2020-1-1 -.INF +.inf 1. - -- --- ... ? : # & * ! | > @ ` %"
)
TEXTS = st.one_of(
    st.text(max_size=20),
    st.text(st.sampled_from("-+.:_0123456789abefxoyn \n\t#"), max_size=12),
    st.sampled_from(WORDS.split()),
    st.lists(st.text(st.sampled_from("ab: #-'\"\\ "), max_size=8), max_size=4).map("\n".join),
).filter(lambda text: "\0" not in text)
NUMBERS = st.integers(-(2**63), 2**64 - 1) | st.floats(allow_nan=False, allow_infinity=False)
VALUES = st.recursive(
    st.none() | st.booleans() | NUMBERS | TEXTS,
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(TEXTS, inner, max_size=4),
    max_leaves=10,
)


@given(VALUES)
@example("\n")
@example("a\n\n")
@example(" leading\nline")
@example("trailing \nline")
@example("tab\tin\nlines")
@example("# no comment\n  indented")
@example("\x85")
@example("a\u2028b")
@example("\ufeff")
@example({"1e3": "0o14", "y": "08", "2020-1-1": "="})
@example(1e17)
@example(5e-324)
def test_readers_of_both_versions_and_ours_read_what_was_written(value):
    text = dump([value])
    assert yaml.safe_load(text) == value
    assert yaml.load(text, Loader=Core) == value
    stream = read_stream(text.encode(), DocumentLimits())
    assert stream.findings == []
    assert [node.value for node in stream.nodes] == [value]


@pytest.mark.parametrize("text", ["10.0.0.1", "a b", "v1.2.3", "host-1", "/etc/x", "12 apples"])
def test_ordinary_texts_have_no_quotes(text):
    assert dump([{"a": text}]) == f"---\na: {text}\n"


def test_several_lines_are_a_block():
    assert dump([{"a": "one\n\n  two\n"}]) == "---\na: |\n  one\n\n    two\n"


def test_keys_are_sorted_and_shared_values_written_out():
    shared = [1]
    assert dump([{"b": shared, "a": shared}]) == "---\na:\n- 1\nb:\n- 1\n"


def test_long_lines_are_not_folded():
    assert dump([{"a": "word " * 100 + "end"}]).count("\n") == 2
