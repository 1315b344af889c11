"""Regular expressions from documents, matched within a time budget.

Matching a posted pattern such as ``(a|aa)+$`` can take practically forever. The `regex` package
has a timeout for each match and lets other threads of the process run meanwhile, so such a
pattern fails only its own document.
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
#: Maximum length of a pattern in characters.
_PATTERN_LENGTH = 4_096
#: Maximum number of parts in a pattern, with counted repeats written out: each costs time and
#: memory to compile and match, and the timeout does not cover compiling.
_EXPANDED_LENGTH = 2_000
_TOKEN = re.compile(
    r"\\.|\[\^?\]?(?:\\.|[^\]\\])*\]|\{(?P<most>[0-9]+)(?:,(?P<upper>[0-9]*))?\}|.", re.DOTALL
)
_SHORTEST_SECONDS = 0.001
_MOST_MATCHES = 100_000


class PatternInvalid(ValueError):
    """The text is not a regular expression; the message gives the reason."""


class PatternTooSlow(Exception):
    """The time budget for patterns is used up."""


@lru_cache(maxsize=2048)
def compiled(pattern: str) -> "regex.Pattern[str]":
    """Compile a pattern.

    Raises:
        PatternInvalid: the pattern is not allowed; the message has the reason and the position.
    """
    import regex  # imported with the first pattern: most processes never compile any

    if len(pattern) > _PATTERN_LENGTH:
        raise PatternInvalid(f"the pattern has more than {_PATTERN_LENGTH} characters")
    try:
        # `re` refuses features that only `regex` has: some, such as recursion, can ignore the
        # timeout.
        re.compile(pattern)
        if _expanded_length(pattern) > _EXPANDED_LENGTH:
            raise PatternInvalid(f"the pattern repeats more than {_EXPANDED_LENGTH} parts by {{n}}")
        return regex.compile(pattern)
    except (re.error, regex.error, OverflowError, RecursionError) as error:
        raise PatternInvalid(f"the pattern is not a regular expression: {error}") from None


class Budget:
    """Time budget for matching patterns, in seconds."""

    def __init__(self, seconds: float) -> None:
        """Start with a budget of `seconds`."""
        self.seconds_left = seconds

    def search(self, pattern: str, text: str) -> "regex.Match[str] | None":
        """Find the first match.

        Raises:
            PatternInvalid: the pattern is not a regular expression.
            PatternTooSlow: the budget is not sufficient.
        """
        found = compiled(pattern)
        return self._spend(lambda limit: found.search(text, timeout=limit, concurrent=True))

    def matches(self, pattern: str, text: str) -> "list[regex.Match[str]]":
        """Find all non-overlapping matches.

        Raises:
            PatternInvalid: the pattern is not a regular expression, or matches too often.
            PatternTooSlow: the budget is not sufficient.
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
    """Describe a pattern error in words."""
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
