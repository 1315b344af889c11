"""Refuse dangerous members of a container file, and count what it unpacks to.

Nothing is ever written to a path from a container file: content goes to the store by digest, and
paths are text in a table. These rules keep that text harmless too, for programs that serve the tree
or copy it to a disk:

- a name is relative, has no ``.``, ``..`` or empty segment, no control character or backslash, and
  no segment over 255 bytes; a leading ``./`` is dropped. Skipped members are checked, too: one such
  name shows that the file was made as an attack;
- no two selected members have the same path, even without case and Unicode form, and none is the
  folder of another;
- each selected member is a regular file without setuid or setgid; devices, pipes and sockets are
  refused;
- links become further names of content, see `staging_api.formats.links`.
"""

import unicodedata
from collections.abc import Iterable, Iterator

from staging_api.errors import ArchiveCorrupt, ArchiveUnsafe, LimitExceeded
from staging_api.formats.model import Limits, Select

_MAX_SEGMENT_BYTES = 255
_SET_ID = 0o6000


class MemberChecker:
    """Checks and counts the members of one container file."""

    def __init__(self, select: Select, limits: Limits) -> None:
        self._select = select
        self._limits = limits
        self._members = 0
        self._total = 0
        self._declared = 0
        self._packed = 0
        self._files: set[str] = set()
        self._folders: set[str] = set()

    def check_name(self, name: str) -> str:
        """Count one member of any kind and return its safe name; empty for the root itself.

        Raises:
            ArchiveUnsafe: its name is not safe.
            LimitExceeded: too many members, or too many folders above it.
        """
        self._members += 1
        if self._members > self._limits.members:
            raise LimitExceeded(f"the container file has over {self._limits.members} members")
        safe = safe_name(name)
        if safe.count("/") > self._limits.depth:
            raise LimitExceeded(f"a member lies more than {self._limits.depth} folders deep")
        return safe

    def target(self, name: str) -> str | None:
        """Return the path that the file of this safe name unpacks to; None if not selected.

        Raises:
            ArchiveUnsafe: its path clashes with that of another member.
        """
        path = self._select(name)
        if path is None:
            return None
        # The tree may be copied to a file system that ignores case or composes letters.
        folded = unicodedata.normalize("NFC", path).casefold()
        above = _folders_above(folded)
        if folded in self._files or folded in self._folders or not self._files.isdisjoint(above):
            raise ArchiveUnsafe(f"two members would have the path {shown(path)}")
        self._files.add(folded)
        self._folders.update(above)
        return path

    def add_packed(self, packed: int) -> int:
        """Add the packed bytes of a member packed by itself; return the sum so far."""
        self._packed += packed
        return self._packed

    def add_unpacked(self, count: int, packed: int) -> None:
        """Add unpacked bytes; `packed` is the number of packed bytes read so far.

        Raises:
            LimitExceeded: too many in all, or for that many packed bytes.
        """
        self._total += count
        self._check_total(self._total, packed)

    def check_declared(self, size: int, packed: int | None) -> None:
        """Check the size that a member declares, before any space is reserved or byte read.

        Args:
            size: of the member.
            packed: packed bytes of this and all earlier members; None: not known.

        Raises:
            LimitExceeded: too large for one member, or the sum so far is too large for all, or for
                that many packed bytes.
        """
        self.check_size(size)
        self._declared += size
        self._check_total(self._declared, packed)

    def check_size(self, size: int) -> None:
        """Check the size of one member as it grows.

        Raises:
            LimitExceeded: it is too large for one member.
        """
        if size > self._limits.member_bytes:
            raise LimitExceeded(f"a member has more than {self._limits.member_bytes} bytes")

    def _check_total(self, total: int, packed: int | None) -> None:
        limits = self._limits
        if total > limits.total_bytes:
            raise LimitExceeded(f"the container file unpacks to over {limits.total_bytes} bytes")
        if packed is None or total <= limits.ratio_floor_bytes:
            return
        if total > limits.ratio * max(packed, 1):
            raise LimitExceeded(
                f"the container file unpacks to over {limits.ratio:g} times its size"
            )


def exactly(chunks: Iterable[bytes], size: int, name: str) -> Iterator[bytes]:
    """Pass the chunks on, and require that they are `size` bytes together.

    Raises:
        ArchiveCorrupt: they are not.
    """
    seen = 0
    for chunk in chunks:
        seen += len(chunk)
        if seen > size:
            break
        yield chunk
    if seen != size:
        raise ArchiveCorrupt(f"{shown(name)} does not have the size that its header declares")


def check_mode(mode: int, name: str) -> None:
    """Refuse a file that would run with its owner's rights.

    Raises:
        ArchiveUnsafe: it has setuid or setgid.
    """
    if mode & _SET_ID:
        raise ArchiveUnsafe(f"{shown(name)} is setuid or setgid")


def safe_name(name: str) -> str:
    """Return a member's name without a leading ``./`` and a final ``/``; empty for the root.

    Raises:
        ArchiveUnsafe: it is not a plain relative path.
    """
    trimmed = name.removeprefix("./").removesuffix("/")
    if trimmed in ("", ".") and name in (".", "./"):
        return ""
    reason = _unsafe(trimmed)
    if reason:
        raise ArchiveUnsafe(f"the member {shown(name)} {reason}")
    return trimmed


def shown(name: str) -> str:
    """Return a name for error messages: at most 80 characters, ASCII only."""
    return ascii(name[:80])


def _unsafe(name: str) -> str:
    segments = name.split("/")
    if name.startswith("/"):
        return "has an absolute name"
    if ".." in segments:
        return "has .. in its name"
    if "" in segments or "." in segments:
        return "has an empty segment or . in its name"
    if not name.isprintable() or "\\" in name:
        return "has a control character or backslash in its name"
    if any(len(segment.encode()) > _MAX_SEGMENT_BYTES for segment in segments):
        return f"has a name segment over {_MAX_SEGMENT_BYTES} bytes"
    return ""


def _folders_above(path: str) -> list[str]:
    segments = path.split("/")[:-1]
    return ["/".join(segments[: count + 1]) for count in range(len(segments))]
