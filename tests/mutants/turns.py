"""Mutants take turns: each has its likeliest tests before any has its next ones.

Most are killed by the likeliest tests, in seconds; those that are left need the wider suites, which
take minutes. So what most of them come to is known early.
"""

import time
from collections import deque
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from itertools import chain
from typing import TypeVar

from tests.mutants.choosing import Suite
from tests.mutants.model import Mutant
from tests.mutants.trial import OutOfTime, Trial, Untriable

T = TypeVar("T")


@dataclass(frozen=True)
class Fate:
    """What is known of a mutant.

    Attributes:
        mutant: that was tried.
        finder: the test that found it; None if none did.
        seconds: that its last suite took.
        is_known: false if the time was over with suites left; all before them had not found it.
    """

    mutant: Mutant
    finder: str | None
    seconds: float = 0.0
    is_known: bool = True


def fates(mutants: Iterable[tuple[Mutant, list[Suite]]], trial: Trial) -> Iterator[Fate]:
    """What becomes of mutants with their suites; of those that had no suite in time, nothing."""
    left: deque[tuple[Mutant, list[Suite]]] = deque()
    had_one: set[Mutant] = set()
    for mutant, suites in chain(mutants, _until_empty(left)):
        began = time.monotonic()
        try:
            finder = trial.finder(mutant, suites[:1])
        except OutOfTime:
            yield from (Fate(each, None, is_known=False) for each in sorted(had_one))
            return
        except Untriable as error:
            print(f"not tried: {error}")
            had_one.discard(mutant)
            continue
        if finder is None and suites[1:]:
            left.append((mutant, suites[1:]))
            had_one.add(mutant)
            continue
        had_one.discard(mutant)
        yield Fate(mutant, finder, time.monotonic() - began)


def _until_empty(left: deque[T]) -> Iterator[T]:
    while left:
        yield left.popleft()
