"""Formats of values on pages."""

from datetime import UTC, datetime, timedelta

import pytest

from staging_api.ui.formats import (
    age,
    build_url,
    countdown,
    counted,
    digest,
    duration,
    ident,
    last_segment,
    moment,
    words,
)

NOON = datetime(2026, 3, 4, 12, 0, 5, 999, tzinfo=UTC)
ABSENT = "<span class=absent>none</span>"


@pytest.mark.parametrize(
    ("count", "noun", "shown"),
    [
        (1, "blocks", "1 block"),
        (2, "blocks", "2 blocks"),
        (0, "index_files", "0 index files"),
        (1, "index_files", "1 index file"),
        (1, "accepted", "1 accepted"),
    ],
)
def test_a_number_has_its_noun_in_the_right_form(count: int, noun: str, shown: str) -> None:
    assert counted(count, noun) == shown


def test_a_moment_is_absolute_or_says_that_there_is_none() -> None:
    at = "2026-03-04T12:00:05"
    assert f'datetime="{at}' in moment(NOON)
    assert "04 Mar 12:00:05 UTC" in moment(NOON)
    assert moment(None) == ABSENT
    assert moment(None, "never") == "<span class=absent>never</span>"


def test_an_age_and_a_countdown_are_of_the_two_largest_units() -> None:
    later = NOON + timedelta(days=2, hours=3, minutes=4)
    assert ">2 d 3 h</time>" in age(NOON, later)
    assert ">2 d 3 h</time>" in countdown(later, NOON)
    assert "data-age>" in age(NOON, later)
    assert "data-age=until>" in countdown(later, NOON)
    assert age(None, NOON) == countdown(None, NOON) == ""


@pytest.mark.parametrize(
    ("seconds", "shown"),
    [
        (None, ""),
        (0, "0 s"),
        (-1, "0 s"),
        (0.25, "250 ms"),
        (0.9996, "1000 ms"),
        (1, "1 s"),
        (61, "1 min 1 s"),
        (3600, "1 h"),
        (86400 + 60, "1 d 1 min"),
        (86400 + 3600 + 60 + 1, "1 d 1 h"),
    ],
)
def test_a_duration(seconds: float | None, shown: str) -> None:
    assert duration(seconds) == shown


def test_an_id_is_cut_and_can_be_copied_whole() -> None:
    whole = "0123456789abcdef"
    assert f'<code title="{whole}">0123456789</code>' in ident(whole)
    assert f'<code title="{whole}">01234567</code>' in digest(whole)
    assert f'data-copy="{whole}"' in ident(whole)
    assert "<a " not in ident(whole)
    assert f'<a href="/ui/x"><code title="{whole}">' in ident(whole, "/ui/x")
    assert ident(None) == digest(None) == ABSENT


def test_words_and_addresses_of_a_build() -> None:
    assert (words("in_progress_now"), words(None)) == ("in progress now", "")
    assert build_url("gs://a/b", tab="x y") == "/ui/builds?u=gs%3A%2F%2Fa%2Fb&tab=x+y"
    assert last_segment("gs://a/R1-1/?signature=a/b") == "R1-1"
    assert last_segment("/") == "/"
