"""All mutants of the project, and the sample to try."""

import random
import re
import subprocess
from collections import defaultdict
from collections.abc import Iterable, Iterator
from itertools import zip_longest
from pathlib import Path

from tests.mutants import python, sql
from tests.mutants.equivalents import EQUIVALENT
from tests.mutants.model import PACKAGE, ROOT, Mutant, room
from tests.prove.mutants import FILES as LOCK_FILES
from tests.prove.mutants import mutants as lock_mutants

_HUNK = re.compile(r"^@@ -\S+ \+(\d+)(?:,(\d+))? @@")

#: Line numbers by file, from 1.
Lines = dict[str, set[int]]


def all_mutants(root: Path = ROOT) -> list[Mutant]:
    """Return every mutant of the package, sorted; the lock's predicates have their own driver.

    Equivalent mutants are left out.
    """
    found: list[Mutant] = list(_of_the_lock(root))
    for file in sorted((root / PACKAGE).rglob("*")):
        path = file.relative_to(root).as_posix()
        if file.suffix in {".py", ".sql"} and path not in LOCK_FILES:
            found += of_file(path, file.read_bytes())
    return sorted(found)


def of_file(path: str, source: bytes) -> Iterator[Mutant]:
    """Yield the mutants of one file, without the equivalent ones."""
    changes = _sql_changes if path.endswith(".sql") else python.changes
    for start, end, after, kind in changes(source):
        line = source.count(b"\n", 0, start) + 1
        mutant = Mutant(path, start, end, after, kind, line)
        if (path, *mutant.lines(source)) not in EQUIVALENT:
            yield mutant


def _sql_changes(source: bytes) -> Iterator[python.Change]:
    text = source.decode()
    for start, end, after, kind in sql.changes(text):
        yield len(text[:start].encode()), len(text[:end].encode()), after, f"SQL {kind}"


def _of_the_lock(root: Path) -> Iterator[Mutant]:
    for change in lock_mutants():
        source = (root / change.path).read_bytes()
        start = sum(map(len, source.splitlines(keepends=True)[: change.number - 1]))
        # The text ends before a comment on the same line.
        end = start + len(change.before.encode())
        yield Mutant(change.path, start, end, change.after, "lock", change.number)


def changed_lines(since: str, root: Path = ROOT) -> Lines:
    """Return the lines that differ from a commit, e.g. "origin/main"; also uncommitted ones."""
    diff = subprocess.run(
        ["git", "diff", "--unified=0", "--no-color", "--no-ext-diff", since, "--", PACKAGE],
        cwd=root,
        capture_output=True,
        text=True,
        check=True,
    )
    return lines_of(diff.stdout)


def lines_of(diff: str) -> Lines:
    """Return the lines that a unified diff without context adds."""
    lines: Lines = defaultdict(set)
    path = ""
    for line in diff.splitlines():
        if line.startswith("+++ "):
            path = line.removeprefix("+++ ").removeprefix("b/")
        elif hunk := _HUNK.match(line):
            first, count = int(hunk[1]), int(hunk[2] or 1)
            lines[path].update(range(first, first + count))
    return lines


def on(lines: Lines, mutants: Iterable[Mutant]) -> list[Mutant]:
    """Return the mutants that begin on one of these lines."""
    return [mutant for mutant in mutants if mutant.line in lines.get(mutant.path, ())]


def drawn(mutants: Iterable[Mutant], seed: str, count: int) -> list[Mutant]:
    """Draw this many mutants at random, reproducibly for a seed.

    Rooms take turns, and kinds within a room: otherwise constants of the largest rooms dominate.
    """
    by_room: dict[str, dict[str, list[Mutant]]] = defaultdict(lambda: defaultdict(list))
    for mutant in sorted(mutants):
        by_room[room(mutant.path)][mutant.kind].append(mutant)
    chance = random.Random(seed)
    rooms = [_in_turns(list(kinds.values()), chance) for kinds in by_room.values()]
    return _in_turns(rooms, chance, shuffle=False)[:count]


def _in_turns(
    groups: list[list[Mutant]], chance: random.Random, *, shuffle: bool = True
) -> list[Mutant]:
    chance.shuffle(groups)
    if shuffle:
        for group in groups:
            chance.shuffle(group)
    return [mutant for turn in zip_longest(*groups) for mutant in turn if mutant is not None]
