"""Files that the command line posts as one text, and positions of their lines in it."""

import io
import itertools
import json
import sys
from pathlib import Path

import pytest
import yaml

from staging_api.cli.documents.messages import diagnostic_of
from staging_api.cli.documents.posted import read_files
from staging_api.documents.model import DEFAULT_LIMITS
from staging_api.documents.reading import read_stream
from staging_api.errors import Invalid

CONTENTS = {
    "first.yaml": "a: 1\nb: 2",
    "second.txt": "--- {a: 3}\n--- {a: 4}\n",
    "site/commented.yaml": "# first\n\n--- {a: 5}\n",
    "site/deep/directive.yml": "# said\n%YAML 1.1\n---\na: 6\n",
    "site/empty.yaml": "",
    "site/sixteen.yaml": "a: 7\nb: \u00e4\n",
    "site/windows.yaml": "a: 8\r\nb: 9\r\n",
}
VALUES = [
    {"a": 1, "b": 2},
    {"a": 3},
    {"a": 4},
    {"a": 5},
    {"a": 6},
    {"a": 7, "b": "\u00e4"},
    {"a": 8, "b": 9},
]


@pytest.fixture
def files(tmp_path: Path) -> list[str]:
    """Create two files and a folder with further nested ones, beside files that are not YAML."""
    (tmp_path / "site" / "deep").mkdir(parents=True)
    (tmp_path / "site" / "notes.txt").write_text("not: [yaml")
    (tmp_path / "site" / "folder.yaml").mkdir()
    for name, text in CONTENTS.items():
        encoding = "utf-16" if "sixteen" in name else "utf-8-sig" if "first" in name else "utf-8"
        (tmp_path / name).write_bytes(text.encode(encoding))
    return [str(tmp_path / name) for name in ("first.yaml", "second.txt", "site")]


def test_all_files_are_one_stream_of_documents(files: list[str]) -> None:
    posted = read_files(files)
    stream = read_stream(posted.text, DEFAULT_LIMITS)
    assert not stream.findings
    assert [each.value for each in stream.nodes if each.value is not None] == VALUES
    values = [each for each in yaml.safe_load_all(posted.text) if each is not None]
    assert values == VALUES


def test_each_document_is_found_in_its_file(files: list[str]) -> None:
    posted = read_files(files)
    found = read_stream(posted.text, DEFAULT_LIMITS).nodes
    assert len(found) >= len(VALUES)
    for node in found:
        name, _, line = posted.place(node.line).rpartition(":")
        nodes = read_stream(Path(name).read_bytes(), DEFAULT_LIMITS).nodes
        assert node.value is None or (node.value, int(line)) in [
            (each.value, each.line) for each in nodes
        ]


PARTS = [
    "",
    "# c\n",
    "a: 1\n",
    "---\na: 1\n",
    "%YAML 1.1\n---\na: 1\n",
    "# c\n%YAML 1.1\n--- {a: 1}\n",
    "---\n",
    "a: 1\n...\n",
    "a: |\n  x\n\n",
    "a: 1\n---\n",
    "--- >-\n  a\n",
]


@pytest.mark.parametrize("first", ["", "a: 0\n"])
def test_files_of_every_form_follow_each_other(tmp_path: Path, first: str) -> None:
    names = [str(tmp_path / str(number)) for number in range(3)]
    for chosen in itertools.product([first], PARTS, PARTS):
        for name, part in zip(names, chosen, strict=True):
            Path(name).write_text(part)
        stream = read_stream(read_files(names).text, DEFAULT_LIMITS)
        alone = [read_stream(part.encode(), DEFAULT_LIMITS).nodes for part in chosen]
        assert not stream.findings, chosen
        assert [each.value for each in stream.nodes if each.value is not None] == [
            each.value for nodes in alone for each in nodes if each.value is not None
        ], chosen


@pytest.mark.parametrize(
    "fault", ["a: [", "a: {", "a: 'x", "a: 1\na: 2", "a: *b", "[", "a: 1\n b: 2"]
)
@pytest.mark.parametrize("after", ["b: 1\n", "---\nb: 1\n", "%YAML 1.1\n---\nb: 1\n", "# c\n"])
def test_a_fault_is_in_its_own_file(tmp_path: Path, fault: str, after: str) -> None:
    contents = ["z: 1\n", fault, after]
    names = [str(tmp_path / str(number)) for number in range(3)]
    for name, text in zip(names, contents, strict=True):
        Path(name).write_text(text)
    posted = read_files(names)
    findings = read_stream(posted.text, DEFAULT_LIMITS).findings
    assert findings
    assert posted.place(findings[0].line or 0).startswith(f"{names[1]}:")


def test_one_file_is_posted_as_it_is(files: list[str]) -> None:
    for name in CONTENTS:
        file = Path(files[0]).parent / name
        posted = read_files([str(file)])
        assert posted.text == file.read_bytes()
        assert posted.place(2) == f"{file}:2"


def test_a_message_about_this_collection_gets_its_place(files: list[str]) -> None:
    posted = read_files(files)
    ours = [
        {"message": "m", "diagnostic": json.dumps({"line": 5, "path": ".a", **more})}
        for more in ({}, {"collection": "site"})
    ]
    others = [{"message": "m", "diagnostic": text} for text in ("line 4", "[1]", "", None)]
    others.append({"message": "m", "diagnostic": json.dumps({"line": 4, "collection": "b"})})
    *located, last = posted.located([*ours, *others, {"message": "m"}], "site")
    assert located == [*({**each, "place": f"{files[1]}:1"} for each in ours), *others]
    assert last == {"message": "m"}
    assert diagnostic_of(ours[0])["path"] == ".a"


def test_standard_input_is_read_once(files: list[str], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys, "stdin", io.TextIOWrapper(io.BytesIO(b"z: 1\n")))
    posted = read_files([files[0], "-"])
    assert list(yaml.safe_load_all(posted.text)) == [{"a": 1, "b": 2}, {"z": 1}]
    assert posted.place(5) == "-:1"
    with pytest.raises(Invalid, match="only once"):
        read_files(["-", "-"])


def test_a_file_that_cannot_be_read_is_named(tmp_path: Path) -> None:
    with pytest.raises(Invalid, match=r"never.yaml: cannot be read: No such file"):
        read_files([str(tmp_path / "never.yaml")])
    (tmp_path / "readme.md").write_text("x")
    with pytest.raises(Invalid, match=r"has no .yaml or .yml file"):
        read_files([str(tmp_path)])
    (tmp_path / "latin.yaml").write_bytes(b"a: \xe4\n")
    (tmp_path / "other.yaml").write_text("b: 1\n")
    with pytest.raises(Invalid, match=r"latin.yaml: must be UTF-8"):
        read_files([str(tmp_path)])
