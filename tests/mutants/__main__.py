"""Try mutants of the project and show what survives: ``make mutants``.

See docs/explanation/mutants.md.

It ends with status 1 if fewer are killed than `_WANTED`, of all or of a room.
"""

import argparse
import signal
import sys
import time
from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass, field

from tests.mutants.choosing import RECORD, Choice, recorded, texts_of_tests
from tests.mutants.frame import all_mutants, changed_lines, drawn, on
from tests.mutants.model import ROOT, Mutant, room
from tests.mutants.trial import OutOfTime, Trial, Untriable, copied_tree

#: Shares of the mutants that must be killed: of all, and of each room.
_WANTED = 0.92
_WANTED_OF_A_ROOM = 0.85


@dataclass
class Results:
    """What became of each mutant that was tried."""

    tried: Counter[str] = field(default_factory=Counter)
    killed: Counter[str] = field(default_factory=Counter)
    alive: list[str] = field(default_factory=list)

    def add(self, mutant: Mutant, finder: str | None) -> None:
        """Note one."""
        self.tried[room(mutant.path)] += 1
        if finder is not None:
            self.killed[room(mutant.path)] += 1
        else:
            self.alive.append(shown(mutant))

    def table(self) -> str:
        """By room and in all, how many were tried, killed, and are alive; then those alive."""
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
        """Whether the shares are as wanted."""
        of_rooms = (self.killed[name] / n for name, n in self.tried.items())
        return (
            self.killed.total() >= _WANTED * self.tried.total()
            and min(of_rooms, default=1.0) >= _WANTED_OF_A_ROOM
        )


def shown(mutant: Mutant) -> str:
    """A mutant, for people: where, of which kind, and its first line before and after."""
    before, after = mutant.lines((ROOT / mutant.path).read_bytes())
    return f"{mutant.path}:{mutant.line} ({mutant.kind})\n    - {before}\n    + {after}"


def main() -> None:
    """Try them."""
    given = _options().parse_args()
    # Unwinds like Ctrl-C: the tests under way are ended, and the copy is removed.
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(128 + signal.SIGTERM))
    chosen = _chosen(given)
    if given.list:
        print(*map(shown, chosen), f"{len(chosen)} mutants, seed {given.seed}", sep="\n")
        return
    choice = Choice(texts_of_tests(), recorded(ROOT / RECORD), tuple(given.tests.split()))
    if not choice.ran:
        print("no record of a run (make mutants-record): tests are chosen by what they name")
    results = Results()
    deadline = time.monotonic() + given.within if given.within else float("inf")
    with copied_tree() as tree:
        _try(chosen, choice, Trial(tree, given.testers, deadline), results)
    print(results.table(), f"seed {given.seed}", sep="\n")
    if results.tried.total() < len(chosen):
        print(f"{len(chosen) - results.tried.total()} were not tried")
    sys.exit(not results.is_enough)


def _try(
    chosen: Iterable[Mutant],
    choice: Choice,
    trial: Trial,
    results: Results,
) -> None:
    for mutant in chosen:
        began = time.monotonic()
        try:
            finder = trial.finder(mutant, choice.suites(mutant))
        except OutOfTime:
            return
        except Untriable as error:
            print(f"not tried: {error}")
            continue
        results.add(mutant, finder)
        word = "ALIVE" if finder is None else "killed"
        print(
            word, shown(mutant), f"\n    {finder} in {time.monotonic() - began:.0f} s", flush=True
        )


def _chosen(given: argparse.Namespace) -> list[Mutant]:
    words = given.only.split() or [""]
    mutants = [each for each in all_mutants() if any(word in each.path for word in words)]
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
    parser.add_argument("--testers", type=int, default=3, help="processes for a wide suite")
    parser.add_argument("--list", action="store_true", help="only show the mutants")
    return parser


if __name__ == "__main__":
    main()
