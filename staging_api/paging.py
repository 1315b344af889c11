"""Pages of a list: the only place that determines whether another page follows."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from operator import attrgetter
from typing import Any, Generic, TypeVar

T = TypeVar("T")


@dataclass(frozen=True)
class Page(Generic[T]):
    """One page of a list.

    Attributes:
        next: cursor of the next page; None: this is the last page.
    """

    items: Sequence[T]
    next: str | None


def page_of(
    select: Callable[[int], Sequence[T]],
    limit: int,
    cursor: Callable[[T], Any] = attrgetter("id"),
) -> Page[T]:
    """Select a page of at most `limit` rows; `select` gets the number of rows to read.

    Args:
        cursor: returns the cursor of a row, behind which the next page begins.
    """
    # One row more than the page has: it exists only if another page follows.
    rows = select(limit + 1)
    more = len(rows) > limit
    return Page(rows[:limit], str(cursor(rows[limit - 1])) if more else None)
