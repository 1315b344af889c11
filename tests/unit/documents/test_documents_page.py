"""Examples of docs/explanation/documents.md: their rendered output equals the page."""

import re
from pathlib import Path
from typing import Any

import pytest
import yaml

from staging_api.documents.model import Document, Fault, RenderingFailed
from staging_api.documents.redaction import redacted
from staging_api.documents.rendering import render
from staging_api.documents.text import load_documents

PAGE = (Path(__file__).parents[3] / "docs" / "explanation" / "documents.md").read_text()
BLOCKS = re.findall(r"^```(\w+ \w+)\n(.*?)^```$", PAGE, re.MULTILINE | re.DOTALL)
POLICY = load_documents(dict(BLOCKS)["yaml policy"].encode())


def examples(kind: str) -> list[tuple[str, str]]:
    """Return each block of a kind, with the documents before it."""
    found, documents = [], ""
    for name, text in BLOCKS:
        if name == "yaml documents":
            documents = text
        elif name == kind:
            found.append((documents, text))
    return found


def loaded(text: str) -> tuple[Document, ...]:
    return POLICY + load_documents(text.encode())


@pytest.mark.parametrize(("text", "expected"), examples("yaml rendered"))
def test_examples_render_to_what_the_page_says(text, expected):
    found = {
        each.document.name: each.data
        for each in render(loaded(text)).documents
        if not each.document.control
    }
    assert found == yaml.safe_load(expected)


@pytest.mark.parametrize(("text", "expected"), examples("yaml redacted"))
def test_redacted_examples_show_what_the_page_says(text, expected):
    rendering = render(loaded(text))
    found: dict[str, Any] = {
        each.document.name: redacted(each, rendering)["data"]
        for each in rendering.documents
        if not each.document.control
    }
    assert found == yaml.safe_load(expected)


@pytest.mark.parametrize(("text", "expected"), examples("text findings"))
def test_examples_that_cannot_be_rendered_have_these_findings(text, expected):
    with pytest.raises(RenderingFailed) as caught:
        render(loaded(text))
    lines = [f"{each.fault.value}: {each}" for each in caught.value.findings]
    assert lines == expected.splitlines()


def test_the_page_has_examples_of_each_kind():
    kinds = ("yaml rendered", "yaml redacted", "text findings")
    assert [len(examples(kind)) for kind in kinds] == [3, 1, 1]


def test_the_page_names_every_finding():
    table = {
        name
        for row in re.findall(r"^\| (`.*?) \|", PAGE, re.MULTILINE)
        for name in re.findall(r"`(\w+)`", row)
    }
    assert {fault.value for fault in Fault} <= table
