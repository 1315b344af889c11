"""Files of a folder store: their modes, and no descriptor left open after a step."""

import errno
import hashlib
import os
import stat
from collections.abc import Callable, Iterator
from contextlib import suppress
from pathlib import Path
from typing import BinaryIO

import pytest

from staging_api.errors import NotFound, StoreAbsent, StoreDenied, StoreFailed
from staging_api.store.folder_store import FolderStore
from staging_api.store.pack_writer import LEAST_CONTENTS

CONTENT = b"content"
DIGEST = hashlib.sha256(CONTENT).hexdigest()
MARKER = "01ARZ3NDEKTSV4RRFFQ69G5FAV"
Step = Callable[[FolderStore, Path], object]


@pytest.fixture
def store(tmp_path: Path) -> FolderStore:
    """Return a store with a marker, a blob, and an entry at a blob's name that is not a file."""
    made = FolderStore(tmp_path)
    made.identify(MARKER)
    keep(made, CONTENT)
    return made


@pytest.fixture
def _every_mode() -> Iterator[None]:
    """Create files with exactly the requested modes."""
    before = os.umask(0)
    yield
    os.umask(before)


def keep(store: FolderStore, *contents: bytes) -> None:
    with store.batch("worker-1") as batch:
        for content in contents:
            batch.keep([content])
        batch.commit()


def pack(store: FolderStore, *, fails: bool = False) -> None:
    with store.batch("worker-1") as batch:
        for number in range(LEAST_CONTENTS):
            batch.keep_small(bytes([number]) * (1 << 20))
        if fails:
            raise StoreFailed("it fails in the midst of a pack")
        batch.seal_pack()
        batch.commit()


def parts(store: FolderStore) -> None:
    for _ in range(2):
        with store.parts.open("version", 7) as made:
            made.write(0, CONTENT)
            made.note([(0, 7)])


def replaced(path: Path, make: Callable[[Path], object]) -> None:
    path.unlink()
    make(path)


def differs(stream: BinaryIO) -> bool:
    return stream.read() != CONTENT


STEPS: dict[str, Step] = {
    "check": lambda store, _: store.check(),
    "free": lambda store, _: store.free_bytes(),
    "identity": lambda store, _: store.identity(),
    "identify": lambda store, _: store.identify(MARKER, replace=True),
    "no shards": lambda store, root: ((root / "sha256").rename(root / "x"), store.identity()),
    "empty": lambda store, _: store.is_empty(),
    "read": lambda store, _: store.read(DIGEST, 7, 1, 2),
    "cut": lambda store, _: store.read(DIGEST, 7, 1, 20),
    "open": lambda store, _: store.open(DIGEST).close(),
    "another length": lambda store, _: store.open(DIGEST, 9),
    "absent": lambda store, _: store.open("0" * 64),
    "a pipe": lambda store, _: (replaced(store.path(DIGEST), os.mkfifo), store.open(DIGEST)),
    "a folder": lambda store, _: (replaced(store.path(DIGEST), os.mkdir), store.open(DIGEST)),
    "same": lambda store, _: keep(store, CONTENT),
    "few": lambda store, _: keep(store, b"one", b"two"),
    "many": lambda store, _: keep(store, *(b"%d" % number for number in range(20))),
    "pack": lambda store, _: pack(store),
    "half a pack": lambda store, _: pack(store, fails=True),
    "parts": lambda store, _: parts(store),
    "time": lambda store, _: store.time(),
    "sweep": lambda store, _: (parts(store), store.sweep(-10)),
    "good": lambda store, _: store.quarantine(DIGEST, differs),
    "bad": lambda store, _: (
        store.path(DIGEST).write_bytes(b"damaged"),
        store.quarantine(DIGEST, differs),
    ),
    "remove": lambda store, _: store.remove_all([DIGEST, "0" * 64]),
}


@pytest.mark.parametrize("content", [CONTENT, None], ids=["good", "gone"])
def test_nothing_is_left_aside_of_a_blob_that_is_good_or_gone(
    store: FolderStore, tmp_path: Path, content: bytes | None
) -> None:
    if content is None:
        store.remove(DIGEST)
    assert not store.quarantine(DIGEST, differs)
    assert list((tmp_path / "quarantine").iterdir()) == []
    assert store.has(DIGEST) == (content is not None)


@pytest.mark.parametrize("error", [OSError(errno.EIO, "x"), StoreFailed("x")])
def test_nothing_is_left_aside_of_a_blob_that_could_not_be_read_again(
    store: FolderStore, tmp_path: Path, error: Exception
) -> None:
    other = hashlib.sha256(b"other").hexdigest()
    keep(store, b"other")
    assert store.quarantine(other, differs)
    [aside] = (tmp_path / "quarantine").iterdir()

    def fails(stream: BinaryIO) -> bool:
        stream.read(1)
        raise error

    with pytest.raises(StoreFailed):
        store.quarantine(DIGEST, fails)
    assert list((tmp_path / "quarantine").iterdir()) == [aside]
    assert (aside / other).read_bytes() == b"other"
    assert store.path(DIGEST).stat().st_nlink == 1


def test_nothing_is_left_aside_of_a_blob_that_can_have_no_second_name(
    store: FolderStore, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse(*_given: object) -> None:
        raise PermissionError(errno.EPERM, "x")

    monkeypatch.setattr(Path, "hardlink_to", refuse)
    with pytest.raises(StoreDenied):
        store.quarantine(DIGEST, differs)
    assert list((tmp_path / "quarantine").iterdir()) == []
    assert store.has(DIGEST)


def open_files() -> int:
    return len(list(Path("/proc/self/fd").iterdir()))


@pytest.mark.parametrize("name", STEPS)
def test_no_step_of_a_store_leaves_a_file_open(
    store: FolderStore, tmp_path: Path, name: str
) -> None:
    before = open_files()
    with suppress(NotFound, StoreAbsent, StoreFailed):
        STEPS[name](store, tmp_path)
    assert open_files() == before


@pytest.mark.usefixtures("_every_mode")
def test_other_users_may_read_nothing_that_a_store_fetched(
    store: FolderStore, tmp_path: Path
) -> None:
    keep(store, b"another")
    pack(store)
    parts(store)
    fetched = [*tmp_path.glob("sha256/*/*"), *tmp_path.glob("parts/*/*")]
    assert len(fetched) == 7
    assert {stat.S_IMODE(each.stat().st_mode) for each in fetched[1:]} == {0o640}
