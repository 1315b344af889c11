"""Values in the auditors' questions: as input, and as displayed."""

from datetime import UTC, datetime, timedelta, timezone
from decimal import Decimal
from typing import Any

import pytest

from staging_api.db.audit_queries import audit_queries
from staging_api.errors import Invalid, NotFound
from staging_api.staging.audit_questions import (
    AuditQuestions,
    cell,
    parameters_line,
    plain,
    time_of,
    values_of,
)

NOON = datetime(2026, 1, 31, 12, tzinfo=UTC)


def query_with(*parameters: str) -> Any:
    return next(each for each in audit_queries() if set(each.parameters) == set(parameters))


@pytest.mark.parametrize(
    "text", ["2026-01-31T12:00:00", "2026-01-31T14:00:00+02:00", "2026-01-31T12:00:00Z"]
)
def test_a_time_is_in_utc_unless_it_says_otherwise(
    monkeypatch: pytest.MonkeyPatch, text: str
) -> None:
    found = time_of("since", text)
    assert (found, found.utcoffset()) == (NOON, timedelta(0))


@pytest.mark.parametrize("text", ["noon", "", "2026-13-01", "0001-01-01T00:00:00+20:00"])
def test_what_is_no_time_is_refused_by_its_name(text: str) -> None:
    with pytest.raises(Invalid, match="is no time such as"):
        time_of("until", text)


def test_the_values_of_a_question_are_those_given() -> None:
    query = query_with("since", "until")
    found = values_of(query, {"since": "2026-01-31T12:00:00"}, ["gs://x"])
    assert found["since"] == NOON
    assert "until" not in found, "the database knows what time it is"
    with pytest.raises(Invalid, match=r"takes since=\.\.\., until=\.\.\."):
        values_of(query, {"moment": "2026-01-31"}, [])


def test_a_question_without_a_value_that_it_needs_is_refused() -> None:
    query = query_with("caller", "since", "until")
    with pytest.raises(Invalid, match="needs caller="):
        values_of(query, {"since": "2026-01-31"}, [])
    assert values_of(query, {"caller": "me,you"}, [])["caller"] == "me,you"


def test_the_prefixes_that_are_allowed_are_those_of_the_service_or_given() -> None:
    query = next(each for each in audit_queries() if "allowed" in each.parameters)
    assert values_of(query, {}, ["gs://x"])["allowed"] == ["gs://x"]
    assert values_of(query, {"allowed": "gs://a,gs://b"}, [])["allowed"] == ["gs://a", "gs://b"]


def test_a_question_is_found_by_its_name() -> None:
    questions = AuditQuestions(database=None)  # type: ignore[arg-type]
    for query in questions.all:
        assert questions.find(query.name) is query
    with pytest.raises(NotFound, match="no question nothing"):
        questions.find("nothing")


def test_the_parameters_of_a_question_are_told_in_words() -> None:
    assert parameters_line(query_with()) == "nothing: it has no parameters"
    assert parameters_line(query_with("since", "until")) == "since=..., until=..."


@pytest.mark.parametrize(
    ("value", "shown"),
    [
        (None, ""),
        ("text", "text"),
        (3, "3"),
        (Decimal("3.00"), "3"),
        (Decimal("3.25"), "3.25"),
        (
            datetime(2026, 1, 31, 12, tzinfo=timezone(timedelta(hours=1))),
            "2026-01-31T12:00:00+01:00",
        ),
        (["a", None, Decimal(2)], "a  2"),
        (("a", "b"), "a b"),
    ],
)
def test_a_value_is_shown_in_a_cell(value: object, shown: str) -> None:
    assert cell(value) == shown


def test_numbers_stay_numbers_for_json() -> None:
    found = [plain(Decimal("3.00")), plain(Decimal("3.25"))]
    assert [(each, type(each)) for each in found] == [(3, int), (3.25, float)]
