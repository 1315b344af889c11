"""Keep an object without its compression: one file, whatever is in it."""

from collections.abc import Iterator, Sequence

from staging_api.formats.members import MemberChecker
from staging_api.formats.model import Keep, Member, Readable, Select, UnpackLimits
from staging_api.formats.unpacking import unpacked

#: Endings of compressed objects, and what stands in their place.
_ENDINGS = {".tgz": ".tar", ".tbz": ".tar", ".tbz2": ".tar", ".txz": ".tar", ".tzst": ".tar"}
_DROPPED = (".gz", ".bz2", ".xz", ".zst")


def extract(readable: Readable, select: Select, keep: Keep, limits: UnpackLimits) -> Sequence[str]:
    """Keep what the object decompresses to, under its name without the ending.

    Raises:
        ArchiveCorrupt: it is damaged or cut short.
        LimitExceeded: it decompresses to too much.
    """
    checker = MemberChecker(select, limits)
    name = plain_name(readable.name)
    path = checker.target(checker.check_name(name) or name)
    if path is None:
        return ()
    packed = 0

    def counted(chunks: Iterator[bytes]) -> Iterator[bytes]:
        nonlocal packed
        for chunk in chunks:
            packed += len(chunk)
            yield chunk

    def checked(pieces: Iterator[bytes]) -> Iterator[bytes]:
        size = 0
        for piece in pieces:
            size += len(piece)
            checker.check_size(size)
            checker.add_unpacked(len(piece), packed)
            yield piece

    with readable.open() as chunks:
        keep(Member(path), checked(unpacked(counted(chunks), limits.window_bytes)))
    return ()


def plain_name(name: str) -> str:
    """Return a name without the ending of its compression."""
    for ending, plain in _ENDINGS.items():
        if name.endswith(ending):
            return name.removesuffix(ending) + plain
    for ending in _DROPPED:
        name = name.removesuffix(ending)
    return name
