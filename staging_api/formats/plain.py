"""Extractor ``plain``: keep an object as it is."""

from collections.abc import Sequence

from staging_api.formats.members import MemberChecker, PackedBytes, one_file
from staging_api.formats.model import Keep, Member, Readable, Select, UnpackLimits


def extract(readable: Readable, select: Select, keep: Keep, limits: UnpackLimits) -> Sequence[str]:
    """Keep the object as one file.

    Raises:
        LimitExceeded: the object is larger than a member may be.
    """
    checker = MemberChecker(select, limits)
    path = checker.target(checker.check_name(readable.name) or readable.name)
    if path is None:
        return ()
    checker.check_declared(readable.size_bytes or 0, None)
    with readable.open() as chunks:
        packed = PackedBytes(chunks)
        keep(Member(path, size_bytes=readable.size_bytes), one_file(packed, packed, checker))
    return ()
