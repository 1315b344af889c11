"""Order of trials: every mutant is tried with its likeliest tests before wider suites run.

Most mutants are killed by the likeliest tests, in seconds; the remaining ones need wider suites,
which take minutes. So the result of most mutants is known early.
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
    """Known result of a mutant.

    Attributes:
        mutant: the mutant that was tried.
        finder: the test that found it; None if no test did.
        seconds: duration of its last suite.
        is_known: false if the time was over with suites left; all earlier ones had not found it.
    """

    mutant: Mutant
    finder: str | None
    seconds: float = 0.0
    is_known: bool = True


def fates(mutants: Iterable[tuple[Mutant, list[Suite]]], trial: Trial) -> Iterator[Fate]:
    """Yield the results of mutants with their suites; none for a mutant without a suite in time."""
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
