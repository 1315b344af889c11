"""Extractor ``decompressed``: keep an object without its compression, as one file."""

from collections.abc import Iterator, Sequence

from staging_api.formats.members import MemberChecker, PackedBytes, one_file
from staging_api.formats.model import Keep, Member, Readable, Select, UnpackLimits
from staging_api.formats.recognising import HEAD_BYTES, unread_compression
from staging_api.formats.unpacking import unpacked

#: Suffixes of compressed tars, and their replacements.
_ENDINGS = {".tgz": ".tar", ".tbz": ".tar", ".tbz2": ".tar", ".txz": ".tar", ".tzst": ".tar"}
_DROPPED = (".gz", ".bz2", ".xz", ".zst")


def extract(readable: Readable, select: Select, keep: Keep, limits: UnpackLimits) -> Sequence[str]:
    """Store the decompressed object, under its name without the compression suffix.

    Raises:
        ArchiveCorrupt: the object is damaged or truncated.
        LimitExceeded: the decompressed object is too large.
    """
    checker = MemberChecker(select, limits)
    name = plain_name(readable.name)
    path = checker.target(checker.check_name(name) or name)
    if path is None:
        return ()
    with readable.open() as chunks:
        packed = PackedBytes(chunks)
        head, pieces = bytearray(), unpacked(packed, limits.window_bytes)
        keep(Member(path), one_file(_noted(pieces, head), packed, checker))
    unread = unread_compression(bytes(head))
    return (f"{name} is kept as it is: {unread}",) if unread else ()


def plain_name(name: str) -> str:
    """Return a name without the suffix of its compression."""
    for ending, plain in _ENDINGS.items():
        if name.endswith(ending):
            return name.removesuffix(ending) + plain
    for ending in _DROPPED:
        name = name.removesuffix(ending)
    return name


def _noted(pieces: Iterator[bytes], head: bytearray) -> Iterator[bytes]:
    for piece in pieces:
        if len(head) < HEAD_BYTES:
            head += piece[:HEAD_BYTES]
        yield piece
