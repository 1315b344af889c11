"""Downloads: resumed after an interruption, and split over connections when slow."""

import hashlib
import os
import random
import shutil
import threading
from contextlib import contextmanager
from pathlib import Path
from types import SimpleNamespace

import pytest

from staging_api.catalogue.model import ArtifactKind, Choice, Pattern
from staging_api.errors import ArchiveCorrupt, SourceFailed, StoreFailed
from staging_api.sources.model import SourceObject
from staging_api.staging import download, engine
from staging_api.staging.download import Download, DownloadSpread, key_of
from staging_api.store.folder_store import FolderStore
from staging_api.store.parts import PartStore
from tests import damage
from tests.archives import tar_of

PART_BYTES = 1 << 16  # small parts: the same steps with fewer bytes
SIZE = 5 * PART_BYTES + 12_345
BODY = random.Random(1).randbytes(SIZE)
ONE = DownloadSpread(connections=1)
ALWAYS = DownloadSpread(connections=3, slow_bytes_per_second=float("inf"))
PIECE = 1 << 12


class Remote:
    """Source of one object that can break off, and records the requested ranges."""

    url = "gs://bucket/board/R17-1"

    def __init__(self, body=BODY, digests=None):
        self.body = body
        self.digests = digests or {}
        self.breaks_at = None
        self.requested = []
        self.sent = 0
        self.at_once = 0
        self.most_at_once = 0
        self.together = 0
        self._enough = threading.Event()
        self._lock = threading.Lock()

    def names(self):
        return ["object"]

    def stat(self, name):
        return SourceObject(name, f"{self.url}/{name}", len(self.body), "v1", self.digests)

    @contextmanager
    def open(self, found, start=0, end=None):
        last = len(self.body) if end is None else end
        with self._lock:
            self.requested.append((start, last))
            self.at_once += 1
            self.most_at_once = max(self.most_at_once, self.at_once)
            if self.at_once >= self.together:
                self._enough.set()
        if start > 0:
            assert self._enough.wait(10)
        try:
            yield self._chunks(start, last)
        finally:
            with self._lock:
                self.at_once -= 1

    def close(self):
        pass

    def _chunks(self, start, end):
        while start < end:
            if self.breaks_at is not None and start >= self.breaks_at:
                raise SourceFailed("broken on purpose")
            chunk = self.body[start : min(start + PIECE, end)]
            start += len(chunk)
            with self._lock:
                self.sent += len(chunk)
            yield chunk


@pytest.fixture(autouse=True)
def _small_parts(monkeypatch):
    monkeypatch.setattr(download, "PART_BYTES", PART_BYTES)
    monkeypatch.setattr(download, "PIECE_BYTES", PIECE)
    monkeypatch.setattr(download, "_JUDGED_BYTES", PIECE)


@pytest.fixture
def store(tmp_path):
    return FolderStore(tmp_path / "store")


def kind_of(extract="plain", **choice):
    choices = (Choice(Pattern("object"), extract=extract, **choice),)
    return ArtifactKind("thing", "build", "foreground", choices)


def fetch(source, store, extract="plain"):
    fetched = engine.fetch(kind_of(extract), source, "R17-1", store, speed=ONE)
    assert fetched is not None
    return fetched


def read(parts_root, source, start=0, end=None, speed=ONE, **how):
    found = source.stat("object")
    with (
        PartStore(parts_root).open("key", found.size_bytes) as parts,
        Download(source, found, parts, speed, **how).open(start, end) as chunks,
    ):
        return b"".join(chunks)


@pytest.mark.parametrize("speed", [ONE, ALWAYS])
@pytest.mark.parametrize(
    ("start", "end"), [(0, None), (1, SIZE - 1), (PART_BYTES - 1, 3 * PART_BYTES + 1), (7, 9)]
)
def test_any_range_is_read_exactly(tmp_path, speed, start, end):
    assert read(tmp_path, Remote(), start, end, speed) == BODY[start:end]


def test_a_slow_download_uses_several_connections(tmp_path):
    source = Remote()
    source.together = ALWAYS.connections  # the second request waits for all the others
    assert read(tmp_path, source, speed=ALWAYS) == BODY
    assert source.most_at_once == ALWAYS.connections
    assert source.sent <= SIZE + PIECE


def test_of_the_slow_downloads_of_a_staging_one_at_a_time_is_spread(tmp_path):
    source = Remote()
    with ALWAYS.turn:  # another download is spread
        assert read(tmp_path, source, speed=ALWAYS) == BODY
    assert source.requested == [(0, SIZE)]
    assert read(tmp_path / "next", source, speed=ALWAYS) == BODY
    assert len(source.requested) > 2
    assert not ALWAYS.turn.locked()


def test_a_fast_download_uses_one_connection(tmp_path):
    source = Remote()
    assert read(tmp_path, source, speed=DownloadSpread(slow_bytes_per_second=1)) == BODY
    assert source.requested == [(0, SIZE)]


def test_a_reader_that_ends_early_has_the_other_connections_end_too(tmp_path, monkeypatch):
    ends = threading.Event()

    class Stop(threading.Event):
        def set(self):
            super().set()
            ends.set()

    class Held(Remote):
        def _chunks(self, start, end):
            for number, chunk in enumerate(super()._chunks(start, end)):
                # The first part after the measurement arrives; the others stop in the middle.
                if start > PIECE and number > 0 and not ends.wait(2):
                    ends.set()
                yield chunk

    monkeypatch.setattr(download, "threading", SimpleNamespace(Event=Stop))
    source = Held()
    with PartStore(tmp_path).open("key", SIZE) as parts:
        download_of = Download(source, source.stat("object"), parts, ALWAYS)
        with download_of.open(0, None) as chunks:
            got = 0
            while got <= 2 * PIECE:
                got += len(next(chunks))
    assert len(source.requested) > 2
    assert source.sent < SIZE // 2


@pytest.mark.parametrize("speed", [ONE, ALWAYS])
@pytest.mark.parametrize("breaks_at", [0, PART_BYTES - 1, PART_BYTES * 2, SIZE - PIECE])
def test_a_second_attempt_fetches_what_the_first_did_not(tmp_path, speed, breaks_at):
    source = Remote()
    source.breaks_at = breaks_at
    with pytest.raises(SourceFailed):
        read(tmp_path, source, speed=speed)
    source.breaks_at = None
    assert read(tmp_path, source, speed=speed) == BODY
    assert source.sent <= SIZE + PIECE * speed.connections


def test_a_third_attempt_needs_nothing_from_the_source(tmp_path):
    source = Remote()
    assert read(tmp_path, source) == BODY
    assert read(tmp_path, source) == BODY
    assert source.sent == SIZE


def test_an_attempt_reads_the_files_of_another_and_never_writes_to_them(tmp_path):
    assert read(tmp_path, Remote()) == BODY
    (first,) = (tmp_path / "key").glob("*.data")
    before = first.stat().st_mtime_ns
    assert read(tmp_path, Remote(), whole=True) == BODY
    assert first.stat().st_mtime_ns == before
    assert len(list((tmp_path / "key").glob("*.data"))) == 2


@pytest.mark.parametrize(
    "journal",
    ["", "0 100", "x y\n", "5 5\n", "9 3\n", "-1 5\n", f"0 {SIZE + 1}\n", "1 2 3\n", "\xff\n"],
)
def test_a_malformed_journal_is_ignored(tmp_path, journal):
    folder = tmp_path / "key"
    folder.mkdir()
    (folder / "0.data").write_bytes(b"garbage" * 100)
    (folder / "0.done").write_text(journal, encoding="latin-1")
    source = Remote()
    assert read(tmp_path, source) == BODY
    assert source.sent == SIZE


def test_a_short_range_is_not_kept(tmp_path):
    read(tmp_path, Remote(), 0, PART_BYTES)
    assert [path.stat().st_size for path in (tmp_path / "key").iterdir()] == [0, 0]


@pytest.mark.parametrize(
    ("url", "size", "version", "worth"),
    [
        ("gs://b/o", SIZE, "1", True),
        ("file:///b/o", SIZE, "1", False),
        ("gs://b/o", SIZE, None, False),
        ("gs://b/o", None, "1", False),
        ("gs://b/o", PART_BYTES, "1", False),
    ],
)
def test_parts_are_kept_only_of_long_remote_objects_with_a_version(url, size, version, worth):
    assert (key_of(SourceObject("o", url, size, version)) is not None) is worth


def test_another_version_has_other_parts():
    keys = {key_of(SourceObject("o", "gs://b/o", SIZE, version)) for version in ("1", "2")}
    assert len(keys) == 2


def test_a_plain_object_is_written_once_and_becomes_the_blob(store, tmp_path):
    source = Remote()
    fetched = fetch(source, store)
    assert fetched.sha256 == hashlib.sha256(BODY).hexdigest()
    (data,) = (tmp_path / "store" / "parts").rglob("*.data")
    assert data.samefile(store.path(fetched.sha256))
    engine.forget(fetched, store)
    assert list((tmp_path / "store" / "parts").iterdir()) == []
    with store.open(fetched.sha256) as file:
        assert file.read() == BODY


def test_a_plain_object_of_several_attempts_becomes_one_whole_blob(store):
    source = Remote()
    for breaks_at in (2 * PART_BYTES, 4 * PART_BYTES):
        source.breaks_at = breaks_at
        with pytest.raises(SourceFailed):
            engine.fetch(kind_of(), source, "R17-1", store, speed=ONE)
    source.breaks_at = None
    fetched = fetch(source, store)
    with store.open(fetched.sha256) as file:
        assert file.read() == BODY
    assert source.sent <= SIZE + 2 * PART_BYTES


def test_an_archive_is_unpacked_again_from_its_parts(store):
    source = Remote(tar_of(("a", BODY[: 3 * PART_BYTES]), ("b", b"x")))
    source.breaks_at = 2 * PART_BYTES
    with pytest.raises(SourceFailed):
        engine.fetch(kind_of("tar"), source, "R17-1", store, speed=ONE)
    source.breaks_at = None
    fetched = fetch(source, store, "tar")
    assert fetched.sha256 == hashlib.sha256(source.body).hexdigest()
    assert [file.path for file in fetched.files] == ["a", "b"]
    assert source.sent <= len(source.body) + PART_BYTES


def test_parts_that_proved_wrong_are_not_used_again(store, tmp_path):
    source = Remote(digests={"md5": hashlib.md5(BODY[::-1]).hexdigest()})
    with pytest.raises(ArchiveCorrupt):
        engine.fetch(kind_of(), source, "R17-1", store)
    assert list((tmp_path / "store" / "parts").iterdir()) == []
    source.digests = {}
    engine.fetch(kind_of(), source, "R17-1", store)
    assert source.sent >= 2 * SIZE


def test_old_parts_are_swept_and_parts_in_use_are_not(store, tmp_path):
    source = Remote()
    source.breaks_at = 2 * PART_BYTES
    with pytest.raises(SourceFailed):
        engine.fetch(kind_of(), source, "R17-1", store)
    assert store.sweep(older_than_seconds=3600).removed == 0
    assert store.sweep(older_than_seconds=-1).removed == 1
    assert list((tmp_path / "store" / "parts").iterdir()) == []


def begun(store):
    """Return a source whose half has arrived in a failed attempt; it does not break off again."""
    source = Remote(digests={"sha256": hashlib.sha256(BODY).hexdigest()})
    source.breaks_at = 3 * PART_BYTES
    with pytest.raises(SourceFailed):
        engine.fetch(kind_of(), source, "R17-1", store, speed=ONE)
    source.breaks_at = None
    source.sent = 0
    return source


def part_of(tmp_path, suffix):
    (found,) = (tmp_path / "store" / "parts").glob(f"*/*.{suffix}")
    return found


def check_whole(store, fetched):
    with store.open(fetched.sha256, SIZE) as stream:
        assert stream.read() == BODY


@pytest.mark.parametrize("suffix", ["data", "done"])
@pytest.mark.parametrize("made", [*damage.NO_FILES, Path.unlink, Path.touch])
def test_a_part_that_is_not_a_regular_file_is_fetched_again(store, tmp_path, made, suffix):
    source = begun(store)
    part = part_of(tmp_path, suffix)
    if made is Path.touch:
        part.unlink()
    made(part)
    check_whole(store, fetch(source, store))
    assert source.sent == SIZE


def test_a_part_that_was_cut_is_used_as_far_as_it_goes(store, tmp_path):
    source = begun(store)
    os.truncate(part_of(tmp_path, "data"), PART_BYTES + 5)
    check_whole(store, fetch(source, store))
    assert source.sent >= SIZE - PART_BYTES - 5


def flip(data, position):
    content = bytearray(data.read_bytes())
    content[position] ^= 1
    data.write_bytes(content)


def test_a_part_with_a_flipped_bit_is_fetched_again_and_the_others_are_not(store, tmp_path):
    source = begun(store)
    flip(part_of(tmp_path, "data"), 7)
    sent = source.sent
    check_whole(store, fetch(source, store))
    assert source.sent - sent < SIZE


@pytest.mark.parametrize("position", [0, PART_BYTES - 1, SIZE - 1])
def test_no_flipped_bit_of_a_part_reaches_a_reader_though_the_source_declares_no_digest(
    tmp_path, position
):
    source = Remote()
    assert read(tmp_path, source) == BODY
    (data,) = (tmp_path / "key").glob("*.data")
    flip(data, position)
    assert read(tmp_path, source) == BODY
    assert SIZE < source.sent < 2 * SIZE


def test_a_journal_without_checksums_of_the_previous_version_is_used(store, tmp_path):
    source = Remote()
    assert read(tmp_path, source) == BODY
    (done,) = (tmp_path / "key").glob("*.done")
    lines = [line.rpartition(" ")[0] for line in done.read_text().splitlines()]
    done.write_text("".join(f"{line}\n" for line in lines))
    assert read(tmp_path, source) == BODY
    assert source.sent == SIZE
    # Changed bits in such a part are detected by the digest, if the source declares one.
    source = begun(store)
    done = part_of(tmp_path, "done")
    lines = [line.rpartition(" ")[0] for line in done.read_text().splitlines()]
    done.write_text("".join(f"{line}\n" for line in lines))
    flip(part_of(tmp_path, "data"), 7)
    with pytest.raises(StoreFailed) as failed:
        fetch(source, store)
    assert failed.value.retryable
    check_whole(store, fetch(source, store))


def test_a_file_in_place_of_the_folder_of_parts_is_replaced(store, tmp_path):
    source = begun(store)
    folder = part_of(tmp_path, "data").parent
    shutil.rmtree(folder)
    folder.write_bytes(b"no folder")
    check_whole(store, fetch(source, store))
