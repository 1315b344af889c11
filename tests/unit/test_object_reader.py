"""Object reader: digests are computed by the first full read, then compared."""

import hashlib
from collections.abc import Iterator
from contextlib import contextmanager

import pytest

from staging_api.errors import ArchiveCorrupt
from staging_api.sources.model import SourceObject
from staging_api.staging.object_reader import ObjectReader, TransferMonitor
from staging_api.store.digest import Digests

CONTENT = b"0123456789"
SHA256 = hashlib.sha256(CONTENT).hexdigest()


@contextmanager
def open_at(start: int, end: int | None) -> Iterator[Iterator[bytes]]:
    part = CONTENT[start:end]
    yield iter((part[:4], part[4:]))


def reader(
    steps: list[tuple[int, int | None]] | None = None,
    checks: list[int] | None = None,
    **declared: str,
) -> ObjectReader:
    done, checked = [] if steps is None else steps, [] if checks is None else checks
    monitor = TransferMonitor(
        lambda count, total: done.append((count, total)), lambda: checked.append(len(done)), 10
    )
    found = SourceObject("a", "https://x/a", len(CONTENT), digests=declared)
    return ObjectReader(found, open_at, monitor, Digests(declared))


def read(of: ObjectReader, *part: int) -> bytes:
    with of.open(*part) as chunks:
        return b"".join(chunks)


def test_an_object_is_verified_once_all_of_it_was_read() -> None:
    made = reader(sha256=SHA256)
    assert made.verified("") is None
    assert read(made, 3) == CONTENT[3:]
    assert read(made, 0, 4) == CONTENT[:4]
    assert made.verified("") is None
    assert read(made) == CONTENT
    assert made.verified("") == (SHA256, 10)


def test_a_second_reading_is_not_hashed_on_top_of_the_first() -> None:
    made = reader(sha256=SHA256)
    assert (read(made), read(made), read(made, 1)) == (CONTENT, CONTENT, CONTENT[1:])
    assert made.verified("") == (SHA256, 10)


def test_a_reading_that_is_given_up_verifies_nothing() -> None:
    made = reader(sha256=SHA256)
    with made.open() as chunks:
        next(chunks)
    assert made.verified("") is None


def test_an_object_that_differs_from_its_declared_digest_is_corrupt() -> None:
    made = reader(sha256="0" * 64)
    read(made)
    with pytest.raises(ArchiveCorrupt, match="a does not have the sha256 that its source declares"):
        made.verified("")


def test_the_digest_that_is_compared_is_named() -> None:
    assert (reader(sha256=SHA256).checked, reader().checked) == ("sha256", None)


def test_each_chunk_is_checked_before_it_counts() -> None:
    steps: list[tuple[int, int | None]] = []
    checks: list[int] = []
    made = reader(steps, checks)
    read(made)
    assert (steps, checks) == ([(4, 10), (10, 10)], [0, 1])


def test_bytes_out_of_the_store_are_checked_and_are_no_progress() -> None:
    steps: list[int] = []
    checks: list[int] = []
    monitor = TransferMonitor(lambda done, _total: steps.append(done), lambda: checks.append(1), 5)
    quiet = monitor.without_progress()
    assert list(quiet.monitored(iter((b"1", b"2")))) == [b"1", b"2"]
    assert (steps, checks, monitor.done) == ([], [1, 1], 0)
