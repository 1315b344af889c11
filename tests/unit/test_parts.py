"""Parts from earlier attempts: the ranges of an object that need not be fetched again."""

import threading
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from staging_api.errors import NoSpace
from staging_api.store.parts import Journal, Parts, PartStore

OBJECT = bytes(range(100))


@pytest.fixture
def parts(tmp_path: Path) -> PartStore:
    """Create the parts of two attempts: 10 to 30 and 50 to 60, and 20 to 40."""
    store = PartStore(tmp_path)
    for ranges in ([(10, 30), (50, 60)], [(20, 40)]):
        with store.open("version", len(OBJECT)) as attempt:
            for start, end in ranges:
                attempt.write(start, OBJECT[start:end])
            attempt.note(ranges)
    with store.open("another", len(OBJECT)) as attempt:
        attempt.write(0, b"x" * 100)
        attempt.note([(0, 100)])
    return store


@pytest.mark.parametrize(
    ("position", "found"),
    [
        *((0, None), (9, None), (10, (10, 30)), (19, (10, 30))),
        # Of two parts, the one that extends further.
        *((20, (20, 40)), (29, (20, 40)), (39, (20, 40))),
        *((40, None), (49, None), (50, (50, 60)), (59, (50, 60)), (60, None), (99, None)),
    ],
)
def test_a_part_is_found_from_its_first_byte_to_its_last(
    parts: PartStore, position: int, found: tuple[int, int] | None
) -> None:
    with parts.open("version", len(OBJECT)) as attempt:
        held = attempt.resumed_range_at(position)
        assert ((held.start, held.end) if held else None) == found
        if held:
            read = b"".join(attempt.read(held, position, held.end))
            assert read == OBJECT[position : held.end]
        assert attempt.resumed == bool(held)


@pytest.mark.parametrize(
    ("position", "following"), [(0, 10), (9, 10), (10, 20), (20, 50), (49, 50), (50, 90), (60, 90)]
)
def test_what_is_not_there_reaches_to_the_next_part(
    parts: PartStore, position: int, following: int
) -> None:
    with parts.open("version", len(OBJECT)) as attempt:
        assert attempt.next_resumed_range(position, 90) == following


def test_a_part_that_went_bad_is_not_found_and_the_other_still_is(
    parts: PartStore, tmp_path: Path
) -> None:
    for data in (tmp_path / "version").glob("*.data"):
        content = data.read_bytes()
        if len(content) == 40:
            data.write_bytes(content[:25] + b"!" + content[26:])
    with parts.open("version", len(OBJECT)) as attempt:
        held = attempt.resumed_range_at(20)
        assert held is not None
        assert (held.start, held.end) == (10, 30)
        assert attempt.resumed_range_at(30) is None


@pytest.mark.parametrize("line", [b"1 " + b"9" * 5000 + b"\n", b"x 1\n", b"\n", b"3 2\n"])
def test_a_damaged_line_of_a_journal_hides_no_other(
    parts: PartStore, tmp_path: Path, line: bytes
) -> None:
    journals = [path for path in (tmp_path / "version").iterdir() if path.suffix != ".data"]
    assert len(journals) == 2
    for journal in journals:
        journal.write_bytes(line + journal.read_bytes())
    with parts.open("version", len(OBJECT)) as attempt:
        found = attempt.resumed_range_at(10)
        assert found is not None
        assert (found.start, found.end) == (10, 30)


def test_what_is_forgotten_is_forgotten_of_one_version(parts: PartStore) -> None:
    parts.forget("version")
    with parts.open("version", len(OBJECT)) as attempt:
        assert attempt.resumed_range_at(20) is None
    with parts.open("another", len(OBJECT)) as attempt:
        assert attempt.resumed_range_at(20) is not None


#: Maximum number of an object's bytes that wait for the disk.
HALF = 4 << 20


class HeldParts(Parts):
    """Parts whose disk waits for the test's permission, and may refuse."""

    def __init__(self, parts: Parts) -> None:
        super().__init__(parts.path, parts._data, parts._done, [])
        self.begun, self.let = threading.Event(), threading.Event()
        self.noted: list[tuple[int, int]] = []
        self.refuses = 0

    def note(self, ranges: Iterable[tuple[int, int]]) -> None:
        self.begun.set()
        assert self.let.wait(10)
        if self.refuses:
            self.refuses -= 1
            raise NoSpace("the store is full")
        super().note(ranges)
        self.noted.extend(ranges)


@pytest.fixture
def held(tmp_path: Path) -> Iterator[HeldParts]:
    with PartStore(tmp_path).open("version", 4 * HALF) as made:
        yield HeldParts(made)


@contextmanager
def let_at_last(held: HeldParts) -> Iterator[None]:
    """Release the disk at the end of the block, so that a failing test ends."""
    try:
        yield
    finally:
        held.let.set()


def added_beside(journal: Journal, start: int, end: int) -> threading.Event:
    """Add a range in another thread; return an event that is set when it is added."""
    is_added = threading.Event()

    def add() -> None:
        journal.add(start, end)
        is_added.set()

    threading.Thread(target=add, daemon=True).start()
    return is_added


def test_an_object_comes_on_until_half_a_part_of_it_waits_for_the_disk(held: HeldParts) -> None:
    steps: list[str] = []
    with Journal(held, steps.append) as journal, let_at_last(held):
        journal.add(0, HALF - 1)
        assert held.begun.wait(10)
        journal.add(HALF - 1, HALF)
        is_added = added_beside(journal, HALF, HALF + 1)
        assert not is_added.wait(0.1)
        held.let.set()
        assert is_added.wait(10)
    # All ranges are noted when the block ends, each once.
    assert held.noted == [(0, HALF - 1), (HALF - 1, HALF), (HALF, HALF + 1)]
    assert set(steps) == {"part noted"}
    assert not journal._thread.is_alive()
    with held.path.with_suffix(".done").open() as journal_file:
        assert [line.split()[:2] for line in journal_file] == [
            [str(start), str(end)] for start, end in held.noted
        ]


def test_a_range_that_is_longer_than_that_comes_alone(held: HeldParts) -> None:
    with Journal(held, lambda _step: None) as journal, let_at_last(held):
        journal.add(0, 3 * HALF)
        is_added = added_beside(journal, 3 * HALF, 3 * HALF + 1)
        assert not is_added.wait(0.1)
        held.let.set()
        assert is_added.wait(10)
    assert held.noted == [(0, 3 * HALF), (3 * HALF, 3 * HALF + 1)]


class Watched(threading.Condition):
    """Condition that reports when a thread waits."""

    def __init__(self) -> None:
        super().__init__()
        self.waits = threading.Event()

    def wait(self, timeout: float | None = None) -> bool:
        self.waits.set()
        return super().wait(timeout)


def test_a_journal_that_waits_hears_of_a_range_and_of_its_end(held: HeldParts) -> None:
    journal = Journal(held, lambda _step: None)
    journal._changed = changed = Watched()
    held.let.set()
    with journal:
        assert changed.waits.wait(10)
        journal.add(0, 1)
        assert held.begun.wait(10)
        with changed:
            assert changed.wait_for(lambda: held.noted, 10)
        changed.waits.clear()
        journal.add(1, 2)
        assert changed.waits.wait(10), "it has nothing to do again"
    assert not journal._thread.is_alive()
    assert held.noted == [(0, 1), (1, 2)]


def test_a_journal_that_cannot_be_written_stops_no_download(held: HeldParts) -> None:
    held.refuses = 1
    held.let.set()
    with Journal(held, lambda _step: None) as journal:
        journal.add(0, HALF)
        # Once the disk has refused, there is space for the following ranges.
        journal.add(HALF, 2 * HALF)
    assert held.noted == [(HALF, 2 * HALF)]
