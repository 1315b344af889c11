"""Try mutants of the project, and print the surviving ones: ``make mutants``.

See docs/explanation/mutants.md.

The exit code is 1 if the killed share, in total or in a room, is below `_WANTED`.
"""

import argparse
import json
import signal
import sys
import time
from collections import Counter
from collections.abc import Iterable, Iterator
from contextlib import closing, contextmanager
from dataclasses import dataclass, field
from pathlib import Path

from staging_api.db.embedded import running
from staging_api.db.migrate import migrate
from tests.mutants.choosing import Choice, texts_of_tests
from tests.mutants.frame import all_mutants, changed_lines, drawn, on
from tests.mutants.model import ROOT, Mutant, room
from tests.mutants.record import FOLDER, recorded
from tests.mutants.trial import Runner, Trial, copied_tree
from tests.mutants.turns import Fate, fates
from tests.server_in_memory import place

#: Required share of killed mutants: in total, and in each room.
_WANTED = 0.92
_WANTED_OF_A_ROOM = 0.85


@dataclass
class Results:
    """Result of each mutant that was tried."""

    tried: Counter[str] = field(default_factory=Counter)
    killed: Counter[str] = field(default_factory=Counter)
    alive: list[str] = field(default_factory=list)

    def add(self, mutant: Mutant, finder: str | None) -> None:
        """Record a result."""
        self.tried[room(mutant.path)] += 1
        if finder is not None:
            self.killed[room(mutant.path)] += 1
        else:
            self.alive.append(shown(mutant))

    def table(self) -> str:
        """Return a table by room and in total: tried, killed and surviving; then the survivors."""
        rows = ["| room | tried | killed | alive | share |", "|---|---|---|---|---|"]
        rows += [
            self._row(name, self.tried[name], self.killed[name]) for name in sorted(self.tried)
        ]
        rows.append(self._row("all", self.tried.total(), self.killed.total()))
        return "\n".join([*rows, "", *(f"alive: {mutant}" for mutant in self.alive)])

    @staticmethod
    def _row(name: str, tried: int, killed: int) -> str:
        share = killed / tried if tried else 1.0
        return f"| {name} | {tried} | {killed} | {tried - killed} | {share:.0%} |"

    @property
    def is_enough(self) -> bool:
        """Return whether the required shares are reached."""
        of_rooms = (self.killed[name] / n for name, n in self.tried.items())
        return (
            self.killed.total() >= _WANTED * self.tried.total()
            and min(of_rooms, default=1.0) >= _WANTED_OF_A_ROOM
        )


class Kept:
    """Results in a file, one JSON array per line: the change, and the test that found it."""

    def __init__(self, file: Path) -> None:
        self._file = file
        lines = file.read_text().splitlines() if file.exists() else []
        self._finders: dict[str, str | None] = dict(json.loads(line) for line in lines)

    def knows(self, mutant: Mutant) -> bool:
        """Return whether the mutant was tried."""
        return shown(mutant) in self._finders

    def finder(self, mutant: Mutant) -> str | None:
        """Return the test that found the mutant; None if it survived."""
        return self._finders[shown(mutant)]

    def add(self, mutant: Mutant, finder: str | None) -> None:
        """Append a result to the file."""
        self._finders[shown(mutant)] = finder
        with self._file.open("a") as file:
            file.write(json.dumps([shown(mutant), finder]) + "\n")


def shown(mutant: Mutant) -> str:
    """Format a mutant: its place, its kind, and its first line before and after."""
    before, after = mutant.lines((ROOT / mutant.path).read_bytes())
    return f"{mutant.path}:{mutant.line} ({mutant.kind})\n    - {before}\n    + {after}"


def main() -> None:
    """Try the mutants."""
    given = _options().parse_args()
    # Unwinds like Ctrl-C: running tests are stopped, and the copy is removed.
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(128 + signal.SIGTERM))
    chosen = _chosen(given)
    if given.rooms:
        chosen = [each for each in chosen if room(each.path) in given.rooms.split()]
    if given.list:
        print(*map(shown, chosen), f"{len(chosen)} mutants, seed {given.seed}", sep="\n")
        return
    record = recorded(ROOT / FOLDER)
    choice = Choice(texts_of_tests(), record, tuple(given.tests.split()), given.patience)
    if not record:
        print("no record of a run (make mutants-record): tests are chosen by what they name")
    results = Results()
    deadline = time.monotonic() + given.within if given.within else float("inf")
    kept = Kept(Path(given.keep)) if given.keep else None
    with _trial(deadline) as trial:
        _try(chosen, choice, trial, results, kept)
    print(results.table(), f"seed {given.seed}", sep="\n")
    if results.tried.total() < len(chosen):
        print(f"{len(chosen) - results.tried.total()} are not decided")
    sys.exit(not results.is_enough)


@contextmanager
def _trial(deadline: float) -> Iterator[Trial]:
    with copied_tree() as tree, place() as home, running(home, durable=False) as server:
        migrate(server.url)
        with closing(Runner(tree)) as runner:
            yield Trial(tree, runner, server.url, deadline)


def _try(
    chosen: Iterable[Mutant],
    choice: Choice,
    trial: Trial,
    results: Results,
    kept: Kept | None,
) -> None:
    unknown = []
    for mutant in chosen:
        if kept and kept.knows(mutant):
            results.add(mutant, kept.finder(mutant))
        else:
            unknown.append(mutant)
    for fate in fates(((each, choice.suites(each)) for each in unknown), trial):
        if fate.is_known:
            results.add(fate.mutant, fate.finder)
            if kept:
                kept.add(fate.mutant, fate.finder)
        print(_said(fate), flush=True)


def _said(fate: Fate) -> str:
    if not fate.is_known:
        return f"not decided, alive so far: {shown(fate.mutant)}"
    word = "ALIVE" if fate.finder is None else "killed"
    return f"{word} {shown(fate.mutant)}\n    {fate.finder} in {fate.seconds:.0f} s"


def _chosen(given: argparse.Namespace) -> list[Mutant]:
    words = given.only.split() or [""]
    mutants = [each for each in all_mutants() if any(word in each.path for word in words)]
    if given.kinds:
        mutants = [each for each in mutants if each.kind in given.kinds.split(",")]
    if given.changed:
        mutants = on(changed_lines(given.changed), mutants)
    return drawn(mutants, given.seed, given.sample)


def _options() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="python -m tests.mutants", description=__doc__)
    parser.add_argument("--seed", default="0", help="any text; the same draws the same mutants")
    parser.add_argument("--sample", type=int, default=300, help="how many at most")
    parser.add_argument("--changed", default="", help="only lines that differ from this commit")
    parser.add_argument("--only", default="", help="only paths with one of these words")
    parser.add_argument("--tests", default="tests/", help="only tests under these folders")
    parser.add_argument(
        "--within", type=float, default=0, help="end after these seconds, whatever is left"
    )
    parser.add_argument(
        "--patience", type=float, default=120, help="seconds for tests that are not recorded"
    )
    parser.add_argument("--kinds", default="", help="only these, e.g. durability,SQL where")
    parser.add_argument("--rooms", default="", help="of those drawn, only of these rooms")
    parser.add_argument(
        "--keep", default="", help="a file of results: it grows, and what is in it is not tried"
    )
    parser.add_argument("--list", action="store_true", help="only show the mutants")
    return parser


if __name__ == "__main__":
    main()
