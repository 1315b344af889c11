"""The interface of a store of blobs: contents named by their sha256, written in batches.

One rule carries every store: **a name appears only after its bytes are durable**. So keeping the
same content twice is harmless, whichever process wrote it and whether or not the power failed.

A second rule carries every reuse: **a name is not yet a blob**. Disks lose files, operators cut
them and put links or folders in their place. A blob is a regular file (or an object) of the
expected length; anything else at its name is treated as absent, and fresh bytes replace it.

How each store keeps both rules, and the files that a dead process leaves, are described in
`folder_store` and `bucket_store`; one suite of tests runs over both.
"""

import hashlib
import itertools
import os
import re
import threading
from collections.abc import Callable, Collection, Iterable, Iterator, Mapping
from contextlib import AbstractContextManager
from dataclasses import dataclass
from pathlib import Path
from typing import BinaryIO, Protocol

from staging_api.errors import NotFound, StagingApiError
from staging_api.store.disk import (
    disk_failures,
    new_file,
    reserve,
    write_all,
    write_back,
    write_or_skip,
)
from staging_api.store.pack_writer import PackWriter
from staging_api.store.parts import PartStore
from staging_api.store.spool import Swept

#: Called with a number of bytes before they are written; an exception ends the writing.
Reserve = Callable[[int], None]
#: Called with the name of every step that was done: where a test can pull the plug.
Checkpoint = Callable[[str], None]

#: Below this, reserving the space first costs more than it saves.
_WORTH_RESERVING = 1 << 20
#: After so many bytes the disk begins to write them, while more arrive.
_WRITE_BACK_BYTES = 8 << 20
_DIGEST = re.compile(r"[0-9a-f]{64}")
#: The marker of a store, at its root: a ULID, which its database has, too.
MARKER = "store-id"
_MARKER = re.compile(rb"([0-9A-HJKMNP-TV-Z]{26})\n?")
#: How long what was quarantined is kept for an operator to look at.
KEPT_ASIDE_SECONDS = 30 * 24 * 3600.0


def no_limit(_count: int) -> None:
    """Reserve nothing: there is no quota."""


def no_stop(_step: str) -> None:
    """A checkpoint that lets everything pass."""


def key_of(sha256: str) -> str:
    """Where the blob of this digest lies in a store, or would lie.

    Raises:
        NotFound: this is not a digest.
    """
    if _DIGEST.fullmatch(sha256) is None:
        raise NotFound("a blob is named by 64 lower-case hexadecimal digits")
    return f"sha256/{sha256[:2]}/{sha256}"


def identity_in(marker: bytes) -> str | None:
    """The ULID that a marker has; None: it was damaged."""
    found = _MARKER.fullmatch(marker)
    return found[1].decode() if found else None


def is_digest(name: str, shard: str) -> bool:
    """Whether a file of this name can be a blob of this shard."""
    return name.startswith(shard) and _DIGEST.fullmatch(name) is not None


@dataclass(frozen=True)
class Blob:
    """Content that was kept: its digest, in hex, and its length."""

    sha256: str
    size_bytes: int


class BlobStore(Protocol):
    """Where blobs are."""

    #: How long `remove_all` of some fifty may take at most, unless this process hangs.
    removal_seconds: float

    @property
    def parts(self) -> PartStore:
        """The parts of objects that are being fetched."""

    def check(self) -> None:
        """Make sure that the store can be reached and written; needs no space.

        Raises:
            Unavailable: it cannot.
        """

    def identity(self) -> str | None:
        """The ULID in the store's marker, which says which store this is; None: it has no marker.

        Raises:
            StoreAbsent: there is a marker, and no place for blobs.
            StoreFailed: the store cannot say.
        """

    def identify(self, identity: str, *, replace: bool = False) -> None:
        """Put a marker into the store, durably.

        A marker that is there stays, unless `replace`; so of several that do this at once all find
        the same one afterwards.
        """

    def is_empty(self) -> bool:
        """Whether the store has no blob at all."""

    def free_bytes(self) -> int:
        """Free space on the disk that bytes are first written to."""

    def has(self, sha256: str, size_bytes: int | None = None) -> bool:
        """Whether the blob is here, of this length if one is given."""

    def lacks(self, contents: Mapping[str, int]) -> set[str]:
        """Those of these contents (digest to length) that are not here, or not of this length."""

    def find(self, sha256: str) -> Blob | None:
        """The blob of this digest, as long as it is here; compare its length before any reuse."""

    def open(self, sha256: str, size_bytes: int | None = None) -> BinaryIO:
        """Open the blob for reading; it can be sought.

        Raises:
            NotFound: it is not here, or not of the length that is given.
            StoreFailed: the store cannot say.
        """

    def read(self, sha256: str, size_bytes: int, start: int, length: int) -> bytes:
        """Read a piece of a blob, without the rest of it.

        Args:
            sha256: of the blob.
            size_bytes: length of the blob.
            start: where the piece begins.
            length: of the piece; it fits into memory, and lies within the blob.

        Raises:
            NotFound: the blob is not here, or not of this length.
            StoreFailed: the store cannot say.
        """

    def place(self, sha256: str, file: Path, size_bytes: int | None = None) -> None:
        """Let the blob be found at a file of this machine that is not there yet.

        Raises:
            NotFound: it is not here, or not of the length that is given.
        """

    def link(self, sha256: str, size_bytes: int) -> str | None:
        """Return a URL by which any client can read the blob for some minutes; None: no such URLs.

        Raises:
            NotFound: it is not here, or not of this length.
            StoreFailed: the store cannot say.
        """

    def name_of(self, growing: Path) -> str:
        """What other pods call a file of this store that is still being written."""

    def growing(self, name: str) -> Path | None:
        """The file of this name; None: other pods' files cannot be seen from here."""

    def remove(self, sha256: str) -> None:
        """Free the blob; a reader that has it open still reads it to the end."""

    def remove_all(self, digests: Collection[str]) -> dict[str, StagingApiError]:
        """Remove these blobs, each by itself; return those that failed, with the reason."""

    def quarantine(self, sha256: str, differs: Callable[[BinaryIO], bool]) -> bool:
        """Take a damaged blob out of service and keep it aside; says whether it did.

        Args:
            sha256: of the content that the blob should have.
            differs: reads what was put aside to its end, and says whether it is another content.
                Where it is not, the blob stays.
        """

    def shard(self, shard: str) -> Iterator[tuple[Blob, float]]:
        """The blobs whose digests begin with these two digits, with the times of their last use.

        A time is that of a batch (seconds, epoch); that of a reader does not count.
        """

    def last_use(self, sha256: str) -> float | None:
        """When a batch last used the blob (seconds, epoch); None: it is not here."""

    def used_since(self, digests: Collection[str], since: float) -> set[str]:
        """Those of these blobs that a batch used after `since` (seconds, epoch)."""

    def batch(self, owner: str, reserve: Reserve = no_limit) -> AbstractContextManager["Batch"]:
        """Open a place to write to; files not committed when the block ends are removed.

        Args:
            owner: names the folder of its files, for operators.
            reserve: called with a number of bytes before they are written.
        """

    def time(self) -> float:
        """The time (seconds, epoch) by the clock that dates the blobs of this store.

        The clock of one pod says nothing about the age of what another one wrote.

        Raises:
            StoreFailed: the store cannot say.
        """

    def sweep(self, older_than_seconds: float) -> Swept:
        """Remove the files of dead processes, each folder by itself.

        What changed since then, by the clock that dates files here, stays, and so does what a
        process is at work on.
        """


class Keeper(Protocol):
    """The methods of a store that a batch calls."""

    def mark_used(self, blob: Blob) -> bool:
        """Whether the blob is here, of this length; its last use is now."""

    def take(self, files: Mapping[Blob, str], checkpoint: Checkpoint) -> None:
        """Make these files durable, and only then name them.

        A blob that is here already is only marked as used; one that differs is replaced.
        """


class Batch:
    """Blobs that become visible together, after all their bytes are durable.

    An archive may have a hundred thousand small files. So paths are plain strings here, and a small
    file costs no more system calls than it takes to make it.
    """

    def __init__(self, keeper: Keeper, folder: Path, reserve: Reserve) -> None:
        self._keeper = keeper
        self._folder = str(folder)
        self._reserve = reserve
        self._written: dict[Blob, str] = {}
        self._pack: PackWriter | None = None
        self._lock = threading.Lock()
        self._numbers = itertools.count()

    @property
    def folder(self) -> Path:
        """Where its files are until they have names."""
        return Path(self._folder)

    def new_file(self) -> Path:
        """A place for one stream; a reader may follow the bytes written there."""
        return Path(self._new_name())

    def keep(
        self,
        chunks: Iterable[bytes],
        expected_bytes: int | None = None,
        file: Path | None = None,
        *,
        sparse: bool = False,
    ) -> Blob:
        """Write and hash one stream; safe to call from several threads.

        Args:
            chunks: read to the end.
            expected_bytes: its length if that is known, to find a full disk before writing.
            file: a `new_file` to write it to; None: whichever.
            sparse: whether chunks of zeros become holes. The quota counts them all the same: a copy
                in a bucket, or on a disk without holes, has their bytes.

        Raises:
            NoSpace: the disk or its quota is full.
        """
        name = self._new_name() if file is None else str(file)
        self._reserve(expected_bytes or 0)
        descriptor = new_file(name)
        try:
            # To reserve the space on the disk would fill the holes.
            if not sparse and (expected_bytes or 0) >= _WORTH_RESERVING:
                reserve(descriptor, expected_bytes or 0)
            write = write_or_skip if sparse else write_all
            blob = _write(descriptor, chunks, expected_bytes, self._reserve, write)
        finally:
            # A network file system may say only now that the disk or its quota is full.
            with disk_failures():
                os.close(descriptor)
        return self._written_as(blob, name)

    def keep_small(self, content: bytes) -> tuple[bytes, int]:
        """Keep a small content in the pack of this batch; for one thread.

        Returns:
            its digest, and where it begins in the pack that `seal_pack` returns.

        Raises:
            NoSpace: the disk or its quota is full.
        """
        if self._pack is None:
            self._pack = PackWriter(self._new_name(), self._reserve)
        return self._pack.add(content)

    def seal_pack(self) -> Blob | None:
        """End the pack; None: there are so few contents that each is a blob of its own.

        Raises:
            NoSpace: the disk or its quota is full.
        """
        pack, self._pack = self._pack, None
        if pack is None:
            return None
        if (few := pack.few()) is not None:
            for content in few:
                self.keep([content], len(content))
            return None
        return self._written_as(Blob(*pack.seal()), pack.file)

    def close(self) -> None:
        """Close what is open; the files go with their folder."""
        if self._pack is not None:
            self._pack.close()

    def adopt(self, path: Path, chunks: Iterable[bytes]) -> Blob:
        """Keep a file of this store's parts, which is not written any more.

        Args:
            path: the file.
            chunks: its bytes once more, to be hashed.
        """
        digest, size = hashlib.sha256(), 0
        for chunk in chunks:
            digest.update(chunk)
            size += len(chunk)
        temporary = self.new_file()
        with disk_failures():
            os.truncate(path, size)
            # A second name, not a move: until the row is written the parts must stay complete.
            temporary.hardlink_to(path)
        return self._written_as(Blob(digest.hexdigest(), size), str(temporary))

    def reuse(self, blob: Blob) -> None:
        """Use a blob of the store: mark it used, so that no collector removes it.

        Raises:
            NotFound: it was removed, or cut, since it was found.
        """
        if not self._keeper.mark_used(blob):
            raise NotFound(f"the store has no blob {blob.sha256} of {blob.size_bytes} bytes")

    def commit(self, checkpoint: Checkpoint = no_stop) -> None:
        """Make everything kept so far durable, then give it its names.

        Raises:
            NoSpace: the disk or its quota is full.
        """
        checkpoint("batch written")
        with disk_failures():
            self._keeper.take(self._written, checkpoint)
        self._written.clear()

    def _new_name(self) -> str:
        return f"{self._folder}/{next(self._numbers)}"

    def _written_as(self, blob: Blob, name: str) -> Blob:
        with self._lock:
            kept = self._written.setdefault(blob, name)
        # An archive with the same file twice, or twice the same archive: one copy is enough.
        if kept is not name:
            os.unlink(name)  # noqa: PTH108
        return blob


def _write(
    descriptor: int,
    chunks: Iterable[bytes],
    expected_bytes: int | None,
    reserve_quota: Reserve,
    write: Callable[[int, bytes], None],
) -> Blob:
    """Write and hash a stream; the expected bytes are reserved by now."""
    digest, size, sent, reserved = hashlib.sha256(), 0, 0, expected_bytes or 0
    for chunk in chunks:
        size += len(chunk)
        if size > reserved:
            reserve_quota(size - reserved)
            reserved = size
        digest.update(chunk)
        write(descriptor, chunk)
        if size - sent >= _WRITE_BACK_BYTES:
            write_back(descriptor, sent, size)
            sent = size
    # Release reserved space that was not needed.
    if expected_bytes is not None and expected_bytes > size:
        os.truncate(descriptor, size)
    return Blob(digest.hexdigest(), size)
