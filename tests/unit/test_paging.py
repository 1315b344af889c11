"""Paging: a full last page has no successor; the cursor is that of the last row."""

from dataclasses import dataclass
from functools import partial

import pytest

from staging_api.paging import page_of


@dataclass(frozen=True)
class Row:
    id: str


ROWS = [Row(letter) for letter in "abcde"]


def first(rows: list[Row], count: int) -> list[Row]:
    return rows[:count]


def pages(limit: int) -> list[str]:
    """Return every page of the rows, read one after the other by cursors."""
    found, after, more = [], "", True
    while more:
        behind = [row for row in ROWS if row.id > after]
        page = page_of(partial(first, behind), limit)
        found.append("".join(row.id for row in page.items))
        after, more = page.next or "", page.next is not None
    return found


@pytest.mark.parametrize(
    ("limit", "expected"),
    [(1, ["a", "b", "c", "d", "e"]), (2, ["ab", "cd", "e"]), (5, ["abcde"]), (9, ["abcde"])],
)
def test_pages_show_each_row_once_and_a_full_last_page_has_no_next(limit, expected):
    assert pages(limit) == expected


def test_a_list_without_rows_is_one_empty_page():
    page = page_of(partial(first, []), 3)
    assert (list(page.items), page.next) == ([], None)


def test_a_cursor_of_another_column_is_text():
    assert page_of(lambda count: [7, 8, 9][:count], 2, lambda row: row).next == "8"


def test_one_row_more_than_a_page_shows_is_looked_for_and_no_further_one():
    asked = []
    page = page_of(lambda count: asked.append(count) or ROWS[:count], 3)
    assert (len(page.items), asked) == (3, [4])
