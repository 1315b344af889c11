"""Record of a test run: which tests ran which lines, and how long each took.

coverage.py stores it in SQLite, and `tests.mutants.contexts` adds the durations. Processes that a
test started are not covered.
"""

import sqlite3
from collections.abc import Callable, Iterable
from contextlib import closing
from dataclasses import dataclass
from functools import cache, partial
from pathlib import Path
from typing import Any

#: Folder of recorded runs, from the root of the tree: every file there counts.
FOLDER = ".venv/mutants"


@dataclass
class Record:
    """Lines and durations of recorded tests.

    Attributes:
        seconds: duration of each test.
        lines: function that returns, for a file, the tests that ran each of its lines.
    """

    seconds: dict[str, float]
    lines: Callable[[str], dict[int, set[str]]]

    def __bool__(self) -> bool:
        return bool(self.seconds)

    def tests(self, path: str, lines: Iterable[int]) -> set[str]:
        """Return the tests that ran one of these lines of a file."""
        ran = self.lines(path)
        return set().union(*(ran.get(line, set()) for line in lines))


def recorded(folder: Path) -> Record:
    """Return all records of a folder combined; an empty record if there is none."""
    files = sorted(folder.glob("*.coverage"))
    seconds = {
        test: seconds
        for file in files
        for test, seconds in _rows(file, "SELECT test, seconds FROM test_seconds")
    }
    return Record(seconds, cache(partial(_lines, files)))


def _lines(files: list[Path], path: str) -> dict[int, set[str]]:
    ran: dict[int, set[str]] = {}
    if not files:
        return ran
    from coverage.numbits import numbits_to_nums  # installed for a record only

    for file in files:
        rows = _rows(
            file,
            "SELECT context.context, line_bits.numbits FROM line_bits"
            " JOIN file ON file.id = file_id JOIN context ON context.id = context_id"
            " WHERE context.context <> '' AND file.path LIKE ?",
            f"%/{path}",
        )
        for test, numbits in rows:
            for line in numbits_to_nums(numbits):
                ran.setdefault(line, set()).add(test)
    return ran


def _rows(file: Path, query: str, *given: str) -> list[tuple[str, Any]]:
    with closing(sqlite3.connect(f"file:{file}?mode=ro", uri=True)) as conn:
        return conn.execute(query, given).fetchall()
