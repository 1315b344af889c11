"""The interface of a store of blobs: contents named by their sha256, written in batches.

One rule carries every store: **a name appears only after its bytes are durable**. So keeping the
same content twice is harmless, whichever process wrote it and whether or not the power failed.

A second rule carries every reuse: **a name is not yet a blob**. Disks lose files, operators cut
them and put links or folders in their place. A blob is a regular file (or an object) of the
expected length; anything else at its name is treated as absent, and fresh bytes replace it.

How each store keeps both rules, and the files that a dead process leaves, are described in
`folder_store` and `bucket_store`; one suite of tests runs over both.
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
                Where it is not, or cannot be read, the blob stays, and nothing is kept aside.
        """

    def shard(self, shard: str) -> Iterator[tuple[Blob, float]]:
        """The blobs whose digests begin with these two digits, with the times of their last use.

        A time is that of a batch (seconds, epoch); that of a reader does not count.
        """

    def last_use(self, sha256: str) -> float | None:
        """When a batch last used the blob (seconds, epoch); None: it is not here."""

    def used_since(self, digests: Collection[str], since: float) -> set[str]:
        """Those of these blobs that a batch used after `since` (seconds, epoch)."""

    def batch(self, owner: str, reserve: Reserve = no_limit) -> AbstractContextManager[Batch]:
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

    def sweep(self, older_than_seconds: float) -> SweepResult:
        """Remove the files of dead processes, each folder by itself.

        What changed since then, by the clock that dates files here, stays, and so does what a
        process is at work on.
        """
