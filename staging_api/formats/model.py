"""The interface of an extractor: a readable object in, named streams of bytes out."""

from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol


class Readable(Protocol):
    """An object that can be read from its beginning, or by ranges."""

    @property
    def name(self) -> str:
        """Its name in the archive."""

    @property
    def size_bytes(self) -> int | None:
        """Its length in bytes, if the source declares it."""

    def open(
        self, start: int = 0, end: int | None = None
    ) -> AbstractContextManager[Iterator[bytes]]:
        """Stream the bytes from `start` up to, not including, `end`."""


@dataclass(frozen=True)
class UnpackLimits:
    """What one container file may unpack to; counted while it is unpacked.

    Attributes:
        total_bytes: of all members together, skipped ones included.
        member_bytes: of one member.
        members: number of members, skipped ones included.
        ratio: unpacked bytes per packed byte, once `ratio_floor_bytes` are unpacked; 0: no limit.
        ratio_floor_bytes: no ratio is required below: an empty disk image compresses well.
        depth: folders above a member.
        header_bytes: of one directory of members, held in memory.
        window_bytes: what one decompressor may hold in memory.
        scratch: a folder for the names of many members; None: where temporary files are.
    """

    total_bytes: int = 64 << 30
    member_bytes: int = 32 << 30
    members: int = 1_000_000
    ratio: float = 200.0
    ratio_floor_bytes: int = 1 << 30
    depth: int = 64
    header_bytes: int = 64 << 20
    window_bytes: int = 256 << 20
    scratch: Path | None = None


@dataclass(frozen=True)
class Member:
    """One unpacked file.

    Attributes:
        path: relative and already checked, ``/`` between segments.
        executable: whether its owner may run it.
        size_bytes: declared length; the stream must have it.
        same_as: for a link: the path of an earlier file with the same content; the stream is then
            empty.
        sparse: whether it has holes: long runs of zeros in the stream need no space.
        gone: whether there is no file at the path after all, as a link that leads nowhere came in
            the place of an earlier one; the stream is then empty.
    """

    path: str
    executable: bool = False
    size_bytes: int | None = None
    same_as: str | None = None
    sparse: bool = False
    gone: bool = False


#: Returns the path that a member unpacks to, or None to skip it.
Select = Callable[[str], str | None]

#: Takes a member and its bytes, and reads the iterator to its end before it returns. A member whose
#: path was kept before replaces it.
Keep = Callable[[Member, Iterable[bytes]], None]

#: Unpacks the selected members of one object; returns sentences about what it left out.
Extract = Callable[[Readable, Select, Keep, UnpackLimits], Sequence[str]]
