"""Regular expressions from documents, matched within a budget.

A posted pattern such as ``(a|aa)+$`` can need longer than the universe. The `regex` package takes
a time-out for each match and lets other threads of the process run meanwhile, so such a pattern
fails its document and nothing else.
"""

import re
import time
from collections.abc import Callable
from functools import lru_cache
from itertools import islice
from typing import TYPE_CHECKING, Any, TypeVar

if TYPE_CHECKING:
    import regex

_Result = TypeVar("_Result")
#: Characters of a pattern.
_PATTERN_LENGTH = 4_096
#: Parts of a pattern, counted repeats written out: compiling and matching take time and memory
#: for each, and no time-out looks at compiling.
_EXPANDED_LENGTH = 2_000
_TOKEN = re.compile(
    r"\\.|\[\^?\]?(?:\\.|[^\]\\])*\]|\{(?P<most>[0-9]+)(?:,(?P<upper>[0-9]*))?\}|.", re.DOTALL
)
_SHORTEST_SECONDS = 0.001
_MOST_MATCHES = 100_000


class PatternInvalid(ValueError):
    """A text that is not a regular expression; the message says why."""


class PatternTooSlow(Exception):
    """The budget for patterns is used up."""


@lru_cache(maxsize=2048)
def compiled(pattern: str) -> "regex.Pattern[str]":
    """Compile a pattern.

    Raises:
        PatternInvalid: with the reason and the place in the pattern.
    """
    import regex  # with the first pattern: most processes never see one

    if len(pattern) > _PATTERN_LENGTH:
        raise PatternInvalid(f"the pattern has more than {_PATTERN_LENGTH} characters")
    try:
        # What only `regex` knows, such as recursion, may not end even with a time-out.
        re.compile(pattern)
        if _expanded_length(pattern) > _EXPANDED_LENGTH:
            raise PatternInvalid(f"the pattern repeats more than {_EXPANDED_LENGTH} parts by {{n}}")
        return regex.compile(pattern)
    except (re.error, regex.error, OverflowError, RecursionError) as error:
        raise PatternInvalid(f"the pattern is not a regular expression: {error}") from None


class Budget:
    """Seconds that a piece of work may still spend in patterns."""

    def __init__(self, seconds: float) -> None:
        """Begin with `seconds`."""
        self.seconds_left = seconds

    def search(self, pattern: str, text: str) -> "regex.Match[str] | None":
        """Find the first match.

        Raises:
            PatternInvalid: if it is not a regular expression.
            PatternTooSlow: if the budget does not suffice.
        """
        found = compiled(pattern)
        return self._spend(lambda limit: found.search(text, timeout=limit, concurrent=True))

    def matches(self, pattern: str, text: str) -> "list[regex.Match[str]]":
        """Find all matches that do not overlap.

        Raises:
            PatternInvalid: if it is not a regular expression, or matches too often.
            PatternTooSlow: if the budget does not suffice.
        """
        found = compiled(pattern)
        matches = self._spend(
            lambda limit: list(
                islice(found.finditer(text, timeout=limit, concurrent=True), _MOST_MATCHES + 1)
            )
        )
        if len(matches) > _MOST_MATCHES:
            raise PatternInvalid(f"the pattern matches more than {_MOST_MATCHES} times in one text")
        return matches

    def _spend(self, work: Callable[[float], _Result]) -> _Result:
        if self.seconds_left < _SHORTEST_SECONDS:
            raise PatternTooSlow
        begun = time.perf_counter()
        try:
            return work(self.seconds_left)
        except (TimeoutError, MemoryError):
            raise PatternTooSlow from None
        finally:
            self.seconds_left -= time.perf_counter() - begun


def reason_of(error: Any) -> str:
    """Say what was wrong with a pattern."""
    if isinstance(error, PatternTooSlow):
        return "the patterns of these documents need too long: make them simpler"
    return str(error)


def _expanded_length(pattern: str) -> int:
    """Count the parts of a pattern with its counted repeats written out."""
    sums, last = [0], 0
    for token in _TOKEN.finditer(pattern):
        if token["most"] is not None:
            times = int(token["upper"] or token["most"])
            sums[-1] += last * (times - 1)
            last *= times
        elif token[0] == "(":
            sums.append(0)
        elif token[0] == ")" and len(sums) > 1:
            last = sums.pop()
            sums[-1] += last
        elif token[0] not in "?*+|":
            last = 1
            sums[-1] += 1
    return sum(sums)
