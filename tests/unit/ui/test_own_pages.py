"""Return addresses of forms: only pages of the service. Days in forms: UTC by default."""

from datetime import UTC, datetime

import pytest

from staging_api.errors import Invalid
from staging_api.ui.answering import is_own_page
from staging_api.ui.screens.artifact_actions import _back, _moment


@pytest.mark.parametrize(
    "location",
    ["/", "/?a=b", "/ui/", "/ui/builds", "/ui/builds?prefix=gs://a/../b", "/static/a/b.log"],
)
def test_pages_of_the_service_are_its_own(location: str) -> None:
    assert is_own_page(location)


@pytest.mark.parametrize(
    "location",
    [
        "",
        "ui/builds",
        "/api/v1.0/me",
        "//other.test/ui/",
        "https://other.test/ui/",
        "/ui",
        "/ui/../api/v1.0/me",
        "/ui/..",
        "/static/../api/v1.0/me",
        "/static",
        "/ui/\\other.test",
        "/ui/a\r",
        "/ui/a\nb",
        "/ui/a\tb",
        "/ui/a b",
        "/ui/a?b=c d",
        "/?\\",
    ],
)
def test_other_locations_are_no_pages_of_the_service(location: str) -> None:
    assert not is_own_page(location)


def test_an_action_leads_back_to_the_page_that_it_was_done_on() -> None:
    assert _back({"back": "/ui/store"}).location == "/ui/store"
    assert _back({"back": "//other.test/"}).location == _back({}).location == "/ui/builds"


def test_a_day_of_a_form_is_of_utc_unless_it_says_otherwise() -> None:
    assert _moment("2027-01-31") == datetime(2027, 1, 31, tzinfo=UTC)
    assert _moment("2027-01-31T10:00") == datetime(2027, 1, 31, 10, tzinfo=UTC)
    assert _moment("2027-01-31T10:00+02:00") == datetime(2027, 1, 31, 8, tzinfo=UTC)
    with pytest.raises(Invalid, match="must be a day") as refused:
        _moment("soon")
    assert [each.field for each in refused.value.errors] == ["until"]
