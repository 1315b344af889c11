"""Versions: parsed, with sort keys in Debian's order."""

import re

import pytest
from hypothesis import given
from hypothesis import strategies as st

from staging_api.debian.errors import FormatError
from staging_api.debian.version import parse_version
from tests.versions import VERSIONS


def compare(left: str, right: str) -> int:
    """Compare by Policy 5.6.12 as it is worded, character by character: the reference order."""
    for a, b in zip(_parts(left), _parts(right), strict=True):
        if verdict := _compare_part(a, b):
            return verdict
    return 0


def _parts(text: str) -> tuple[str, str, str]:
    epoch, _, rest = text.rpartition(":") if ":" in text else ("0", "", text)
    upstream, _, revision = rest.rpartition("-") if "-" in rest else (rest, "", "")
    return epoch, upstream, revision


def _compare_part(a: str, b: str) -> int:
    while a or b:
        text_a, text_b = (re.match(r"\D*", part)[0] for part in (a, b))  # type: ignore[index]
        a, b = a[len(text_a) :], b[len(text_b) :]
        ranks_a, ranks_b = _ranks(text_a), _ranks(text_b)
        if ranks_a != ranks_b:
            return 1 if ranks_a > ranks_b else -1
        digits_a, digits_b = (re.match(r"\d*", part)[0] for part in (a, b))  # type: ignore[index]
        a, b = a[len(digits_a) :], b[len(digits_b) :]
        if int(digits_a or 0) != int(digits_b or 0):
            return 1 if int(digits_a or 0) > int(digits_b or 0) else -1
    return 0


def _ranks(text: str) -> list[int]:
    ranks = [-1 if c == "~" else ord(c) if c.isalpha() else 256 + ord(c) for c in text]
    return [*ranks, 0]


@given(VERSIONS, VERSIONS)
def test_keys_order_as_policy_compares(left: str, right: str) -> None:
    a, b = parse_version(left).sort_key, parse_version(right).sort_key
    assert (a > b) - (a < b) == compare(left, right)


@given(st.lists(VERSIONS, min_size=2, max_size=8))
def test_keys_are_printable_ascii_without_blanks(texts: list[str]) -> None:
    assert all(re.fullmatch(r"[!-~]+", parse_version(text).sort_key) for text in texts)


@given(VERSIONS, VERSIONS, VERSIONS)
def test_policy_order_is_an_order(a: str, b: str, c: str) -> None:
    """The reference order of the tests above must itself be antisymmetric and transitive."""
    assert compare(a, b) == -compare(b, a)
    if compare(a, b) <= 0 and compare(b, c) <= 0:
        assert compare(a, c) <= 0


@pytest.mark.parametrize(
    "ascending",
    [
        ["1.0~~", "1.0~~a", "1.0~", "1.0", "1.0-1", "1.0a", "1.0+b1", "1.0.1", "1.1"],
        ["9", "10", "99", "100", "1" + "0" * 24, "1" + "0" * 25, "1" + "0" * 30],
        ["1-1", "1-2", "1-10", "1.0-1", "1:0", "2:0"],
    ],
)
def test_known_orders(ascending: list[str]) -> None:
    keys = [parse_version(text).sort_key for text in ascending]
    assert keys == sorted(set(keys))
    assert all(re.fullmatch(r"[!-~]+", key) for key in keys)


@pytest.mark.parametrize(
    ("one", "other"), [("1.0", "1.00"), ("1", "0:1"), ("1.0", "1.0-0"), ("1a", "1a0")]
)
def test_equal_versions_have_equal_keys(one: str, other: str) -> None:
    assert parse_version(one).sort_key == parse_version(other).sort_key


@pytest.mark.parametrize(
    "text",
    [
        *("", "a1", "1_0", "1 0", "1-", "-1", ":1", "a:1", "1:", "-1:1", "1.0\n", "٣", "1-é"),
        *("2147483648:1", "1" * 257),
    ],
)
def test_invalid_versions_are_refused(text: str) -> None:
    with pytest.raises(FormatError):
        parse_version(text)


@pytest.mark.parametrize(
    ("text", "parts"),
    [
        ("1:2.0-3-4", (1, "2.0-3", "4")),
        ("2.0", (0, "2.0", "")),
        ("1:2:3-4", (1, "2:3", "4")),
        ("2147483647:1", (2147483647, "1", "")),
        ("1" * 256, (0, "1" * 256, "")),
    ],
)
def test_parts(text: str, parts: tuple[int, str, str]) -> None:
    version = parse_version(text)
    assert (version.epoch, version.upstream, version.revision) == parts


def test_file_names_carry_no_epoch() -> None:
    assert parse_version("7:1.0-2").without_epoch == "1.0-2"
