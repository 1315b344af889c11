"""Blocks of index files are read from the database once, and remembered within bounds."""

import hashlib
from typing import Any

import pytest

from staging_api.db.engine import Database
from staging_api.debian.forms import Form, pack
from staging_api.publishing import pieces
from staging_api.publishing.blocks import BlockRef, assemble
from staging_api.publishing.index_model import FORM_OF
from staging_api.publishing.indices import IndexEntry
from staging_api.publishing.pieces import BlockReader, FileHashes
from staging_api.publishing.rows import indices
from tests.repositories import measure
from tests.rows import execute

FORMS = ("plain", "gz", "xz", "zst")


def text_of(name: str) -> bytes:
    return f"Package: {name}\nVersion: 1\n\n".encode() * 40


def digest_of(name: str) -> str:
    return hashlib.sha256(text_of(name)).hexdigest()


@pytest.fixture
def blocks(database: Database) -> list[str]:
    """Forty blocks, by their digests, in every form."""
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
    """Let the database lose all blocks and layouts: what is read then was remembered."""
    execute(database, "DELETE FROM index_blocks")
    execute(database, "DELETE FROM index_layouts")


def remembered(reader: BlockReader, digests: list[str], form: str = "plain") -> list[bool]:
    """Which of these blocks come without the database."""
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
    # More than are read by one statement, and one of them twice.
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
    # Told again, it takes no more room.
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
    """What is the same before it is not read again; two forms, and two files, are two things."""
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
    # A third one, for which the one that was measured the longest time ago is forgotten.
    hashes.measure("a third file", "gz", [two])
    assert hashes.measure("a file", "gz", [one, three]) == expected
    with pytest.raises(LookupError):
        hashes.measure("a file", "plain", [one])
