"""Validation of archives and suites, at both sides of each limit."""

from collections.abc import Callable

import pytest

from staging_api.errors import Invalid
from staging_api.publishing import rules

Check = Callable[[str, str], str]


@pytest.mark.parametrize(
    ("check", "value", "taken"),
    [
        (rules.line, " " + "x" * 499, "x" * 499),
        (rules.component, "updates/main", "updates/main"),
        (rules.component, "a/b/c/d", "a/b/c/d"),
        (rules.architecture, "amd64", "amd64"),
        (rules.architecture, "kfreebsd-amd64", "kfreebsd-amd64"),
    ],
)
def test_a_value_that_can_be_published_is_taken(check: Check, value: str, taken: str) -> None:
    assert check("field", value) == taken


@pytest.mark.parametrize(
    ("check", "value", "reason"),
    [
        (rules.line, "x" * 501, "may have 500 characters at most"),
        (rules.line, "a\nb", "may have no line break or control character"),
        (rules.component, "a b", "is not a component's name"),
        (rules.component, "a/b/c/d/e", "is not a component's name"),
        (rules.component, "main/source", "is a folder for other files of a suite"),
        (rules.architecture, "AMD64", "is not an architecture's name"),
        (rules.architecture, "all", "in the index of each architecture"),
        (rules.architecture, "linux-any", "is not the architecture of a machine"),
    ],
)
def test_a_value_that_could_not_be_published_is_refused_with_its_reason(
    check: Check, value: str, reason: str
) -> None:
    with pytest.raises(Invalid, match=r"^field: ") as refused:
        check("field", value)
    assert reason in refused.value.detail
