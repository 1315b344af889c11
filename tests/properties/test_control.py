"""Stanzas: parsed strictly, kept word for word."""

from hypothesis import given, settings
from hypothesis import strategies as st

from staging_api.debian.control import parse_stanza, without_fields

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
