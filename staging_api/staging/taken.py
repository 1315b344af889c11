"""Read a whole object by one request into a file; then read it from there.

For objects whose source describes them differently in each answer. Ranges read by several requests
may not belong together; the bytes of one answer do. Without a version, a broken transfer cannot be
resumed, so the object is read again.

What if the process dies? The file is swept with its batch, and the next attempt reads the object
again.
"""

import logging
import os
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from dataclasses import replace
from functools import partial
from pathlib import Path

from staging_api.errors import SourceFailed
from staging_api.sources.model import CHUNK_BYTES, Source, SourceObject, take
from staging_api.staging.object_reader import Open, TransferMonitor
from staging_api.store.digest import Digests
from staging_api.store.disk import disk_failures, new_file, write_all

log = logging.getLogger(__name__)

#: How often an object without a version is read from its start.
_ATTEMPTS = 3


def taken(
    source: Source,
    name: str,
    file: Path,
    monitor: TransferMonitor,
    reserve: Callable[[int], None],
) -> tuple[SourceObject, Open, Digests]:
    """Read an object into a file that does not exist yet.

    Returns:
        The object's description, a function that opens it, and its digests, not yet compared.

    Raises:
        ArtifactNotFound: there is no such object.
        SourceFailed: the source did not deliver every byte.
        NoSpace: the store is full.
    """
    for left in reversed(range(_ATTEMPTS)):
        came: list[SourceObject] = []
        try:
            with take(source, name) as (found, chunks):
                came.append(found)
                reserve(found.size_bytes or 0)
                digests = Digests(found.digests)
                unknown = reserve if found.size_bytes is None else reserved_before
                size = write_chunks(_watched(chunks, monitor, digests, unknown), file)
        except SourceFailed as error:
            # Without a version the transfer cannot be resumed; but no byte has been handed on yet.
            is_lost = came and came[0].version is None and error.retryable
            if not left or not is_lost:
                raise
            log.info("%s is read anew: %s", name, error.detail)
            # The bytes come again: they must not count twice as progress.
            monitor.count(-digests.size_bytes)
            file.unlink()
        else:
            return replace(found, size_bytes=size), partial(open_file, file, size), digests
    raise AssertionError("the last attempt ends it")


def write_chunks(chunks: Iterable[bytes], file: Path) -> int:
    """Write chunks into a file that does not exist yet; return the number of bytes.

    Raises:
        NoSpace: the disk is full.
    """
    size = 0
    descriptor = new_file(str(file))
    try:
        for chunk in chunks:
            size += len(chunk)
            write_all(descriptor, chunk)
    finally:
        with disk_failures(file):
            os.close(descriptor)
    return size


def reserved_before(_count: int) -> None:
    """Reserve nothing more: the bytes of an object of known length are reserved at once."""


@contextmanager
def open_file(file: Path, size: int, start: int, end: int | None) -> Iterator[Iterator[bytes]]:
    """Stream the bytes of the file from `start` up to, not including, `end`."""
    with file.open("rb") as stream:
        stream.seek(start)
        left = (size if end is None else end) - start

        def chunks() -> Iterator[bytes]:
            unread = left
            while unread > 0 and (chunk := stream.read(min(CHUNK_BYTES, unread))):
                unread -= len(chunk)
                yield chunk

        yield chunks()


def _watched(
    chunks: Iterator[bytes],
    monitor: TransferMonitor,
    digests: Digests,
    reserve: Callable[[int], None],
) -> Iterator[bytes]:
    for chunk in monitor.monitored(chunks):
        digests.update(chunk)
        reserve(len(chunk))
        yield chunk
