"""Output of documents: byte for byte, and after everything printed before."""

import io
import json
import sys

import pytest

from staging_api.cli.documents.reading import print_text


def printed(monkeypatch: pytest.MonkeyPatch, text: bytes, *, as_json: bool) -> bytes:
    """Return the bytes of standard output with something printed before and after the text."""
    raw = io.BytesIO()
    output = io.TextIOWrapper(raw, encoding="utf-8")
    with monkeypatch.context() as patched:
        patched.setattr(sys, "stdout", output)
        print("before")
        print_text(text, as_json=as_json)
        print("after")
        output.flush()
    return raw.getvalue()


def test_text_comes_as_it_is_and_in_its_turn(monkeypatch: pytest.MonkeyPatch) -> None:
    found = printed(monkeypatch, b"a: \xff\r\n", as_json=False)
    assert found == b"before\na: \xff\r\nafter\n"


def test_text_as_json_is_one_line(monkeypatch: pytest.MonkeyPatch) -> None:
    before, line, after = printed(monkeypatch, b"a: b\n", as_json=True).splitlines()
    assert (before, json.loads(line), after) == (b"before", {"text": "a: b\n"}, b"after")
