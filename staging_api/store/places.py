"""Where the bytes of a file are: a blob of their own, or a piece of a pack.

A pack is a blob that has the small files of an artifact, one behind the other. So a place is a blob
and a range of it; only the whole blob has a length and a digest that a store knows.
"""

import io
from pathlib import Path
from typing import BinaryIO, NamedTuple, Protocol

from staging_api.store.blob_store import BlobStore


class Place(NamedTuple):
    """A range of a blob.

    Attributes:
        sha256: of the whole blob, which names it.
        blob_bytes: length of the whole blob.
        offset: where the range begins.
        size_bytes: length of the range.
        packed: whether the blob is a pack, which has the bytes of other files as well.
    """

    sha256: str
    blob_bytes: int
    offset: int
    size_bytes: int
    packed: bool


class Row(Protocol):
    """What the row of a file says of its bytes, as the view ``staged_files`` has it."""

    @property
    def sha256(self) -> str:
        """Digest of the file."""

    @property
    def size_bytes(self) -> int:
        """Length of the file."""

    @property
    def pack_sha256(self) -> str | None:
        """Digest of its pack; None: it is a blob of its own."""

    @property
    def pack_bytes(self) -> int | None:
        """Length of its pack."""

    @property
    def pack_offset(self) -> int | None:
        """Where it begins in its pack."""


def place_of(row: Row) -> Place:
    """Return where the bytes of a file are."""
    return place_in(row.sha256, row.size_bytes, row.pack_sha256, row.pack_bytes, row.pack_offset)


def place_in(
    sha256: str,
    size_bytes: int,
    pack_sha256: str | None,
    pack_bytes: int | None,
    pack_offset: int | None,
) -> Place:
    """Return where the bytes of a file of this digest and length are."""
    if pack_sha256 is None or pack_bytes is None or pack_offset is None:
        return whole(sha256, size_bytes)
    return Place(pack_sha256, pack_bytes, pack_offset, size_bytes, packed=True)


def whole(sha256: str, size_bytes: int) -> Place:
    """Return the place of a file that is a blob of its own."""
    return Place(sha256, size_bytes, 0, size_bytes, packed=False)


def read_at(blobs: BlobStore, place: Place) -> bytes:
    """Read a file that is small, as those in packs are.

    Raises:
        NotFound: its blob is not there, or not whole.
        StoreFailed: the store cannot say.
    """
    return blobs.read(place.sha256, place.blob_bytes, place.offset, place.size_bytes)


def open_at(blobs: BlobStore, place: Place) -> BinaryIO:
    """Open a file for reading, wherever it is; it can be sought.

    Raises:
        NotFound: its blob is not there, or not whole.
        StoreFailed: the store cannot say.
    """
    if not place.packed:
        return blobs.open(place.sha256, place.blob_bytes)
    return io.BytesIO(read_at(blobs, place))


def put_at(blobs: BlobStore, place: Place, file: Path) -> None:
    """Let a file be found at a path of this machine that is not there yet.

    Raises:
        NotFound: its blob is not there, or not whole.
    """
    if not place.packed:
        blobs.place(place.sha256, file, place.blob_bytes)
        return
    file.write_bytes(read_at(blobs, place))
