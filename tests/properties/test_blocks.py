"""Blocks: cut equally however the index was built, joined into files that decoders accept."""

import gzip
import lzma
import random
import zlib
from collections.abc import Callable

import pytest
from backports import zstd
from hypothesis import given, settings
from hypothesis import strategies as st

from staging_api.debian.forms import Form, pack
from staging_api.debian.xz import join_xz
from staging_api.publishing.blocks import (
    LEAST_BYTES,
    MOST_BYTES,
    BlockRef,
    assemble,
    cut,
    recut,
)
from staging_api.publishing.indices import IndexEntry, entries_of
from tests.packages import entry
from tests.repositories import measure

DECODERS: dict[Form, Callable[[bytes], bytes]] = {
    Form.PLAIN: bytes,
    Form.GZ: gzip.decompress,
    Form.XZ: lzma.decompress,
    Form.ZST: zstd.decompress,
}

# Stanzas of 3 KB, so that a few hundred make several blocks.
MANY = {made.key: made for made in (entry(f"pkg-{n:04}", padding=3000) for n in range(400))}


class Store:
    """The blocks of one index, and a record of the blocks read."""

    def __init__(self, entries: dict[bytes, IndexEntry]) -> None:
        blocks = list(cut(in_order(entries)))
        self.layout = [block.ref for block in blocks]
        self.texts = {block.ref: block.text for block in blocks}
        self.loaded: list[BlockRef] = []

    def load(self, ref: BlockRef) -> list[IndexEntry]:
        self.loaded.append(ref)
        return entries_of(self.texts[ref])

    def change(self, changes: dict[bytes, IndexEntry | None]) -> list[BlockRef]:
        after = list(recut(self.layout, changes, self.load))
        return [each if isinstance(each, BlockRef) else each.ref for each in after]


def in_order(entries: dict[bytes, IndexEntry]) -> list[IndexEntry]:
    return [entries[key] for key in sorted(entries)]


def cut_refs(entries: dict[bytes, IndexEntry]) -> list[BlockRef]:
    return [block.ref for block in cut(in_order(entries))]


def test_blocks_put_together_are_the_index() -> None:
    text = b"".join(block.text for block in cut(in_order(MANY)))
    assert text == b"".join(each.stanza for each in in_order(MANY))


def test_sizes_stay_within_bounds_and_the_last_may_be_small() -> None:
    sizes = [len(block.text) for block in cut(in_order(MANY))]
    assert len(sizes) > 3
    assert all(LEAST_BYTES <= size < MOST_BYTES + 4000 for size in sizes[:-1])


def ending(odds: str) -> bytes:
    """Return a key that ends a block of minimum size, one of the usual size, or neither."""
    for n in range(100_000):
        key = b"pkg-%d" % n
        crc = zlib.crc32(key)
        # Without keys that would end a block at the odds next to these.
        if crc % 257 and crc % 17 and crc % 16 != 1 and crc % 256 != 1:
            found = "seldom" if crc % 256 == 0 else "often" if crc % 16 == 0 else "never"
            if found == odds:
                return key
    raise AssertionError("there is none")


@pytest.mark.parametrize(
    ("odds", "size"), [("seldom", 24 * 1024), ("often", 56 * 1024), ("never", 192 * 1024)]
)
def test_a_block_ends_by_its_size_and_the_hash_of_a_key(odds: str, size: int) -> None:
    """A change of this rule would rewrite the index files of every archive."""
    last = IndexEntry(b"zz", b"z")
    ends = IndexEntry(ending(odds), bytes(size))
    lacks_one = IndexEntry(ending(odds), bytes(size - 1))
    for before in ([], [ends]):
        found = [len(block.text) for block in cut([*before, ends, last])]
        assert found == [*(size for _ in before), size, 1]
        found = [len(block.text) for block in cut([*before, lacks_one, last])]
        assert found == [*(size for _ in before), size]


def test_an_entry_that_sorts_last_is_appended() -> None:
    last = entry("zz")
    assert Store(MANY).change({last.key: last}) == cut_refs(MANY | {last.key: last})


def test_an_entry_larger_than_a_block_is_one() -> None:
    big = entry("aa-big", padding=MOST_BYTES)
    blocks = list(cut([big, entry("bb")]))
    assert [len(block.entries) for block in blocks] == [1, 1]


_KEYS = st.sampled_from(sorted(MANY))


@settings(max_examples=40)
@given(st.sets(_KEYS, max_size=300), st.sets(_KEYS, max_size=5), st.sets(_KEYS, max_size=5))
def test_a_change_gives_the_blocks_of_a_fresh_cut(
    missing: set[bytes], put: set[bytes], gone: set[bytes]
) -> None:
    before = {key: each for key, each in MANY.items() if key not in missing}
    changes: dict[bytes, IndexEntry | None] = {key: MANY[key] for key in put} | dict.fromkeys(gone)
    after = {key: each for key, each in (before | changes).items() if each is not None}
    assert Store(before).change(changes) == cut_refs(after)


def test_an_index_can_begin_and_end_empty() -> None:
    everything: dict[bytes, IndexEntry | None] = dict(MANY)
    assert Store({}).change(everything) == cut_refs(MANY)
    assert Store(MANY).change(dict.fromkeys(MANY)) == []
    assert Store({}).change({}) == []


def test_one_change_reads_few_blocks_and_leaves_the_others() -> None:
    random_keys = random.Random(7).sample(sorted(MANY), 40)
    read = changed = 0
    for key in random_keys:
        store = Store(MANY)
        after = store.change({key: None})
        read += len(store.loaded)
        changed += len(set(after) - set(store.layout))
    assert len(store.layout) > 5
    assert read < 1.5 * len(random_keys)
    assert changed < 1.5 * len(random_keys)


def test_nothing_changed_reads_no_block() -> None:
    store = Store(MANY)
    assert store.change({}) == store.layout
    assert store.loaded == []


@pytest.mark.parametrize("form", list(Form))
@pytest.mark.parametrize("count", [0, 1, 400])
def test_every_form_decodes_to_the_index(form: Form, count: int) -> None:
    entries = in_order(MANY)[:count]
    packed = [pack(form, block.text) for block in cut(entries)]
    whole = b"".join(assemble(form, packed))
    if packed and form is not Form.XZ:
        assert whole == b"".join(packed)
    assert DECODERS[form](whole) == b"".join(each.stanza for each in entries)


def test_the_xz_form_is_one_stream_of_many_blocks() -> None:
    packed = [pack(Form.XZ, text) for text in (b"one", b"two" * 100_000)]
    decoder = lzma.LZMADecompressor(lzma.FORMAT_XZ)
    assert decoder.decompress(b"".join(join_xz(packed))) == b"one" + b"two" * 100_000
    assert decoder.eof
    assert not decoder.unused_data


def test_more_xz_blocks_than_one_byte_counts() -> None:
    packed = [pack(Form.XZ, b"%d" % n) for n in range(300)]
    whole = b"".join(join_xz(packed))
    assert lzma.decompress(whole) == b"".join(b"%d" % n for n in range(300))


@pytest.mark.parametrize(
    "file",
    [
        b"not xz at all, but long enough",
        lzma.compress(b"x", check=lzma.CHECK_CRC64),
        pack(Form.XZ, b""),
        b"".join(join_xz([pack(Form.XZ, b"a"), pack(Form.XZ, b"b")])),
    ],
)
def test_only_files_of_one_block_are_joined(file: bytes) -> None:
    with pytest.raises(ValueError, match="not an xz file"):
        b"".join(join_xz([file]))


def test_measure_counts_and_hashes_what_passes() -> None:
    digest = measure([b"a", b"", b"bc"])
    assert digest == measure([b"abc"])
    assert digest.size_bytes == 3
    assert digest.sha256.startswith("ba7816bf")
