"""Keep an object as it is."""

from collections.abc import Iterable, Iterator

from staging_api.formats.members import Guard
from staging_api.formats.model import Keep, Limits, Member, Readable, Select


def extract(readable: Readable, select: Select, keep: Keep, limits: Limits) -> None:
    """Keep the object as one file.

    Raises:
        LimitExceeded: it has more bytes than one member may have.
    """
    guard = Guard(select, limits)
    path = guard.target(guard.look_at(readable.name))
    if path is None:
        return
    guard.declared(readable.size_bytes or 0, None)
    with readable.open() as chunks:
        keep(Member(path, size_bytes=readable.size_bytes), _counted(chunks, guard))


def _counted(chunks: Iterable[bytes], guard: Guard) -> Iterator[bytes]:
    seen = 0
    for chunk in chunks:
        seen += len(chunk)
        guard.grown(seen)
        guard.unpacked(len(chunk), seen)
        yield chunk
