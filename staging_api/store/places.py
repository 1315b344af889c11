"""Place of a file's bytes: a blob of its own, or a range of a pack.

A pack is a blob with the concatenated small files of an artifact. So a place is a blob and a range
of it; a store knows length and digest of the whole blob only.
"""

import io
from pathlib import Path
from typing import BinaryIO, NamedTuple, Protocol

from staging_api.store.blob_store import BlobStore


class Place(NamedTuple):
    """A range of a blob.

    Attributes:
        sha256: digest of the whole blob, which names it.
        blob_bytes: length of the whole blob.
        offset: offset of the range.
        size_bytes: length of the range.
        packed: whether the blob is a pack, which has the bytes of other files as well.
    """

    sha256: str
    blob_bytes: int
    offset: int
    size_bytes: int
    packed: bool


class Row(Protocol):
    """The columns of a file's row that determine its place, as in the view ``staged_files``."""

    @property
    def sha256(self) -> str:
        """Digest of the file."""

    @property
    def size_bytes(self) -> int:
        """Length of the file."""

    @property
    def pack_sha256(self) -> str | None:
        """Digest of its pack; None: the file is a blob of its own."""

    @property
    def pack_bytes(self) -> int | None:
        """Length of its pack."""

    @property
    def pack_offset(self) -> int | None:
        """Offset of the file in its pack."""


def place_of(row: Row) -> Place:
    """Return the place of a file's bytes."""
    return place_in(row.sha256, row.size_bytes, row.pack_sha256, row.pack_bytes, row.pack_offset)


def place_in(
    sha256: str,
    size_bytes: int,
    pack_sha256: str | None,
    pack_bytes: int | None,
    pack_offset: int | None,
) -> Place:
    """Return the place of the bytes of a file with this digest and length."""
    if pack_sha256 is None or pack_bytes is None or pack_offset is None:
        return whole(sha256, size_bytes)
    return Place(pack_sha256, pack_bytes, pack_offset, size_bytes, packed=True)


def whole(sha256: str, size_bytes: int) -> Place:
    """Return the place of a file that is a blob of its own."""
    return Place(sha256, size_bytes, 0, size_bytes, packed=False)


def read_at(blobs: BlobStore, place: Place) -> bytes:
    """Read a small file, such as those in packs.

    Raises:
        NotFound: its blob does not exist, or is truncated.
        StoreFailed: the store cannot be read.
    """
    return blobs.read(place.sha256, place.blob_bytes, place.offset, place.size_bytes)


def open_at(blobs: BlobStore, place: Place) -> BinaryIO:
    """Open a file for reading, wherever it is; the result is seekable.

    Raises:
        NotFound: its blob does not exist, or is truncated.
        StoreFailed: the store cannot be read.
    """
    if not place.packed:
        return blobs.open(place.sha256, place.blob_bytes)
    return io.BytesIO(read_at(blobs, place))


def put_at(blobs: BlobStore, place: Place, file: Path) -> None:
    """Make a file available at a path of this machine that does not exist yet.

    Raises:
        NotFound: its blob does not exist, or is truncated.
    """
    if not place.packed:
        blobs.place(place.sha256, file, place.blob_bytes)
        return
    file.write_bytes(read_at(blobs, place))
