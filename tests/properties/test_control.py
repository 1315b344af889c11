"""Stanzas: parsed strictly, preserved literally."""

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from staging_api.debian.control import parse_stanza, without_fields
from staging_api.debian.errors import FormatError

_NAMES = st.from_regex(r"[A-Za-z][A-Za-z0-9-]{0,8}", fullmatch=True)
_VALUES = st.text(st.characters(codec="utf-8", exclude_categories=["Cc", "Cs", "Z"]), max_size=12)


@settings(max_examples=30)
@given(st.dictionaries(_NAMES.map(str.lower), st.tuples(_VALUES, st.lists(_VALUES, max_size=3))))
def test_a_written_stanza_is_read_back(fields: dict[str, tuple[str, list[str]]]) -> None:
    expected = {
        name: "\n".join([first, *(f" .{line}" for line in folded)])
        for name, (first, folded) in fields.items()
    }
    text = "\n".join(f"{name.title()}: {value}" for name, value in expected.items())
    assert not expected or parse_stanza(text) == expected


def test_taking_fields_out_leaves_the_rest_word_for_word() -> None:
    text = "Source: a\nFiles:\n one\n\ttwo\nX-Other:  b\nfiles-too: c"
    assert without_fields(text, frozenset({"source", "files"})) == "X-Other:  b\nfiles-too: c"


@pytest.mark.parametrize(
    ("text", "line"),
    [
        ("A: 1\nB: 2\na: 3\nC: 4", "a: 3"),
        ("A: 1\nB: 2\n more\nno colon\nC: 4", "no colon"),
        ("A: 1\n\nB: 2", ""),
        (" A: 1\nB: 2", " A: 1"),
        ("A: 1\nb b: 2\nb b: 3", "b b: 2"),
    ],
)
def test_the_first_line_that_is_wrong_is_shown(text: str, line: str) -> None:
    with pytest.raises(FormatError) as refused:
        parse_stanza(text)
    assert str(refused.value).endswith(f"wrong or repeated line: {line!r}")
