"""Safety checks on the members of a container file, and counters of what is unpacked.

Nothing is ever written to a path from a container file: content is stored by digest, and paths are
text in a table. These rules make that text safe also for programs that serve the files or copy them
to a disk:

- a selected member with an unsafe name (see `staging_api.formats.names`) is an error; an unsafe
  member that is not selected is skipped and counted, since it does no harm;
- of two members with the same path the last one counts, as for ``tar rf``; paths that differ in
  case or in their Unicode form are different files;
- no selected file may be the folder of another;
- the setuid and setgid bits are dropped; devices, pipes and sockets are skipped;
- links become further names of content, see `staging_api.formats.links`.
"""

from collections import Counter
from collections.abc import Iterable, Iterator, Sequence

from staging_api.errors import ArchiveCorrupt, ArchiveUnsafe, LimitExceeded
from staging_api.formats.model import Select, UnpackLimits
from staging_api.formats.names import folded, shown, unsafe
from staging_api.name_table import NameTable

_OWNER_MAY_RUN = 0o100
_SET_ID = 0o6000


class MemberChecker:
    """Checks and counts the members of one container file.

    Attributes:
        notes: reasons for leaving members out.
        scratch: folder for tables of many member names; see `UnpackLimits`.
    """

    def __init__(self, select: Select, limits: UnpackLimits) -> None:
        self._select = select
        self._limits = limits
        self.notes = Notes()
        self.scratch = limits.scratch
        self._members = 0
        self._total = 0
        self._declared = 0
        self._declared_data = 0
        self._packed = 0
        self._passed_over: ArchiveUnsafe | None = None
        self._files = NameTable(limits.scratch)
        self._folders = NameTable(limits.scratch)

    def check_name(self, raw: str) -> str | None:
        """Count one member of any kind, and return its folded name; empty for the root itself.

        Returns:
            None: the name is not safe, and the member is not selected.

        Raises:
            ArchiveUnsafe: the name is not safe, and the member is selected.
            LimitExceeded: there are too many members; or too many folders above a selected member.
        """
        self.count()
        name = folded(raw)
        reason = unsafe(f"/{name}" if raw.startswith("/") else name)
        too_deep = name.count("/") > self._limits.depth
        if not reason and not too_deep:
            return name
        error = ArchiveUnsafe(f"the member {shown(raw)} {reason}")
        if name and not self.selects(name):
            self.notes.add("are not selected and have names that no file may have", raw)
            self._passed_over = self._passed_over or (error if reason else None)
            return None
        if reason:
            raise error
        raise LimitExceeded(
            f"{shown(raw)} lies more than {self._limits.depth} folders deep (STAGING_UNPACK_DEPTH)"
        )

    def result(self) -> Sequence[str]:
        """Return sentences about the members left out.

        Raises:
            ArchiveUnsafe: nothing is selected, and there are members with unsafe names.
        """
        if self._passed_over is not None and not self._files:
            raise self._passed_over
        return self.notes.sentences()

    def count(self) -> None:
        """Count one member, or one further name of a member.

        Raises:
            LimitExceeded: there are too many.
        """
        self._members += 1
        if self._members > self._limits.members:
            raise LimitExceeded(
                f"the container file has over {self._limits.members} members"
                " (STAGING_UNPACK_MEMBERS)"
            )

    def selects(self, name: str) -> bool:
        """Return whether the member with this folded name is selected."""
        return self._select(name) is not None

    def path_of(self, name: str) -> str:
        """Return the path that the selected file with this folded name unpacks to."""
        return self._select(name) or name

    def target(self, name: str) -> str | None:
        """Return the path that the file with this folded name unpacks to; None if not selected.

        Raises:
            ArchiveUnsafe: the path is the folder of another file, or the reverse.
        """
        path = self._select(name)
        if path is None:
            return None
        if path in self._folders:
            raise ArchiveUnsafe(f"{shown(path)} would be a file and a folder")
        # No file has the path of a folder above a known folder, so known folders need no check.
        if (folder := path.rpartition("/")[0]) and folder not in self._folders:
            self._add_folders(path)
        self._files[path] = b""
        return path

    def executable(self, mode: int, name: str) -> bool:
        """Return whether the owner may execute a file of this mode; drop setuid and setgid."""
        if mode & _SET_ID:
            self.notes.add("are setuid or setgid, and are kept without that", name)
        return bool(mode & _OWNER_MAY_RUN)

    def add_packed(self, packed: int) -> int:
        """Add the packed bytes of a member with compression of its own; return the sum so far."""
        self._packed += packed
        return self._packed

    def add_unpacked(self, count: int, packed: int) -> None:
        """Add unpacked bytes; `packed` is the number of packed bytes read so far.

        Raises:
            LimitExceeded: the total is too large, by itself or in relation to the packed bytes.
        """
        self._total += count
        self._check_total(self._total)
        self._check_ratio(self._total, packed)

    def check_declared(self, size: int, packed: int | None, data: int | None = None) -> None:
        """Check the declared size of a member, before any space is reserved or any byte read.

        Args:
            size: declared size of the member.
            packed: packed bytes of this and all earlier members; None: unknown.
            data: number of its bytes outside of holes; None: all.

        Raises:
            LimitExceeded: the member is too large, or the sum so far is too large, by itself or in
                relation to the packed bytes.
        """
        self.check_size(size)
        self._declared += size
        self._declared_data += size if data is None else data
        self._check_total(self._declared)
        self._check_ratio(self._declared_data, packed)

    def check_size(self, size: int) -> None:
        """Check the size of one member as it grows.

        Raises:
            LimitExceeded: the member is too large.
        """
        if size > self._limits.member_bytes:
            raise LimitExceeded(
                f"a member has {size} bytes or more, over the {self._limits.member_bytes} that are"
                " allowed (STAGING_UNPACK_MEMBER_BYTES)"
            )

    def _add_folders(self, path: str) -> None:
        for folder in folders_above(path):
            if folder in self._files:
                raise ArchiveUnsafe(f"{shown(path)} would be a file and a folder")
            self._folders[folder] = b""

    def _check_total(self, total: int) -> None:
        if total > self._limits.total_bytes:
            raise LimitExceeded(
                f"the container file unpacks to {total} bytes or more, over the"
                f" {self._limits.total_bytes} that are allowed (STAGING_UNPACK_BYTES)"
            )

    def _check_ratio(self, total: int, packed: int | None) -> None:
        limits = self._limits
        if packed is None or not limits.ratio or total <= limits.ratio_floor_bytes:
            return
        if total > limits.ratio * max(packed, 1):
            raise LimitExceeded(
                f"the container file unpacks to over {limits.ratio:g} times its size,"
                f" {packed} bytes to {total} (STAGING_UNPACK_RATIO)"
            )


class PackedBytes:
    """Iterator that passes on the packed bytes of an object, and counts them."""

    def __init__(self, chunks: Iterator[bytes]) -> None:
        """Wrap an iterator of packed bytes."""
        self._chunks = chunks
        self.count = 0

    def __iter__(self) -> Iterator[bytes]:
        for chunk in self._chunks:
            self.count += len(chunk)
            yield chunk


def one_file(
    pieces: Iterable[bytes], packed: PackedBytes, checker: MemberChecker
) -> Iterator[bytes]:
    """Pass on the bytes of an object that becomes one file, within the limits of a member.

    Raises:
        LimitExceeded: the file is too large, by itself or in relation to the packed bytes.
    """
    size = 0
    for piece in pieces:
        size += len(piece)
        checker.check_size(size)
        checker.add_unpacked(len(piece), packed.count)
        yield piece


def exactly(chunks: Iterable[bytes], size: int, name: str) -> Iterator[bytes]:
    """Pass on the chunks, and require that their total length is `size` bytes.

    Raises:
        ArchiveCorrupt: the length is another one.
    """
    seen = 0
    for chunk in chunks:
        seen += len(chunk)
        if seen > size:
            break
        yield chunk
    if seen != size:
        raise ArchiveCorrupt(f"{shown(name)} does not have the size that its header declares")


def folders_above(path: str) -> list[str]:
    """Return the paths of all folders above a path, outermost first."""
    segments = path.split("/")[:-1]
    return ["/".join(segments[: count + 1]) for count in range(len(segments))]


class Notes:
    """Counters of reasons, each with the first member concerned."""

    def __init__(self) -> None:
        self._counts: Counter[str] = Counter()
        self._first: dict[str, str] = {}

    def add(self, reason: str, name: str) -> None:
        """Count one member.

        Args:
            reason: a text that does not depend on the member: ``left out: the name is unsafe``.
            name: name of the member.
        """
        self._counts[reason] += 1
        self._first.setdefault(reason, name)

    def sentences(self) -> tuple[str, ...]:
        """Return one sentence for each reason."""
        return tuple(
            f"{count} of its members {reason}; the first is {shown(self._first[reason])}"
            for reason, count in self._counts.items()
        )
