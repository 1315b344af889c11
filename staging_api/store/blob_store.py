"""Interface of a blob store: contents named by their sha256, written in batches.

All stores follow this rule: **a name appears only after its bytes are durable**. So keeping the
same content twice is harmless, whichever process wrote it and even after a power failure.

All reuse follows a second rule: **a name is not yet a blob**. Disks lose files, and operators
truncate them or put links or folders in their place. A blob is a regular file (or an object) of the
expected length; anything else at its name counts as absent, and is replaced by new bytes.

`folder_store` and `bucket_store` describe how each store keeps both rules, and the files that a
dead process leaves; the same suite of tests runs over both.
"""

from collections.abc import Callable, Collection, Iterator, Mapping
from contextlib import AbstractContextManager
from pathlib import Path
from typing import BinaryIO, Protocol

from staging_api.errors import StagingApiError
from staging_api.store.batch import Batch
from staging_api.store.blobs import Blob, Reserve, no_limit
from staging_api.store.parts import PartStore
from staging_api.store.spool import SweepResult


class BlobStore(Protocol):
    """Storage of blobs."""

    #: Maximum duration of `remove_all` for about fifty blobs, unless this process hangs.
    removal_seconds: float
    #: What the disk of `free_bytes` has: ``store``, or only the ``spool`` of a bucket.
    disk_of: str

    @property
    def parts(self) -> PartStore:
        """The parts of objects that are being fetched."""

    def check(self) -> None:
        """Check that the store can be reached and written; needs no space.

        Raises:
            Unavailable: the store cannot be reached or written.
        """

    def identity(self) -> str | None:
        """Return the ULID in the marker, which identifies the store; None: there is no marker.

        Raises:
            StoreAbsent: there is a marker, but no place for blobs.
            StoreFailed: the store cannot be read.
        """

    def identify(self, identity: str, *, replace: bool = False) -> None:
        """Put a marker into the store, durably.

        An existing marker is kept, unless `replace`; so if several processes do this at the same
        time, all of them find the same marker afterwards.
        """

    def is_empty(self) -> bool:
        """Return whether the store has no blobs."""

    def free_bytes(self) -> int:
        """Return the free space on the disk that bytes are first written to."""

    def capacity_bytes(self) -> int:
        """Return the size of the disk that bytes are first written to."""

    def has(self, sha256: str, size_bytes: int | None = None) -> bool:
        """Return whether the blob exists, with this length if one is given."""

    def lacks(self, contents: Mapping[str, int]) -> set[str]:
        """Return those of these contents (digest to length) that do not exist with this length."""

    def find(self, sha256: str) -> Blob | None:
        """Return the blob with this digest, or None; compare its length before reusing it."""

    def open(self, sha256: str, size_bytes: int | None = None) -> BinaryIO:
        """Open the blob for reading; the file is seekable.

        Raises:
            NotFound: the blob does not exist, or not with the given length.
            StoreFailed: the store cannot be read.
        """

    def read(self, sha256: str, size_bytes: int, start: int, length: int) -> bytes:
        """Read a range of a blob, without the rest.

        Args:
            sha256: digest of the blob.
            size_bytes: length of the blob.
            start: offset of the range.
            length: length of the range, which must fit into memory, and be inside the blob.

        Raises:
            NotFound: the blob does not exist, or not with this length.
            StoreFailed: the store cannot be read.
        """

    def place(self, sha256: str, file: Path, size_bytes: int | None = None) -> None:
        """Make the blob available at a path of this machine that does not exist yet.

        Raises:
            NotFound: the blob does not exist, or not with the given length.
        """

    def link(self, sha256: str, size_bytes: int) -> str | None:
        """Return a URL for any client to read the blob for some minutes; None: no such URLs.

        Raises:
            NotFound: the blob does not exist, or not with this length.
            StoreFailed: the store cannot be read.
        """

    def name_of(self, growing: Path) -> str:
        """Return the name by which other pods find a file that this store is still writing."""

    def growing(self, name: str) -> Path | None:
        """Return the file with this name; None: files of other pods are not visible here."""

    def remove(self, sha256: str) -> None:
        """Remove the blob; a reader that has it open can still read it to the end."""

    def remove_all(self, digests: Collection[str]) -> dict[str, StagingApiError]:
        """Remove these blobs, each independently; return those that failed, with the error."""

    def quarantine(self, sha256: str, differs: Callable[[BinaryIO], bool]) -> bool:
        """Remove a damaged blob and keep a copy in quarantine; return whether it was removed.

        Args:
            sha256: digest of the content that the blob should have.
            differs: reads the copy to its end, and returns whether its content differs. If it does
                not differ, or cannot be read, the blob stays, and no copy is kept.
        """

    def shard(self, shard: str) -> Iterator[tuple[Blob, float]]:
        """Yield the blobs whose digests begin with these two digits, with their last use.

        The time (seconds, epoch) is that of the last batch; reads do not count.
        """

    def last_use(self, sha256: str) -> float | None:
        """Return when a batch last used the blob (seconds, epoch); None: it does not exist."""

    def used_since(self, digests: Collection[str], since: float) -> set[str]:
        """Return those of these blobs that a batch used after `since` (seconds, epoch)."""

    def batch(self, owner: str, reserve: Reserve = no_limit) -> AbstractContextManager[Batch]:
        """Open a batch; files that are not committed when the block ends are removed.

        Args:
            owner: name of the folder of its files, for operators.
            reserve: called with a number of bytes before they are written.
        """

    def time(self) -> float:
        """Return the time (seconds, epoch) by the clock that dates the blobs of this store.

        The clock of one pod cannot tell the age of files that another pod wrote.

        Raises:
            StoreFailed: the store cannot be read.
        """

    def sweep(self, older_than_seconds: float) -> SweepResult:
        """Remove the files of dead processes, each folder independently.

        Files that changed within this time, by the clock that dates files here, are kept, and so
        are files that a process is working on.
        """
