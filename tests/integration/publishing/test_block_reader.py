"""Blocks of index files: read from the database once, then cached within bounds."""

import hashlib
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any, cast

import pytest
from sqlalchemy import Connection

from staging_api.db.engine import Database
from staging_api.debian.errors import FormatError
from staging_api.debian.forms import Form, pack
from staging_api.publishing import pieces
from staging_api.publishing.block_writer import BlockWriter
from staging_api.publishing.blocks import BlockRef, PlainBlock, assemble
from staging_api.publishing.index_model import FORM_OF
from staging_api.publishing.indices import IndexEntry
from staging_api.publishing.pieces import BlockReader, FileHashes
from staging_api.publishing.rows import indices
from staging_api.publishing.runlog import RunLog
from tests.repositories import measure
from tests.rows import execute, select

FORMS = ("plain", "gz", "xz", "zst")


def text_of(name: str) -> bytes:
    return f"Package: {name}\nVersion: 1\n\n".encode() * 40


def digest_of(name: str) -> str:
    return hashlib.sha256(text_of(name)).hexdigest()


@pytest.fixture
def blocks(database: Database) -> list[str]:
    """Return the digests of forty blocks, stored in every form."""
    names = [f"p{number:02}" for number in range(40)]
    kept: list[dict[str, Any]] = [
        {
            "sha256": digest_of(name),
            "last_key": name.encode(),
            "entries": 40,
            "plain_bytes": len(text_of(name)),
            **{form: pack(FORM_OF[form], text_of(name)) for form in ("gz", "xz", "zst")},
        }
        for name in names
    ]
    with database.begin() as conn:
        indices.add_blocks(conn, kept)
    return [row["sha256"] for row in kept]


def forget(database: Database) -> None:
    """Delete all blocks and layouts from the database, so that later reads prove the cache."""
    execute(database, "DELETE FROM index_blocks")
    execute(database, "DELETE FROM index_layouts")


def remembered(reader: BlockReader, digests: list[str], form: str = "plain") -> list[bool]:
    """Return, for each of these blocks, whether it is read without the database."""
    return [_comes(reader, digest, form) for digest in digests]


def _comes(reader: BlockReader, digest: str, form: str) -> bool:
    try:
        return bool(list(reader.read([digest], form)))
    except LookupError:
        return False


@pytest.mark.parametrize("form", FORMS)
def test_blocks_come_in_order_and_each_form_and_then_from_memory(
    database: Database, blocks: list[str], form: str
):
    reader = BlockReader(database)
    # More blocks than one statement reads, one of them twice.
    wanted = [*blocks[::-1], blocks[7]]
    found = list(reader.read(wanted, form))
    texts = [text_of(f"p{number:02}") for number in (*range(39, -1, -1), 7)]
    assert found == [pack(FORM_OF[form], each) for each in texts]
    forget(database)
    assert list(reader.read(wanted, form)) == found
    assert list(reader.file(wanted, form)) == list(assemble(FORM_OF[form], found))


def test_a_block_that_is_not_there_is_no_empty_one(database: Database, blocks: list[str]):
    absent = "0" * 64
    read = BlockReader(database).read([blocks[0], absent, blocks[1]], "gz")
    assert next(read) == pack(Form.GZ, text_of("p00"))
    with pytest.raises(LookupError, match=f"{absent} is not there in the form gz"):
        next(read)


def test_the_blocks_that_were_not_used_for_longest_are_dropped(
    database: Database, blocks: list[str]
):
    size = len(text_of("p00"))
    reader = BlockReader(database, capacity_bytes=2 * size)
    one, two, three = blocks[:3]
    for digest in (one, two, one, three):
        list(reader.read([digest], "plain"))
    # Caching the same block again takes no more space.
    for _ in range(3):
        reader.remember(three, "plain", text_of("p02"))
    forget(database)
    assert remembered(reader, [one, two, three]) == [True, False, True]
    assert remembered(reader, [one, two, three], "gz") == [False] * 3


def test_stanzas_are_read_once_and_the_least_used_are_dropped(
    database: Database, blocks: list[str], monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.setattr(pieces, "_REMEMBERED_ENTRY_BYTES", 2 * len(text_of("p00")))
    reader = BlockReader(database, capacity_bytes=0)
    one, two, three = blocks[:3]
    found = {digest: reader.entries(digest) for digest in (one, two, one, three)}
    reader.remember_entries(three, [IndexEntry(b"other", b"other")])
    forget(database)
    assert [reader.entries(digest) == found[digest] for digest in (one, three)] == [True, True]
    assert b"".join(entry.stanza for entry in found[one]) == text_of("p00")
    with pytest.raises(LookupError):
        reader.entries(two)


def test_layouts_are_read_once_and_the_oldest_are_dropped(
    database: Database, blocks: list[str], monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.setattr(pieces, "_REMEMBERED_LAYOUTS", 2)
    names = {}
    for count in (1, 2, 3):
        name = names[count] = indices.layout_name(blocks[:count])
        execute(
            database,
            "INSERT INTO index_layouts (sha256, blocks) VALUES (:name, :blocks)",
            name=name,
            blocks=blocks[:count],
        )
    reader = BlockReader(database)
    found = {count: list(reader.layout(names[count])) for count in (1, 2)}
    assert found[2] == [BlockRef(blocks[0], b"p00"), BlockRef(blocks[1], b"p01")]
    reader.remember_layout(names[1], found[1])
    reader.layout(names[3])
    forget(database)
    assert [len(reader.layout(names[count])) for count in (1, 3)] == [1, 3]
    assert list(reader.layout(names[2])) == []


@pytest.mark.parametrize("form", FORMS)
def test_a_file_is_measured_as_it_is_however_it_changed(
    database: Database, blocks: list[str], form: str
):
    reader = BlockReader(database)
    hashes = FileHashes(reader)
    a, b, c, d = blocks[:4]
    for wanted in ([], [a, b, c], [a, b, d, c], [a, b], [d, b], [], [d]):
        found = hashes.measure("file", form, wanted)
        assert found == measure(reader.file(wanted, form))


def test_a_file_is_hashed_from_its_first_changed_block_on(
    database: Database, blocks: list[str], monkeypatch: pytest.MonkeyPatch
):
    """Content before the first change is not read again; forms and files are cached separately."""
    monkeypatch.setattr(pieces, "_REMEMBERED_FILES", 2)
    hashes = FileHashes(BlockReader(database, capacity_bytes=0))
    one, two, three = blocks[:3]
    hashes.measure("a file", "gz", [one, two])
    hashes.measure("a file", "plain", [one])
    expected = measure(BlockReader(database).file([one, three], "gz"))
    execute(database, "DELETE FROM index_blocks WHERE sha256 = :one", one=one)
    assert hashes.measure("a file", "gz", [one, three]) == expected
    with pytest.raises(LookupError):
        hashes.measure("another file", "gz", [one, three])
    # A third file evicts the one whose hash was computed the longest time ago.
    hashes.measure("a third file", "gz", [two])
    assert hashes.measure("a file", "gz", [one, three]) == expected
    with pytest.raises(LookupError):
        hashes.measure("a file", "plain", [one])


@dataclass
class Noted:
    """Stand-in for the run that writes blocks; records the progress that it is given."""

    database: Database
    counts: Counter[str] = field(default_factory=Counter)
    steps: int = 0
    done: list[tuple[int, int]] = field(default_factory=list)

    @contextmanager
    def step(self) -> Iterator[Connection]:
        self.steps += 1
        with self.database.begin() as conn:
            yield conn

    def progress(self, done: int, total: int) -> None:
        self.done.append((done, total))


def plain(count: int) -> list[PlainBlock]:
    """Return this many blocks, each with one entry that differs from the entry in its text."""
    return [
        PlainBlock(BlockRef(digest_of(name), name.encode()), (IndexEntry(b"own", b"own"),), text)
        for name in (f"w{number:02}" for number in range(count))
        for text in (text_of(name),)
    ]


def forms_kept(database: Database) -> list[tuple[Any, ...]]:
    return select(
        database,
        "SELECT sha256, last_key, entries, plain_bytes, zst IS NOT NULL, gz IS NOT NULL,"
        " xz IS NOT NULL FROM index_blocks ORDER BY last_key",
    )


def test_blocks_are_kept_once_in_each_form_some_at_a_time_and_remembered(
    database: Database,
) -> None:
    run, reader, blocks = Noted(database), BlockReader(database), plain(40)
    writer = BlockWriter(database, reader)
    writer.keep(cast("RunLog", run), blocks, ["gz", "zst"])
    assert (run.steps, run.done, run.counts) == (2, [(32, 40), (40, 40)], {"blocks": 40})
    expected = [(b.ref.sha256, b.ref.last_key, 1, len(b.text), True, True, False) for b in blocks]
    assert [(*row[:1], bytes(row[1]), *row[2:]) for row in forms_kept(database)] == expected
    # Another form of two of the blocks, and then nothing new.
    for _ in range(2):
        writer.keep(cast("RunLog", run), [*blocks[:2], blocks[0]], ["xz", "plain"])
        assert (run.steps, run.counts) == (3, {"blocks": 42})
        assert [row[-2:] for row in forms_kept(database)] == [(True, n < 2) for n in range(40)]
    forget(database)
    digests = [block.ref.sha256 for block in blocks]
    for form in ("plain", "gz", "zst"):
        assert remembered(reader, digests, form) == [True] * 40
        assert list(reader.read(digests[:1], form)) == [pack(FORM_OF[form], blocks[0].text)]
    assert remembered(reader, digests, "xz") == [n < 2 for n in range(40)]
    assert {reader.entries(digest) for digest in digests} == {blocks[0].entries}


@pytest.mark.parametrize("count", [0, 32, 33])
def test_few_new_blocks_are_kept_by_who_names_them_and_more_at_once(
    database: Database, count: int
) -> None:
    run = Noted(database)
    writer = BlockWriter(database, BlockReader(database))
    rows = writer.packed(cast("RunLog", run), plain(count), ["gz"])
    assert run.counts["blocks"] == count
    assert (len(rows), len(forms_kept(database))) == ((0, count) if count > 32 else (count, 0))
    if rows:
        with database.begin() as conn:
            indices.add_blocks(conn, rows)
        assert writer.packed(cast("RunLog", run), plain(count), ["gz"]) == []


def test_a_block_is_unpacked_within_bounds(database: Database) -> None:
    whole, larger = (bytes(size) for size in (16 << 20, (16 << 20) + 1))
    with database.begin() as conn:
        for text in (whole, larger):
            row = {"sha256": hashlib.sha256(text).hexdigest(), "last_key": b"", "entries": 1}
            row |= {"plain_bytes": len(text), "zst": pack(Form.ZST, text), "gz": None, "xz": None}
            indices.add_blocks(conn, [row])
    reader = BlockReader(database)
    (found,) = reader.read([hashlib.sha256(whole).hexdigest()], "plain")
    assert found == whole
    with pytest.raises(FormatError, match="unpacks to more than"):
        list(reader.read([hashlib.sha256(larger).hexdigest()], "plain"))


def test_a_few_blocks_are_read_at_a_time(database: Database, blocks: list[str]) -> None:
    reader = BlockReader(database)
    read = reader.read(blocks, "gz")
    next(read)
    forget(database)
    assert remembered(reader, blocks, "gz") == [n < 16 for n in range(40)]
