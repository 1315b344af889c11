"""Limits of documents: the last accepted and the first refused value of each."""

import base64
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from staging_api.documents.differences import compare
from staging_api.documents.lines import DocumentLines
from staging_api.documents.model import Document, DocumentsInvalid
from staging_api.documents.paths import shortened
from staging_api.documents.patterns import Budget, PatternInvalid, compiled
from staging_api.documents.provenance import why
from staging_api.documents.reading import read_stream
from staging_api.documents.rendering import render
from staging_api.documents.scalars import ScalarRefused, plain
from staging_api.documents.sealing import KeyRing, read_keys
from staging_api.documents.text import dump
from staging_api.documents.validation import Checker
from staging_api.documents.validation.build_lists import BUILDS_SCHEMA
from staging_api.errors import Invalid
from tests.document_sets import data_schema, doc, document_of, documents, failure, policy, rendered
from tests.unit.documents.test_yaml_in import LIMITS


def raises(kind: type[Exception], words: str, call: Callable[[], object]) -> bool:
    with pytest.raises(kind, match=words):
        call()
    return True


def checked(value: Any, *others: Any) -> list[str]:
    """Return the messages about rendered documents."""
    found = Checker().findings(rendered(value, *others))
    return [each.message for each in found]


@pytest.mark.parametrize("sign", [1, -1])
def test_a_number_has_64_bits(sign: int) -> None:
    last = (1 << 64) - 1 if sign > 0 else -(1 << 63)
    assert plain(str(last)) == last
    assert raises(ScalarRefused, "64 bits", lambda: plain(str(last + sign)))


def test_a_number_has_160_characters() -> None:
    longest = "0b".ljust(160, "0")
    assert plain(longest) == 0
    assert raises(ScalarRefused, "more than 160 characters", lambda: plain(longest + "0"))


def test_a_stream_has_a_thousand_tag_directives() -> None:
    stream = "".join(f"%TAG !a{number}! x\n" for number in range(1000)) + "--- a"
    assert [node.value for node in read_stream(stream.encode(), LIMITS).nodes] == ["a"]
    one_more = ("%TAG !a! x\n" + stream).encode()
    (finding,) = read_stream(one_more, LIMITS).findings
    assert "more than 1000 %TAG directives" in finding.message


def test_an_answer_has_a_hundred_faults_of_a_stream_and_of_one_document() -> None:
    assert len(read_stream(b"a: [" + b"2020-01-01, " * 150 + b"]", LIMITS).findings) == 100
    odd = {**doc("one", 1), **{f"k{number}": 1 for number in range(150)}}
    with pytest.raises(DocumentsInvalid) as refused:
        document_of(odd)
    assert len(refused.value.findings) == 100


def test_a_name_and_a_schema_have_64_characters() -> None:
    schema = f"{'a' * 30}/{'b' * 30}/v1"
    (made,) = documents(doc("n" * 64, 1, schema=schema))
    assert (len(made.name), len(made.schema)) == (64, 64)
    assert raises(DocumentsInvalid, "may have 64", lambda: documents(doc("n" * 65, 1)))
    longer = doc("n", 1, schema=f"a{schema}")
    assert raises(DocumentsInvalid, "must be letters", lambda: documents(longer))


def test_lines_are_looked_up_in_documents_of_two_mebibytes() -> None:
    text = b"a: 1\nb: 1\n".ljust(2 << 20)
    assert DocumentLines(text, 5).of(("b",)) == 6
    assert DocumentLines(text + b" ", 5).of(("b",)) == 5


def test_a_pattern_has_4096_characters() -> None:
    longest = f"[{'a' * 4094}]"
    assert compiled(longest)
    assert raises(PatternInvalid, "more than 4096 characters", lambda: compiled(f"{longest}b"))


def test_a_pattern_matches_a_hundred_thousand_times_in_one_text() -> None:
    assert len(Budget(60).matches("a", "a" * 100_000)) == 100_000
    often = "a" * 100_001
    assert raises(PatternInvalid, "more than 100000 times", lambda: Budget(60).matches("a", often))


def test_messages_show_200_characters_of_a_name() -> None:
    assert shortened("a" * 200) == "a" * 200
    assert shortened("a" * 201) == "a" * 200 + "..."


@pytest.mark.parametrize(("keys", "places"), [(9_999, 10_000), (10_000, 10_000)])
def test_the_places_of_one_document_are_listed_up_to_ten_thousand(keys: int, places: int) -> None:
    base = doc("base", {"k0": 0}, labels={"is": "p"})
    own = {f"k{number}": number for number in range(keys)}
    found = rendered(base, doc("one", own, layer="site", parent={"is": "p"}))
    one = found.get("site/Thing/v1", "one")
    assert one is not None
    assert len(why(one)) == places


def test_a_document_names_a_thousand_builds() -> None:
    def builds(count: int) -> dict[str, Any]:
        return doc("b", {"builds": [{"archive_url": "gs://b/R"}] * count}, schema=BUILDS_SCHEMA)

    assert checked(builds(1000)) == []
    assert checked(builds(1001)) == ["must be a list of at most 1000 builds"]


def test_a_check_of_one_document_has_twenty_findings() -> None:
    schema = data_schema("site/Thing/v1", {"items": {"type": "string"}})
    assert len(checked(doc("one", [1] * 19), schema)) == 19
    assert len(checked(doc("one", [1] * 25), schema)) == 20


@pytest.mark.parametrize(("length", "quoted"), [(1998, True), (1999, False)])
def test_a_finding_quotes_two_thousand_characters_of_data(length: int, quoted: bool) -> None:
    schema = data_schema("site/Thing/v1", {"type": "object"})
    (finding,) = Checker().findings(rendered(doc("one", "a" * length), schema))
    assert ("error_section" in finding.diagnostic) == quoted


def test_a_checker_forgets_before_it_keeps_too_much(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("_SCHEMAS_KEPT", "_VERDICTS_KEPT"):
        monkeypatch.setattr(f"staging_api.documents.validation.checks.{name}", 3)
    checker = Checker()
    for number in range(8):
        schema = data_schema("site/Thing/v1", {"minimum": number})
        assert checker.findings(rendered(doc("one", 9), schema)) == ()
        assert len(checker._compiled) <= 3
        assert len(checker._sound) <= 3


@pytest.mark.parametrize(("length", "changes"), [(200, 1), (201, 201)])
def test_lists_of_two_hundred_elements_are_aligned(length: int, changes: int) -> None:
    longer = [f"e{number}" for number in range(length)]
    (found,) = compare(documents(doc("one", longer[1:])), documents(doc("one", longer)))
    assert len(found.paths) == changes
    assert {each.old for each in found.paths[:-1]} <= set(longer)


@pytest.mark.parametrize("more", [0, 1])
def test_documents_of_twenty_thousand_lines_have_a_diff(more: int) -> None:
    # All except the first line, which only marks the beginning of a document.
    others = dump([doc("one", ["last"])]).count("\n") - 1 - 1

    def lines(last: str) -> tuple[Document, ...]:
        return documents(doc("one", ["x"] * (20_000 - others - 1 + more) + [last]))

    (found,) = compare(lines("old"), lines("new"))
    assert bool(found.text) == (not more)


def test_keys_of_a_file_have_names_of_64_characters_and_32_bytes(tmp_path: Path) -> None:
    def ring(name: str, length: int) -> KeyRing:
        keys = [f"equality {base64.b64encode(bytes(32)).decode()}"]
        keys.append(f"{name} {base64.b64encode(bytes(length)).decode()}")
        (tmp_path / "keys").write_text("\n".join(keys))
        return read_keys(tmp_path / "keys")

    assert ring("k" * 64, 32).current == "k" * 64
    # The nonce, the ciphertext, and the tag of AES-GCM.
    assert len(ring("k", 32).seal(b"text", "row")) == 12 + 4 + 16
    assert raises(Invalid, "line 2 must be a name and a key", lambda: ring("k" * 65, 32))
    assert raises(Invalid, "32 bytes", lambda: ring("k", 33))


def test_a_finding_names_twenty_of_many_documents() -> None:
    many = [doc(f"p{number:02}", 1, labels={"is": "p"}) for number in range(25)]
    fault, names = failure(*many, doc("child", 1, layer="site", parent={"is": "p"}))
    assert fault == "IndeterminateDocumentParent"
    assert names == ["child", *(f"p{number:02}" for number in range(20))]


@pytest.mark.parametrize(
    ("length", "named", "more"), [(19, 19, ""), (20, 20, "(1 more)"), (25, 20, "(6 more)")]
)
def test_a_cycle_names_twenty_of_its_documents(length: int, named: int, more: str) -> None:
    ring = [
        doc(f"c{number:02}", {"v": 1}, subs=[sub_of(f"c{(number + 1) % length:02}")])
        for number in range(length)
    ]
    with pytest.raises(DocumentsInvalid) as refused:
        render(documents(policy(), *ring))
    (finding,) = refused.value.findings
    assert len(finding.documents) == named
    assert finding.message.count(" needs ") == named
    assert more in finding.message
    assert bool(more) == ("more)" in finding.message)


def sub_of(source: str) -> dict[str, Any]:
    return {
        "src": {"schema": "site/Thing/v1", "name": source, "path": ".v"},
        "dest": {"path": ".w"},
    }
