"""Pages of a list: the one place that knows how to find out whether another page follows."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from operator import attrgetter
from typing import Any, Generic, TypeVar

T = TypeVar("T")


@dataclass(frozen=True)
class Page(Generic[T]):
    """One page of a list.

    Attributes:
        next: the cursor of the page that follows; None: this is the last one.
    """

    items: Sequence[T]
    next: str | None


def page_of(
    select: Callable[[int], Sequence[T]],
    limit: int,
    cursor: Callable[[T], Any] = attrgetter("id"),
) -> Page[T]:
    """Select a page of at most `limit` rows; `select` gets the number of rows to look for.

    Args:
        cursor: names a row, so that the next page can begin behind it.
    """
    # One row more than the page has: it is there only if another page follows.
    rows = select(limit + 1)
    more = len(rows) > limit
    return Page(rows[:limit], str(cursor(rows[limit - 1])) if more else None)
