"""Basic file operations: errors of the disk, concurrent changes, and remaining files."""

import errno
import fcntl
import os
import socket
import threading
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from staging_api.errors import NoSpace, StoreFailed, StoreReadOnly
from staging_api.store import disk
from tests.durability import recorded

BLOCK = 4 << 10


def open_files() -> int:
    """Return the number of open descriptors of this process."""
    return len(list(Path("/proc/self/fd").iterdir()))


def refuses(number: int) -> Callable[..., Any]:
    def refuse(*_given: object, **_how: object) -> None:
        raise OSError(number, os.strerror(number))

    return refuse


@pytest.mark.parametrize(
    ("number", "kind"),
    [(errno.EDQUOT, NoSpace), (errno.EROFS, StoreReadOnly), (errno.EIO, StoreFailed)],
)
def test_what_a_disk_says_to_a_new_file_is_named(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, number: int, kind: type[Exception]
) -> None:
    with monkeypatch.context() as patch:
        patch.setattr(os, "open", refuses(number))
        with pytest.raises(kind):
            disk.new_file(str(tmp_path / "file"))
    (tmp_path / "file").touch()
    with pytest.raises(FileExistsError):
        disk.new_file(str(tmp_path / "file"))


@pytest.mark.parametrize(("length", "is_hole"), [(BLOCK - 1, False), (BLOCK, True)])
def test_zeros_become_a_hole_from_a_block_on(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, length: int, is_hole: bool
) -> None:
    written: list[bytes] = []
    write = disk.write_all

    def noted(descriptor: int, chunk: bytes) -> None:
        written.append(chunk)
        write(descriptor, chunk)

    monkeypatch.setattr(disk, "write_all", noted)
    descriptor = disk.new_file(str(tmp_path / "file"))
    chunks = [bytes(length), b"x" * BLOCK, bytes(length)]
    for chunk in chunks:
        disk.write_or_skip(descriptor, chunk)
    os.close(descriptor)
    assert written == ([chunks[1]] if is_hole else chunks)
    assert (tmp_path / "file").read_bytes() == b"".join(chunks)


def test_of_a_file_all_the_space_is_taken_and_no_more(tmp_path: Path) -> None:
    with (tmp_path / "file").open("wb") as file:
        disk.reserve(file.fileno(), 3 * BLOCK)
        facts = os.fstat(file.fileno())
    assert facts.st_size == 3 * BLOCK
    assert facts.st_blocks * 512 >= 3 * BLOCK


@pytest.mark.parametrize(
    ("blocks", "free", "retryable"), [(9, 9, None), (10, 9, True), (9, 10, False), (10, 10, None)]
)
def test_a_file_that_will_never_fit_is_not_tried_again(
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    blocks: int,
    free: int,
    retryable: bool | None,
) -> None:
    room = os.statvfs(tmp_path)
    found = type("Room", (), {"f_blocks": blocks, "f_bavail": free, "f_frsize": BLOCK})
    assert room.f_blocks > 10
    monkeypatch.setattr(os, "fstatvfs", lambda _descriptor: found)
    length = 9 * BLOCK + (retryable is not None)
    with (tmp_path / "file").open("wb") as file:
        if retryable is None:
            disk.reserve(file.fileno(), length)
            return
        with pytest.raises(NoSpace, match=f"has too little space: {length} bytes are") as refused:
            disk.reserve(file.fileno(), length)
    assert refused.value.retryable == retryable


@pytest.mark.parametrize(
    ("number", "is_full"),
    [(errno.ENOSPC, True), (errno.EDQUOT, True), (errno.EOPNOTSUPP, False), (errno.EINVAL, False)],
)
def test_where_space_cannot_be_taken_first_the_writes_will_say_that_there_is_none(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, number: int, is_full: bool
) -> None:
    monkeypatch.setattr(os, "posix_fallocate", refuses(number))
    with (tmp_path / "file").open("wb") as file:
        if is_full:
            with pytest.raises(NoSpace):
                disk.reserve(file.fileno(), 1)
        else:
            disk.reserve(file.fileno(), 1)


def full_in(folder: Path, free: int, more: str = "") -> str:
    return rf"of {folder} is full: 7 bytes are needed, and {free} of its 900 bytes are free{more};"


@pytest.mark.parametrize(("number", "what"), [(errno.ENOSPC, "disk"), (errno.EDQUOT, "disk quota")])
@pytest.mark.parametrize("inodes", [0, 5])
def test_a_full_disk_is_named_with_what_is_needed_and_what_is_free(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, number: int, what: str, inodes: int
) -> None:
    room = {"f_frsize": 100, "f_blocks": 9, "f_bfree": 3, "f_bavail": 2, "f_files": inodes}
    descriptor = disk.new_file(str(tmp_path / "file"))
    with monkeypatch.context() as patch:
        patch.setattr(os, "statvfs", lambda _path: type("Room", (), {**room, "f_favail": 0}))
        patch.setattr(os, "write", refuses(number))
        no_files = ", but none of its 5 inodes, so it can have no more files" if inodes else ""
        with pytest.raises(NoSpace, match=f"^the {what} {full_in(tmp_path, 200, no_files)}"):
            disk.write_all(descriptor, b"content")
    os.close(descriptor)


@pytest.mark.parametrize(("count", "one_by_one"), [(8, True), (9, False)])
def test_up_to_eight_files_are_synced_one_by_one(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, count: int, one_by_one: bool
) -> None:
    files = [tmp_path / str(number) for number in range(count)]
    for file in files:
        file.touch()
    record = recorded(monkeypatch)
    disk.sync(files)
    everything = [f"all of the disk of {tmp_path}"]
    assert record.steps == ([str(file) for file in files] if one_by_one else everything)


def test_a_file_system_that_cannot_be_synced_is_an_error_with_its_reason(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    before, opened = open_files(), os.open
    # The kernel syncs nothing through such a descriptor.
    monkeypatch.setattr(os, "open", lambda path, _flags: opened(path, os.O_PATH))
    with pytest.raises(OSError, match=os.strerror(errno.EBADF)) as failed:
        disk._sync_file_system(tmp_path)
    assert failed.value.errno == errno.EBADF
    assert open_files() == before


def test_a_name_is_given_though_another_makes_its_folder_meanwhile(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    replace = os.replace
    new = tmp_path / "sha256" / "ab" / "name"
    (tmp_path / "file").write_bytes(b"content")

    def late(old: str, to: str) -> None:
        monkeypatch.setattr(os, "replace", replace)
        new.parent.mkdir(parents=True)
        raise FileNotFoundError(to)

    monkeypatch.setattr(os, "replace", late)
    disk.move(str(tmp_path / "file"), str(new))
    assert new.read_bytes() == b"content"
    with pytest.raises(FileNotFoundError):
        disk.move(str(tmp_path / "gone"), str(new))


def test_the_time_of_a_folder_is_now_each_time_it_is_asked(tmp_path: Path) -> None:
    folder = tmp_path / "above" / "folder"
    first = disk.time_of(folder)
    os.utime(folder, (1, 1))
    assert disk.time_of(folder) >= first


def test_alone_in_a_folder_is_one_at_a_time_and_in_another_folder_another(tmp_path: Path) -> None:
    (tmp_path / "other").mkdir()

    def is_free(folder: Path) -> bool:
        descriptor = os.open(folder, os.O_RDONLY)
        try:
            return disk._lock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        finally:
            os.close(descriptor)

    with disk.alone_in(tmp_path):
        assert (is_free(tmp_path), is_free(tmp_path / "other")) == (False, True)
    assert is_free(tmp_path)


def test_a_folder_that_is_removed_while_it_is_marked_is_made_again_and_let_go(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder, before, made = tmp_path / "folder", open_files(), list[Path]()
    lock = disk._lock

    def swept(descriptor: int, operation: int) -> bool:
        if len(made) < 3:
            folder.rmdir()
        return lock(descriptor, operation)

    def make(path: Path) -> None:
        path.mkdir()
        made.append(path)

    monkeypatch.setattr(disk, "_lock", swept)
    with disk.kept_in_use(folder, make):
        assert folder.is_dir()
        assert made == [folder] * 3
        assert open_files() == before + 1
    assert open_files() == before


def test_what_is_in_use_stays_and_is_said_to_stay(tmp_path: Path) -> None:
    used, unused = tmp_path / "used", tmp_path / "unused"
    unused.mkdir()
    with disk.kept_in_use(used, Path.mkdir):
        assert not disk.remove_unused(used)
        assert disk.remove_unused(unused)
        assert disk.remove_unused(unused)  # another process was faster
        assert list(tmp_path.iterdir()) == [used]
    assert disk.remove_unused(used)
    assert list(tmp_path.iterdir()) == []


def test_of_a_folder_all_goes_but_what_the_disk_does_not_let_go(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder, other = tmp_path / "folder", tmp_path / "other"
    for each in (folder, other):
        each.mkdir()
        for number in range(5):
            (each / str(number)).touch()
    unlink, stuck = os.unlink, list[str]()

    def first_stays(path: Any, *, dir_fd: int | None = None) -> None:
        name = Path(path).name
        if not stuck or name in stuck:
            stuck[:] = [name]
            raise PermissionError(errno.EPERM, "x", name)
        unlink(path, dir_fd=dir_fd)

    with monkeypatch.context() as patch:
        patch.setattr(os, "unlink", first_stays)
        with pytest.raises(PermissionError):
            disk.remove_tree(folder)
    assert [each.name for each in folder.iterdir()] == stuck
    assert len(list(other.iterdir())) == 5
    disk.remove_tree(folder)
    assert list(tmp_path.iterdir()) == [other]


def test_only_a_regular_file_is_opened_and_has_a_length(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)  # the path of a socket has to be short
    for name, content in (("file", b"content"), ("empty", b"")):
        (tmp_path / name).write_bytes(content)
    (tmp_path / "folder").mkdir()
    os.mkfifo(tmp_path / "pipe")
    (tmp_path / "link").symlink_to("file")
    (tmp_path / "round").symlink_to("round")
    before = open_files()
    with socket.socket(socket.AF_UNIX) as bound:
        bound.bind("socket")
        for name in ("folder", "pipe", "link", "round", "socket", "gone", "file/below"):
            assert (disk.open_file(name), disk.length_of(name)) == (None, None), name
    for name, length in (("file", 7), ("empty", 0)):
        descriptor = disk.open_file(name)
        assert descriptor is not None
        assert os.fstat(descriptor).st_size == disk.length_of(name) == length
        os.close(descriptor)
    assert open_files() == before
    monkeypatch.setattr(os, "open", refuses(errno.EIO))
    monkeypatch.setattr(os, "lstat", refuses(errno.EIO))
    for ask in (disk.open_file, disk.length_of):
        with pytest.raises(StoreFailed):
            ask("file")


def test_who_asks_for_a_folder_that_another_is_alone_in_waits(tmp_path: Path) -> None:
    done: list[str] = []

    def second() -> None:
        with disk.alone_in(tmp_path):
            done.append("second")

    thread = threading.Thread(target=second, daemon=True)
    with disk.alone_in(tmp_path):
        thread.start()
        done.append("first")
    thread.join()
    assert done == ["first", "second"]
