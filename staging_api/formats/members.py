"""Refuse what must not come out of an archive, and count what does.

Nothing is ever written to a path that an archive names: content goes to the store by digest, and
paths are only texts in a table. These rules keep the texts harmless too, for whoever serves the
tree or copies it to a disk:

- a name is relative, has no ``.``, ``..`` or empty segment, no control character or backslash,
  and no segment over 255 bytes; a leading ``./`` is dropped. This is asked of every member, also
  of those that are skipped: an archive with one such name was made to hurt;
- of the selected members no two have the same path, not even when case and Unicode form are
  ignored, and none is the folder of another;
- of the selected members each is a plain file without setuid or setgid; devices, pipes and
  sockets are refused;
- links become further names of content, see `staging_api.formats.links`.
"""

import unicodedata
from collections.abc import Iterable, Iterator

from staging_api.errors import ArchiveCorrupt, ArchiveUnsafe, LimitExceeded
from staging_api.formats.model import Limits, Select

_MAX_SEGMENT_BYTES = 255
_SET_ID = 0o6000


class Guard:
    """Checks and counts the members of one archive."""

    def __init__(self, select: Select, limits: Limits) -> None:
        self._select = select
        self._limits = limits
        self._members = 0
        self._total = 0
        self._declared = 0
        self._packed = 0
        self._files: set[str] = set()
        self._folders: set[str] = set()

    def look_at(self, name: str) -> str:
        """Count one member of any kind and give its safe name; empty for the root itself.

        Raises:
            ArchiveUnsafe: its name is not safe.
            LimitExceeded: too many members, or too many folders above it.
        """
        self._members += 1
        if self._members > self._limits.members:
            raise LimitExceeded(f"the archive has more than {self._limits.members} members")
        safe = safe_name(name)
        if safe.count("/") > self._limits.depth:
            raise LimitExceeded(f"a member lies more than {self._limits.depth} folders deep")
        return safe

    def target(self, name: str) -> str | None:
        """Where the file of this safe name goes; None if it is not selected.

        Raises:
            ArchiveUnsafe: its path clashes with that of another member.
        """
        path = self._select(name)
        if path is None:
            return None
        # Whoever copies the tree to a disk may have one that ignores case, or composes letters.
        folded = unicodedata.normalize("NFC", path).casefold()
        above = _folders_above(folded)
        if folded in self._files or folded in self._folders or not self._files.isdisjoint(above):
            raise ArchiveUnsafe(f"two members would have the path {shown(path)}")
        self._files.add(folded)
        self._folders.update(above)
        return path

    def opened(self, packed: int) -> int:
        """Count the packed bytes of a member packed by itself; gives those of all so far."""
        self._packed += packed
        return self._packed

    def unpacked(self, count: int, packed: int) -> None:
        """Count bytes that were unpacked, `packed` being all packed bytes read so far.

        Raises:
            LimitExceeded: too many in all, or too many for what they were packed in.
        """
        self._total += count
        self._check_total(self._total, packed)

    def declared(self, size: int, packed: int | None) -> None:
        """Check the size that a member declares, before room is asked for and a byte is read.

        Args:
            size: of the member.
            packed: all packed bytes that it and those before it can come out of; None: not known.

        Raises:
            LimitExceeded: it is more than one member may have, or the members so far are more than
                all may have, or than what they are packed in can hold.
        """
        self.grown(size)
        self._declared += size
        self._check_total(self._declared, packed)

    def grown(self, size: int) -> None:
        """Check the size of one member as it grows.

        Raises:
            LimitExceeded: it is more than one member may have.
        """
        if size > self._limits.member_bytes:
            raise LimitExceeded(f"a member has more than {self._limits.member_bytes} bytes")

    def _check_total(self, total: int, packed: int | None) -> None:
        limits = self._limits
        if total > limits.total_bytes:
            raise LimitExceeded(f"the archive unpacks to over {limits.total_bytes} bytes")
        if packed is None or total <= limits.ratio_floor_bytes:
            return
        if total > limits.ratio * max(packed, 1):
            raise LimitExceeded(f"the archive unpacks to over {limits.ratio:g} times its size")


def exactly(chunks: Iterable[bytes], size: int, name: str) -> Iterator[bytes]:
    """Pass the chunks on, and insist that they are `size` bytes together.

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
        raise ArchiveCorrupt(f"{shown(name)} is not as long as the archive says")


def check_mode(mode: int, name: str) -> None:
    """Refuse a file that would run with its owner's rights.

    Raises:
        ArchiveUnsafe: it has setuid or setgid.
    """
    if mode & _SET_ID:
        raise ArchiveUnsafe(f"{shown(name)} is setuid or setgid")


def safe_name(name: str) -> str:
    """A member's name without a leading ``./`` and a closing ``/``; empty for the root itself.

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
    """A name as error texts show it: no control characters, not endless."""
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
