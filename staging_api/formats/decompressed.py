"""Keep an object without its compression: one file, whatever is in it."""

from collections.abc import Sequence

from staging_api.formats.members import MemberChecker, PackedBytes, one_file
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
    with readable.open() as chunks:
        packed = PackedBytes(chunks)
        pieces = unpacked(packed, limits.window_bytes)
        keep(Member(path), one_file(pieces, packed, checker))
    return ()


def plain_name(name: str) -> str:
    """Return a name without the ending of its compression."""
    for ending, plain in _ENDINGS.items():
        if name.endswith(ending):
            return name.removesuffix(ending) + plain
    for ending in _DROPPED:
        name = name.removesuffix(ending)
    return name
