"""A mutant, and how the files of the project are divided into rooms."""

from dataclasses import dataclass
from pathlib import Path

ROOT = Path(__file__).parents[2]
PACKAGE = "staging_api"
FUNCTIONS = "db/functions"


@dataclass(frozen=True, order=True)
class Mutant:
    """One change of one file.

    Attributes:
        path: of the file, from the root of the tree.
        start, end: the bytes of the file that are replaced.
        after: what replaces them.
        kind: of the change, e.g. "comparison"; see `tests.mutants.python` and `tests.mutants.sql`.
        line: the first line that changes, from 1.
    """

    path: str
    start: int
    end: int
    after: str
    kind: str
    line: int

    @property
    def is_function(self) -> bool:
        """Whether it changes a function, trigger or view of the database, not a query."""
        return self.path.startswith(f"{PACKAGE}/{FUNCTIONS}/")

    def applied(self, source: bytes) -> bytes:
        """The changed source."""
        return source[: self.start] + self.after.encode() + source[self.end :]

    def lines(self, source: bytes) -> tuple[str, str]:
        """The first line that changes, stripped, before and after.

        A change that begins at the end of a line and goes on below shows what it leaves of it.
        """
        changed = self.applied(source).splitlines()
        before = source.splitlines()[self.line - 1]
        after = changed[self.line - 1] if self.line <= len(changed) else b""
        return before.decode().strip(), after.decode().strip()


def room(path: str) -> str:
    """The room of a file: its folder in the package, or its own name if it lies in none.

    The functions of the database are a room of their own: "db/functions".
    """
    parts = Path(path).with_suffix("").parts[1:]
    if parts[:2] == ("db", "functions"):
        return FUNCTIONS
    return parts[0]


def module(path: str) -> str:
    """The dotted name of a Python file."""
    return path.removesuffix(".py").removesuffix("/__init__").replace("/", ".")
