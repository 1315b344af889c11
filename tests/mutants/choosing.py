"""Which test files try a mutant: first the likely ones, then wider suites.

With a record of a run (``make mutants-record``), the likely ones are those that ran the line. A
line that runs at import, or only in a process that a test starts, is in no record that says much;
then they are the tests that name the module, and after those the tests that name its room.
"""

import re
import sqlite3
from collections import defaultdict
from dataclasses import dataclass, field
from pathlib import Path

from tests.mutants.model import PACKAGE, ROOT, Mutant, module, room
from tests.prove.mutants import FILES as LOCK_FILES
from tests.prove.mutants import TESTS as LOCK_TESTS

#: Where the recorded run is kept, from the root of the tree.
RECORD = ".venv/mutants.coverage"

_CHEAP = ("tests/unit/", "tests/properties/", "tests/corpus/", "tests/conformance/")
_MADE = re.compile(r"CREATE OR REPLACE (?:FUNCTION|PROCEDURE|VIEW) (\w+)")
# They compare a file with what was released, and so fail for every mutant of it.
_COMPARE_TEXT = frozenset(
    {"tests/integration/test_functions.py", "tests/unit/test_released_migrations.py"}
)
# They look at all of the code, at this driver or at what pip installs.
_OF_THE_CODE = frozenset(
    {
        "tests/acceptance/test_base_install.py",
        "tests/integration/test_contracts.py",
        "tests/unit/test_mutants.py",
        "tests/unit/test_packaging.py",
    }
)


@dataclass
class Choice:
    """Chooses the test files for mutants.

    Attributes:
        texts: of every test file, by its path.
        ran: by file of the package and line, the test files that ran it; empty without a record.
        under: folders; no test outside of them is chosen.
    """

    texts: dict[str, str]
    ran: dict[str, dict[int, set[str]]] = field(default_factory=dict)
    under: tuple[str, ...] = ("",)

    def suites(self, mutant: Mutant) -> list[list[str]]:
        """Test files, the narrowest suite first; no file is in two suites, and none is empty."""
        suites = []
        taken: set[str] = set()
        for wanted in self._widening(mutant):
            unseen = wanted & self.texts.keys() - taken - _COMPARE_TEXT - _OF_THE_CODE
            rest = sorted(path for path in unseen if path.startswith(self.under))
            taken.update(rest)
            suites.append([path for path in rest if path.startswith(_CHEAP)])
            suites.append([path for path in rest if not path.startswith(_CHEAP)])
        return [suite for suite in suites if suite]

    def _widening(self, mutant: Mutant) -> list[set[str]]:
        if mutant.path in LOCK_FILES:
            return [set(LOCK_TESTS), self._naming(self._names(mutant.path)), set(self.texts)]
        names = self._names(mutant.path)
        near = self.ran.get(mutant.path, {}).get(mutant.line) or self._naming(names)
        return [near, self._naming(names), self._of_the_room(mutant.path), set(self.texts)]

    def _names(self, path: str) -> list[str]:
        """What a test that is about this file says."""
        if path.endswith(".sql"):
            return sorted(set(_MADE.findall((ROOT / path).read_text())))
        package, _, name = module(path).rpartition(".")
        return [f"{package}.{name}", rf"from {package} import [^\n]*{name}"]

    def _naming(self, names: list[str]) -> set[str]:
        pattern = re.compile("|".join(rf"\b{name}\b" for name in names) or r"\Z.")
        return {path for path, text in self.texts.items() if pattern.search(text)}

    def _of_the_room(self, path: str) -> set[str]:
        return self._naming([f"{PACKAGE}.{room(path).replace('/', '.')}"])


def texts_of_tests(root: Path = ROOT) -> dict[str, str]:
    """The text of each file of tests that `make test` runs, by its path."""
    return {
        path.relative_to(root).as_posix(): path.read_text()
        for path in sorted((root / "tests").rglob("test_*.py"))
        if path.parent.name not in {"prove", "system"}
    }


def recorded(path: Path) -> dict[str, dict[int, set[str]]]:
    """Read a record: by file and line, the test files that ran it; {} if there is no record."""
    ran: dict[str, dict[int, set[str]]] = defaultdict(lambda: defaultdict(set))
    if not path.exists():
        return ran
    from coverage.numbits import numbits_to_nums  # installed for a record only

    rows = sqlite3.connect(f"file:{path}?mode=ro", uri=True).execute(
        "SELECT file.path, context.context, line_bits.numbits FROM line_bits"
        " JOIN file ON file.id = file_id JOIN context ON context.id = context_id"
        " WHERE context.context <> ''"
    )
    for file, test, numbits in rows:
        name = file[file.rindex(f"{PACKAGE}/") :]
        for line in numbits_to_nums(numbits):
            ran[name][line].add(test)
    return ran
