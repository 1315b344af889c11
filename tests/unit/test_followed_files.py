"""Reader that follows a file during its staging: its bytes, their times, and the ends."""

import hashlib
import random
from collections.abc import Iterator
from contextlib import contextmanager, nullcontext
from pathlib import Path
from types import SimpleNamespace
from typing import Any, BinaryIO

import pytest

from staging_api.errors import Unavailable
from staging_api.staging import partial_files
from staging_api.staging.partial_files import FollowedFile, PartialFileBroken, PartialFiles
from staging_api.staging.repository.growth_rows import IncomingFile
from tests.statements import patch_statement

MEBIBYTE, HELD_BACK = 1 << 20, 64 << 10
CONTENT = random.Random("followed").randbytes(2 * MEBIBYTE + 1000)


class Growing:
    """File that has grown at each look at its rows, and is staged when no looks are left."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch, folder: Path) -> None:
        self.file = folder / "file"
        self.content = CONTENT
        self.sha256 = hashlib.sha256(CONTENT).hexdigest()
        self.looks: list[IncomingFile] = []
        self.is_staged = True
        self.is_readable = True
        self.now = 100.0
        self.is_free = True
        self.slots: list[str] = []
        self.waits: list[tuple[str, int, float]] = []
        self.file.write_bytes(CONTENT)
        monkeypatch.setattr(partial_files, "time", SimpleNamespace(monotonic=lambda: self.now))
        monkeypatch.setattr(partial_files, "open_at", self._open_at)
        patch_statement(monkeypatch, "incoming_file", self._look)
        patch_statement(monkeypatch, "served_file", self._served)
        database: Any = SimpleNamespace(connect=nullcontext)
        blobs: Any = SimpleNamespace(
            growing=lambda name: self.file.parent / name if self.is_readable else None
        )
        watch: Any = SimpleNamespace(closed=False, waiter_slot=self._slot, changed=self._changed)
        self.files = PartialFiles(database, blobs, watch, 60.0)

    def grows(self, *sizes: int, size: int | None = None, file: str | None = "file") -> None:
        """Let the looks find these sizes, and then none."""
        self.looks = [IncomingFile("a", "s", 7, file, each, size) for each in sizes]

    def follow(self, seconds: float = 10.0) -> FollowedFile | None:
        return self.files.begin("board/x", seconds)

    def followed(self) -> FollowedFile:
        found = self.follow()
        assert found is not None
        return found

    def _look(self, _conn: object, path: str) -> IncomingFile | None:
        assert path == "board/x"
        return self.looks.pop(0) if self.looks else None

    def _served(self, _conn: object, _path: str) -> Any:
        if not self.is_staged:
            return None
        return SimpleNamespace(place="place", sha256=self.sha256, size_bytes=len(self.content))

    @contextmanager
    def _open_at(self, _blobs: object, place: str) -> Iterator[BinaryIO]:
        assert place == "place"
        path = self.file.with_name("staged")
        path.write_bytes(self.content)
        with path.open("rb") as stream:
            yield stream

    @contextmanager
    def _slot(self) -> Iterator[bool]:
        self.slots.append("taken")
        try:
            yield self.is_free
        finally:
            self.slots.append("free")

    def _changed(self, staging_id: str, version: int, seconds: float, _client: object) -> None:
        self.waits.append((staging_id, version, seconds))
        self.now += seconds


@pytest.fixture
def growing(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Growing:
    return Growing(monkeypatch, tmp_path)


def test_bytes_come_as_they_are_written_and_the_last_64_kibibytes_once_it_is_staged(
    growing: Growing,
) -> None:
    first, second = HELD_BACK + 1000, MEBIBYTE + HELD_BACK + 1001
    growing.grows(first, second, len(CONTENT))
    body = iter(growing.followed())
    assert next(body) == CONTENT[:1000]
    assert next(body) == CONTENT[1000 : MEBIBYTE + 1000]
    assert next(body) == CONTENT[MEBIBYTE + 1000 : MEBIBYTE + 1001]
    assert next(body) == CONTENT[MEBIBYTE + 1001 : len(CONTENT) - HELD_BACK]
    assert growing.slots == ["taken"]
    assert next(body) == CONTENT[len(CONTENT) - HELD_BACK :]
    # A reader of a staged file waits for no staging.
    assert growing.slots == ["taken", "free"]
    assert next(body, None) is None


def test_a_file_is_followed_from_where_more_than_what_is_held_back_is_written(
    growing: Growing,
) -> None:
    growing.grows(0, HELD_BACK, HELD_BACK + 1, size=99)
    found = growing.followed()
    assert (found.artifact_id, found.staging_id, found.size_bytes) == ("a", "s", 99)
    assert growing.looks == []
    assert growing.waits == [("s", 7, 5.0), ("s", 7, 5.0)]
    assert growing.slots == ["taken"]
    found.close()
    assert growing.slots == ["taken", "free"]


def test_a_file_that_only_another_pod_can_read_is_waited_for(growing: Growing) -> None:
    growing.is_readable = False
    growing.grows(HELD_BACK + 1, HELD_BACK + 2)
    assert growing.follow() is None
    assert growing.slots == ["taken", "free"]
    growing.is_readable = True
    growing.grows(HELD_BACK + 1, file=None)
    assert growing.follow() is None


def test_what_does_not_begin_in_time_is_unavailable(growing: Growing) -> None:
    growing.grows(*[0] * 9)
    with pytest.raises(Unavailable, match="has not begun to arrive"):
        growing.follow(7.0)
    assert [seconds for *_, seconds in growing.waits] == [5.0, 2.0]
    assert growing.slots == ["taken", "free"]


def test_without_a_slot_nobody_follows(growing: Growing) -> None:
    growing.is_free = False
    growing.grows(HELD_BACK + 1)
    with pytest.raises(Unavailable, match="too many requests are waiting"):
        growing.follow()
    assert len(growing.looks) == 1


def test_a_reader_is_patient_from_the_last_byte_that_came(growing: Growing) -> None:
    begun, more = HELD_BACK + 10, HELD_BACK + 20
    growing.grows(begun, *[begun] * 11, *[more] * 20)
    body = iter(growing.followed())
    assert [len(next(body)), len(next(body))] == [10, 10]
    assert growing.now == 155.0 + 5.0
    with pytest.raises(Unavailable, match="no byte arrived of board/x for too long"):
        next(body)
    assert growing.now == 160.0 + 60.0


def test_a_followed_file_that_is_not_staged_ends_broken(growing: Growing) -> None:
    growing.grows(HELD_BACK + 10)
    body = iter(growing.followed())
    growing.is_staged = False
    assert len(next(body)) == 10
    with pytest.raises(PartialFileBroken, match="was not staged") as broken:
        next(body)
    assert broken.value.retryable


def end_of(growing: Growing, size: int | None = None) -> bytes:
    growing.grows(MEBIBYTE, size=size)
    return b"".join(growing.followed())


@pytest.mark.parametrize("size", [None, len(CONTENT)])
def test_the_whole_file_is_what_was_verified(growing: Growing, size: int | None) -> None:
    assert end_of(growing, size) == CONTENT


@pytest.mark.parametrize("how", ["other bytes", "longer", "shorter", "another length"])
def test_a_file_that_is_not_the_one_that_was_begun_is_never_completed(
    growing: Growing, how: str
) -> None:
    size = len(CONTENT) + 1 if how == "another length" else None
    if how == "other bytes":
        # Staged again meanwhile: the digest is that of the new bytes, not of those sent.
        growing.content = CONTENT[:5] + b"!" + CONTENT[6:]
        growing.sha256 = hashlib.sha256(growing.content).hexdigest()
    elif how == "longer":
        growing.content = CONTENT + b"!"
    elif how == "shorter":
        growing.content = CONTENT[: MEBIBYTE // 2]
    with pytest.raises(PartialFileBroken, match="is not the file that was begun"):
        end_of(growing, size)


def test_a_staged_file_without_a_rest_ends(growing: Growing) -> None:
    growing.content = CONTENT[: MEBIBYTE - HELD_BACK]
    growing.sha256 = hashlib.sha256(growing.content).hexdigest()
    growing.grows(MEBIBYTE)
    assert all(growing.followed())
    growing.grows(MEBIBYTE)
    assert b"".join(growing.followed()) == growing.content


def test_a_file_that_is_gone_is_looked_for_in_the_rows(growing: Growing) -> None:
    growing.grows(MEBIBYTE, MEBIBYTE)
    found = growing.followed()
    growing.file.unlink()
    assert b"".join(found) == CONTENT


def test_what_a_network_file_system_does_not_show_yet_comes_later(growing: Growing) -> None:
    growing.file.write_bytes(CONTENT[:1000])
    growing.grows(MEBIBYTE, MEBIBYTE)
    body = iter(growing.followed())
    assert next(body) == CONTENT[:1000]
    growing.file.write_bytes(CONTENT)
    assert b"".join(body) == CONTENT[1000:]
