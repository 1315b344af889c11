"""Interface of an extractor: from a readable object to named streams of bytes."""

from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol


class Readable(Protocol):
    """An object that can be read from its beginning, or by ranges."""

    @property
    def name(self) -> str:
        """Name of the object in the archive."""

    @property
    def size_bytes(self) -> int | None:
        """Length in bytes, if the source declares it."""

    def open(
        self, start: int = 0, end: int | None = None
    ) -> AbstractContextManager[Iterator[bytes]]:
        """Stream the bytes from `start` up to, but not including, `end`."""


@dataclass(frozen=True)
class UnpackLimits:
    """Limits for unpacking one container file, enforced while it is unpacked.

    Attributes:
        total_bytes: size of all members together, including skipped ones.
        member_bytes: size of one member.
        members: number of members, including skipped ones.
        ratio: unpacked bytes per packed byte, once `ratio_floor_bytes` are unpacked; 0: no limit.
        ratio_floor_bytes: unpacked size below which the ratio is not checked: an empty disk image
            compresses well.
        depth: number of folders above a member.
        header_bytes: size of one directory of members, which is held in memory.
        window_bytes: memory of one decompressor.
        scratch: folder for tables of many member names; None: the default folder of temporary
            files.
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
    """An unpacked file.

    Attributes:
        path: relative path, already checked, with ``/`` between segments.
        executable: whether the owner may execute the file.
        size_bytes: declared length; the stream must have this length.
        same_as: for a link: the path of an earlier file with the same content; the stream is empty.
        sparse: whether the file has holes: long runs of zeros in the stream need no space.
        gone: whether an earlier file at this path is removed, because a dangling link replaced it;
            the stream is empty.
    """

    path: str
    executable: bool = False
    size_bytes: int | None = None
    same_as: str | None = None
    sparse: bool = False
    gone: bool = False


#: Returns the path that a member unpacks to, or None to skip it.
Select = Callable[[str], str | None]

#: Stores a member and its bytes, and reads the iterator to its end before it returns. A member
#: replaces an earlier one with the same path.
Keep = Callable[[Member, Iterable[bytes]], None]

#: Unpacks the selected members of one object; returns sentences about the members left out.
Extract = Callable[[Readable, Select, Keep, UnpackLimits], Sequence[str]]
