"""What an extractor gets and gives: a readable object in, named streams of bytes out."""

from collections.abc import Callable, Iterable, Iterator
from contextlib import AbstractContextManager
from dataclasses import dataclass
from typing import Protocol


class Readable(Protocol):
    """An object that can be read from the front, or by ranges."""

    @property
    def name(self) -> str:
        """Its name in the archive."""

    @property
    def size_bytes(self) -> int | None:
        """Its length in bytes, if the source says so."""

    def open(
        self, start: int = 0, end: int | None = None
    ) -> AbstractContextManager[Iterator[bytes]]:
        """Stream the bytes from `start` up to, not including, `end`."""


@dataclass(frozen=True)
class Limits:
    """How much one archive may unpack to; all counted while bytes are written.

    Attributes:
        total_bytes: bytes of all members together, those that are skipped over included.
        member_bytes: bytes of one member.
        members: number of members looked at.
        ratio: unpacked bytes per packed byte, once `ratio_floor_bytes` are unpacked.
        ratio_floor_bytes: below this no ratio is asked for: small files compress well.
        depth: folders above a member.
        header_bytes: bytes of one header or of a directory of members, held in memory.
    """

    total_bytes: int = 64 << 30
    member_bytes: int = 32 << 30
    members: int = 1_000_000
    ratio: float = 200.0
    ratio_floor_bytes: int = 64 << 20
    depth: int = 64
    header_bytes: int = 64 << 20


@dataclass(frozen=True)
class Member:
    """One file that came out of an archive.

    Attributes:
        path: relative and already found safe, ``/`` between segments.
        executable: whether its owner may run it.
        size_bytes: its length as the archive declares it; the stream is held to it.
        same_as: the path of a file that came out before and whose content this one shares (a
            link); its stream is then empty.
    """

    path: str
    executable: bool = False
    size_bytes: int | None = None
    same_as: str | None = None


#: Gives the path that a member unpacks to, or None to leave it in the archive.
Select = Callable[[str], str | None]

#: Takes a member and its bytes, and reads the iterator to its end before it returns.
Keep = Callable[[Member, Iterable[bytes]], None]

#: Unpacks the selected members of one object.
Extractor = Callable[[Readable, Select, Keep, Limits], None]
