"""A case of the corpus: a container file, and its expected content."""

from collections.abc import Mapping
from dataclasses import dataclass


@dataclass(frozen=True)
class Case:
    """A container file that a common tool accepts.

    Attributes:
        name: description of its peculiarity.
        data: its bytes.
        files: files that the reference tool unpacks, by path.
        only: selected member or folder; empty: all.
        note: words of the only warning; empty: no warning.
    """

    name: str
    data: bytes
    files: Mapping[str, bytes]
    only: str = ""
    note: str = ""

    def selects(self, member: str) -> str | None:
        """Select members as a catalogue does."""
        inside = member == self.only or member.startswith(f"{self.only}/")
        return member if inside or not self.only else None
