"""A mutant, and the division of the project's files into rooms."""

from dataclasses import dataclass
from pathlib import Path

ROOT = Path(__file__).parents[2]
PACKAGE = "staging_api"
FUNCTIONS = "db/functions"


@dataclass(frozen=True, order=True)
class Mutant:
    """One change of one file.

    Attributes:
        path: path of the file, from the root of the tree.
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
        """Whether it changes a function, trigger or view of the database instead of a query."""
        return self.path.startswith(f"{PACKAGE}/{FUNCTIONS}/")

    def applied(self, source: bytes) -> bytes:
        """Return the changed source."""
        return source[: self.start] + self.after.encode() + source[self.end :]

    def lines(self, source: bytes) -> tuple[str, str]:
        """Return the first changed line, stripped, before and after.

        If a change begins at the end of a line and continues below, the rest of that line is shown.
        """
        changed = self.applied(source).splitlines()
        before = source.splitlines()[self.line - 1]
        after = changed[self.line - 1] if self.line <= len(changed) else b""
        return before.decode().strip(), after.decode().strip()


def room(path: str) -> str:
    """Return the room of a file: its folder in the package, or its own name outside of folders.

    The functions of the database have a room of their own: "db/functions".
    """
    parts = Path(path).with_suffix("").parts[1:]
    if parts[:2] == ("db", "functions"):
        return FUNCTIONS
    return parts[0]


def module(path: str) -> str:
    """Return the dotted name of a Python file."""
    return path.removesuffix(".py").removesuffix("/__init__").replace("/", ".")
