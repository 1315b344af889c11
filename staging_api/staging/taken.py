"""Read an object whole, by one request, into a file; then read it from there.

For an object that no two answers of its source describe alike. Nothing of it can be resumed, and
parts of it that are read apart may not belong together; but the bytes of one answer do.

If the process dies, the file is swept with its batch, and the next attempt reads anew.
"""

import os
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import replace
from functools import partial
from pathlib import Path

from staging_api.sources.model import CHUNK_BYTES, Source, SourceObject, take
from staging_api.staging.object_reader import Open, TransferMonitor
from staging_api.store.digest import Digests
from staging_api.store.disk import disk_failures, new_file, write_all


def taken(
    source: Source,
    name: str,
    file: Path,
    monitor: TransferMonitor,
    reserve: Callable[[int], None],
) -> tuple[SourceObject, Open, Digests]:
    """Read an object into a file that is not there yet.

    Returns:
        What it is, how to read it, and its digests, which were not compared yet.

    Raises:
        ArtifactNotFound: there is no such object.
        SourceFailed: the source did not deliver every byte.
        NoSpace: the store is full.
    """
    size = 0
    with take(source, name) as (found, chunks):
        reserve(found.size_bytes or 0)
        digests = Digests(found.digests)
        descriptor = new_file(str(file))
        try:
            for chunk in monitor.monitored(chunks):
                size += len(chunk)
                digests.update(chunk)
                if found.size_bytes is None:
                    reserve(len(chunk))
                write_all(descriptor, chunk)
        finally:
            with disk_failures():
                os.close(descriptor)
    return replace(found, size_bytes=size), partial(_opened, file, size), digests


@contextmanager
def _opened(
    file: Path, size: int, start: int = 0, end: int | None = None
) -> Iterator[Iterator[bytes]]:
    with file.open("rb") as stream:
        stream.seek(start)
        left = (size if end is None else end) - start

        def chunks() -> Iterator[bytes]:
            unread = left
            while unread > 0 and (chunk := stream.read(min(CHUNK_BYTES, unread))):
                unread -= len(chunk)
                yield chunk

        yield chunks()
