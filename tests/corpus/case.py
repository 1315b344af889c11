"""One case of the corpus: a container file, and what comes out of it."""

from collections.abc import Mapping
from dataclasses import dataclass


@dataclass(frozen=True)
class Case:
    """A container file that a common tool takes.

    Attributes:
        name: says what is odd about it.
        data: its bytes.
        files: what the reference tool unpacks, by path.
        only: the member or folder that is selected; empty: all.
        note: words of the only warning; empty: there is none.
    """

    name: str
    data: bytes
    files: Mapping[str, bytes]
    only: str = ""
    note: str = ""

    def selects(self, member: str) -> str | None:
        """Select as a catalogue does."""
        inside = member == self.only or member.startswith(f"{self.only}/")
        return member if inside or not self.only else None
