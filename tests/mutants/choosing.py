"""Choice of the tests for a mutant: first the likely ones, then wider suites.

With a record of a run (``make mutants-record``), the tests that ran the mutant's lines are chosen,
quick ones first; then, and without a record, the test files that name its module, then those that
name its room. Code in a process that a test starts is in no record: its tests have a time limit.
"""

import re
from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

from tests.mutants.model import PACKAGE, ROOT, Mutant, module, room
from tests.mutants.reach import reached, runs_at_import
from tests.mutants.record import Record
from tests.prove.mutants import FILES as LOCK_FILES
from tests.prove.mutants import TESTS as LOCK_TESTS

#: Total seconds of the recorded tests that are run first.
_QUICK_SECONDS = 5.0
_FEW_FILES = 3
#: Time limit of one test: an endless test of a mutant fails before its suite is stopped.
TEST_SECONDS = 30.0
#: Time limit of recorded tests with a mutant: this multiple of their recorded time, and a reserve.
_PATIENCE = 4.0
_REST_SECONDS = TEST_SECONDS + 10.0
_CHEAP = ("tests/unit/", "tests/properties/", "tests/corpus/", "tests/conformance/")
_STARTS = re.compile(r"\bsubprocess\b|\bPopen\b")
_MADE = re.compile(r"CREATE OR REPLACE (?:FUNCTION|PROCEDURE|VIEW) (\w+)")
# These compare a file with what was released, and so fail for every mutant of it.
_COMPARE_TEXT = frozenset(
    {"tests/integration/test_functions.py", "tests/unit/test_released_migrations.py"}
)
# These read all of the code, test this driver, or test what pip installs.
_OF_THE_CODE = frozenset(
    {
        "tests/acceptance/test_base_install.py",
        "tests/integration/test_contracts.py",
        "tests/unit/test_mutants.py",
        "tests/integration/test_mutant_runs.py",
        "tests/unit/test_packaging.py",
    }
)


@dataclass(frozen=True)
class Suite:
    """Tests to run, as arguments of pytest, and their time limit in seconds."""

    tests: tuple[str, ...]
    seconds: float


@dataclass
class Choice:
    """Chooser of tests for mutants.

    Attributes:
        texts: text of every test file, by its path.
        record: record of a run.
        under: folders; only tests in these are chosen.
        patience: time limit in seconds of a suite without recorded times.
    """

    texts: dict[str, str]
    record: Record
    under: tuple[str, ...] = ("",)
    patience: float = 120.0

    def suites(self, mutant: Mutant) -> list[Suite]:
        """Return the suites, the likeliest first; no test is in two of them, and none is empty."""
        is_of_lock = mutant.path in LOCK_FILES
        near = set(LOCK_TESTS) if is_of_lock else self._naming(self._names(mutant.path))
        ran = self._ran(mutant)
        quick = self._quick(ran, near)
        suites = [self._recorded(quick), self._recorded(ran - set(quick))]
        taken = {test.partition("::")[0] for test in ran if test.startswith(_CHEAP)}
        # Tests name a package-level member by its package.
        known = set() if _is_unrecorded(mutant) else self._complete
        for wanted in (near, self._of_the_room(mutant.path)):
            rest = sorted(self._fit(wanted - taken - known))
            taken.update(rest)
            suites.append(Suite(tuple(self._cheap_first(rest)), self.patience))
        return [suite for suite in suites if suite.tests]

    def _ran(self, mutant: Mutant) -> set[str]:
        tests = {test for path, lines in reached(mutant) for test in self.record.tests(path, lines)}
        return {test for test in tests if self._fit({test.partition("::")[0]})}

    @cached_property
    def _complete(self) -> set[str]:
        """Return the test files that the record covers completely: those that start no process."""
        files = {test.partition("::")[0] for test in self.record.seconds}
        cheap = {file for file in files if file.startswith(_CHEAP)}
        return {file for file in cheap if not _STARTS.search(self.texts.get(file, ""))}

    def _fit(self, files: set[str]) -> set[str]:
        fit = files & self.texts.keys() - _COMPARE_TEXT - _OF_THE_CODE
        return {file for file in fit if file.startswith(self.under)}

    def _quick(self, ran: set[str], near: set[str]) -> list[str]:
        """Return quick tests of a few files: importing a file is slower than a test."""
        files = Counter(test.partition("::")[0] for test in ran)
        likely = sorted(
            files, key=lambda file: (file not in near, not file.startswith(_CHEAP), -files[file])
        )[:_FEW_FILES]
        tests = [test for test in ran if test.partition("::")[0] in likely]
        return self._within(sorted(tests, key=self._seconds_of), _QUICK_SECONDS)

    def _seconds_of(self, test: str) -> tuple[float, str]:
        return self.record.seconds.get(test, 0.0), test

    def _within(self, tests: list[str], seconds: float) -> list[str]:
        chosen: list[str] = []
        total = 0.0
        for test in tests:
            total += self.record.seconds.get(test, 0.0) + 0.05
            if chosen and total > seconds:
                break
            chosen.append(test)
        return chosen

    def _recorded(self, tests: Iterable[str]) -> Suite:
        chosen = self._within(sorted(tests, key=self._seconds_of), self.patience)
        total = sum(self.record.seconds.get(test, 0.0) for test in chosen)
        return Suite(tuple(chosen), total * _PATIENCE + _REST_SECONDS)

    @staticmethod
    def _cheap_first(files: list[str]) -> list[str]:
        return sorted(files, key=lambda file: not file.startswith(_CHEAP))

    def _names(self, path: str) -> list[str]:
        """Return the names by which a test refers to this file."""
        if path.endswith(".sql"):
            return sorted(set(_MADE.findall((ROOT / path).read_text())))
        package, _, name = module(path).rpartition(".")
        return [rf"{package}.{name}", rf"from {package} import (?:\([^)]*|[^\n]*){name}"]

    def _naming(self, names: list[str]) -> set[str]:
        pattern = re.compile("|".join(rf"\b{name}\b" for name in names) or r"\Z.")
        return {path for path, text in self.texts.items() if pattern.search(text)}

    def _of_the_room(self, path: str) -> set[str]:
        return self._naming([f"{PACKAGE}.{room(path).replace('/', '.')}"])


def _is_unrecorded(mutant: Mutant) -> bool:
    return mutant.path.endswith(".py") and runs_at_import(mutant)


def texts_of_tests(root: Path = ROOT) -> dict[str, str]:
    """Return the text of each test file that `make test` runs, by its path."""
    return {
        path.relative_to(root).as_posix(): path.read_text()
        for path in sorted((root / "tests").rglob("test_*.py"))
        if path.parent.name not in {"prove", "system"}
    }
