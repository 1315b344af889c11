"""Where a form may send the browser back to."""

import pytest

from staging_api.ui.answering import is_own_page


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
def test_nothing_else_is(location: str) -> None:
    assert not is_own_page(location)
