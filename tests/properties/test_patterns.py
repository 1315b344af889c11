"""Regular expressions from documents: limits of their size, and matching within a time budget."""

import pytest

from staging_api.documents.patterns import Budget, PatternInvalid, PatternTooSlow, compiled


@pytest.mark.parametrize(
    "pattern",
    [
        "((((a{100}){100}){100}){100}){100}",
        "((a{1,100}){1,100}){1,100}x",
        "a{999999999}",
        "a{1000000}" * 20,
        "(a?){5000}a{5000}",
        "(?:[a-z]{50}|b){50}",
        "(" * 2000 + ")" * 2000,
        "(?R)",
        "(?P<n>a)(?&n)",
        "(",
        "[",
        "a" * 5000,
    ],
)
def test_a_pattern_that_would_not_end_or_is_none_is_refused(pattern):
    with pytest.raises(PatternInvalid):
        compiled(pattern)


@pytest.mark.parametrize(
    "pattern",
    [
        r"^(\d{1,3}\.){3}\d{1,3}$",
        r"^[0-9a-f]{8}-([0-9a-f]{4}-){3}[0-9a-f]{12}$",
        r"^[a-z]([a-z0-9-]{0,61}[a-z0-9])?(\.[a-z]{1,63}){0,10}$",
        r"^sha256:[0-9a-f]{64}$",
        r"\{1000000\}",
        r"[{5000}]",
        r"x{,5}y{",
    ],
)
def test_ordinary_patterns_are_taken(pattern):
    assert compiled(pattern)


@pytest.mark.parametrize(
    ("pattern", "most"),
    [
        ("a{%d}", 2000),
        ("a{7,%d}", 2000),
        ("(a{2}){%d}", 1000),
        ("x(a(b{4}))?y{%d}", 1994),
    ],
)
def test_a_pattern_has_two_thousand_parts_with_its_repeats_written_out(pattern, most):
    assert compiled(pattern % most)
    with pytest.raises(PatternInvalid, match="repeats more than"):
        compiled(pattern % (most + 1))


@pytest.mark.parametrize("pattern", ["^(a|aa)+$", "(a?){600}a{600}", "(a|aa){600}$"])
@pytest.mark.parametrize("text", ["a" * 60 + "b", "ab" * 3000, "a" * 3000])
def test_a_match_ends_with_its_budget(pattern, text):
    budget = Budget(0.2)
    try:
        budget.search(pattern, text)
    except PatternTooSlow:
        with pytest.raises(PatternTooSlow):
            budget.search("a", "a")
    assert budget.seconds_left < 0.2
