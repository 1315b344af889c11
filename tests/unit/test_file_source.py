"""File source: reads below its root, and nothing else."""

import errno
import os
import socket
from pathlib import Path

import pytest

from staging_api.errors import (
    ArchiveNotFound,
    ArtifactNotFound,
    SourceChanged,
    SourceFailed,
    SourceNotAllowed,
    SourceRefused,
    Unavailable,
)
from staging_api.sources import open_archive
from staging_api.sources.allowlist import AllowList
from staging_api.sources.model import SourceOptions
from staging_api.sources.one_object import perhaps_one_object
from staging_api.sources.url import parse


@pytest.fixture
def archive(tmp_path):
    folder = tmp_path / "root" / "board" / "R17"
    (folder / "sub").mkdir(parents=True)
    (folder / "object.bin").write_bytes(b"0123456789")
    (folder / "sub" / "deep.bin").write_bytes(b"deep")
    (tmp_path / "secret").write_bytes(b"secret")
    return folder


@pytest.fixture
def source(tmp_path, archive):
    return open_below(tmp_path / "root", archive)


def open_below(root, folder):
    allowed = AllowList.parse(f"file://{root}")
    return open_archive(parse(f"file://{folder}"), allowed, SourceOptions())


def read(source, name, start=0, end=None):
    with source.open(source.stat(name), start, end) as chunks:
        return b"".join(chunks)


def test_a_file_is_described_and_read(source, archive):
    found = source.stat("sub/deep.bin")
    assert (found.size_bytes, found.url) == (4, f"file://{archive}/sub/deep.bin")
    assert read(source, "object.bin") == b"0123456789"
    assert read(source, "object.bin", 2, 5) == b"234"


def test_without_a_manifest_the_folder_is_listed(source):
    assert sorted(source.names()) == ["object.bin", "sub/deep.bin"]


def test_a_manifest_comes_first(source, archive):
    (archive / "UPLOADED").write_text("object.bin\n")
    assert source.names() == ["object.bin"]


def test_missing_objects_are_not_found(source, archive, tmp_path):
    with pytest.raises(ArtifactNotFound):
        source.stat("none")
    with pytest.raises(ArtifactNotFound):
        source.stat("none/none")
    with pytest.raises(ArchiveNotFound):
        open_below(tmp_path / "root", archive / "none").names()
    with pytest.raises(ArchiveNotFound):
        open_below(tmp_path / "other", tmp_path / "other" / "R17").names()


@pytest.mark.parametrize("target", ["{out}/secret", "../../../secret", "object.bin"])
def test_a_link_is_not_followed(source, archive, tmp_path, target):
    (archive / "link").symlink_to(target.format(out=tmp_path))
    with pytest.raises(SourceNotAllowed):
        source.stat("link")


def test_a_folder_on_the_way_must_not_be_a_link(archive, tmp_path):
    (tmp_path / "root" / "away").symlink_to(tmp_path / "root" / "board")
    (archive / "linked").symlink_to(archive / "sub")
    with pytest.raises(SourceNotAllowed):
        open_below(tmp_path / "root", tmp_path / "root" / "away" / "R17").stat("object.bin")
    with pytest.raises(SourceNotAllowed):
        open_below(tmp_path / "root", archive).stat("linked/deep.bin")


def test_links_are_not_listed_through(source, archive, tmp_path):
    (archive / "out").symlink_to(tmp_path)
    assert sorted(source.names()) == ["object.bin", "sub/deep.bin"]


def test_the_root_itself_may_be_a_link(archive, tmp_path):
    (tmp_path / "named").symlink_to(tmp_path / "root")
    named = open_below(tmp_path / "named", tmp_path / "named" / "board" / "R17")
    assert read(named, "object.bin") == b"0123456789"


def test_pipes_devices_and_sockets_are_not_opened(source, archive):
    os.mkfifo(archive / "pipe")
    with socket.socket(socket.AF_UNIX) as listener:
        listener.bind(os.path.relpath(archive / "socket"))
    for name in ("pipe", "socket", "sub"):
        with pytest.raises(SourceNotAllowed):
            source.stat(name)


def test_a_file_that_changed_since_it_was_found_is_noticed(source, archive):
    found = source.stat("object.bin")
    os.utime(archive / "object.bin", (1, 1))
    with pytest.raises(SourceChanged), source.open(found) as chunks:
        b"".join(chunks)


def test_a_file_that_changes_while_it_is_read_is_noticed(source, archive):
    with source.open(source.stat("object.bin")) as chunks:
        next(chunks)
        os.utime(archive / "object.bin", (1, 1))
        with pytest.raises(SourceChanged):
            next(chunks)


def test_a_file_that_shrinks_while_it_is_read_is_noticed(source, archive):
    big = archive / "big.bin"
    big.write_bytes(bytes(3 << 20))
    with source.open(source.stat("big.bin")) as chunks:
        next(chunks)
        os.truncate(big, 5)
        with pytest.raises(SourceChanged):
            next(chunks)


def test_an_archive_below_no_root_is_not_allowed(archive, tmp_path):
    with pytest.raises(SourceNotAllowed):
        open_below(tmp_path / "root" / "board" / "R17" / "sub", archive)


def test_no_descriptor_is_left_open(source):
    before = len(list(Path("/proc/self/fd").iterdir()))
    for name in ("object.bin", "sub/deep.bin"):
        read(source, name)
    source.names()
    for name in ("none", "sub", "sub/none"):
        with pytest.raises((ArtifactNotFound, SourceNotAllowed)):
            source.stat(name)
    assert len(list(Path("/proc/self/fd").iterdir())) == before


def failing(monkeypatch, call, number, name=None):
    """Let a call of `os` fail; if `name` is given, only for that name."""
    real = getattr(os, call)

    def fails(first, *rest, **options):
        if name is None or first == name:
            raise OSError(number, os.strerror(number), name)
        return real(first, *rest, **options)

    monkeypatch.setattr(os, call, fails)


#: Temporary errors, or those that an operator can repair; none reveals the kind of the file.
TROUBLE = [
    (errno.EMFILE, Unavailable, True),
    (errno.EIO, SourceFailed, True),
    (errno.ESTALE, SourceFailed, True),
    (errno.EACCES, SourceRefused, False),
]


@pytest.mark.parametrize("trouble", TROUBLE)
@pytest.mark.parametrize("name", ["object.bin", "sub", "R17", "root"])
def test_what_cannot_be_opened_for_a_moment_is_not_called_absent_or_a_link(
    source, tmp_path, monkeypatch, trouble, name
):
    number, kind, retryable = trouble
    failing(monkeypatch, "open", number, str(tmp_path / "root") if name == "root" else name)
    with pytest.raises(kind) as failed:
        source.stat("sub/deep.bin" if name == "sub" else "object.bin")
    assert (type(failed.value), failed.value.retryable) == (kind, retryable)


def test_a_disk_that_fails_while_a_file_is_read_is_named(source, monkeypatch):
    found = source.stat("object.bin")
    with source.open(found) as chunks:
        failing(monkeypatch, "read", errno.EIO)
        with pytest.raises(SourceFailed, match=r"object.bin cannot be read: Input/output error"):
            next(chunks)


def test_a_name_that_is_too_long_for_a_file_is_of_nothing(source):
    with pytest.raises(ArtifactNotFound):
        source.stat("x" * 256)
    with pytest.raises(ArtifactNotFound):
        source.stat("x" * 256 + "/y")


@pytest.mark.parametrize("call", ["open", "stat"])
@pytest.mark.parametrize("number", [errno.EMFILE, errno.EIO])
def test_a_listing_that_breaks_off_is_no_list(source, monkeypatch, call, number):
    failing(monkeypatch, call, number, "sub")
    with pytest.raises((SourceFailed, Unavailable), match="sub"):
        source.names()


@pytest.mark.parametrize("call", ["open", "stat"])
@pytest.mark.parametrize("number", [errno.EACCES, errno.ENOENT])
def test_what_is_not_for_us_or_was_removed_is_left_out_of_a_listing(
    source, archive, monkeypatch, call, number
):
    (archive / "other" / "sub").mkdir(parents=True)
    (archive / "other" / "kept.bin").write_bytes(b"kept")
    failing(monkeypatch, call, number, "sub")
    names = source.names()
    assert sorted(names) == ["object.bin", "other/kept.bin"]
    assert sorted(names.left_out) == ["other/sub/", "sub/"]


def test_an_archive_that_is_a_file_names_the_folder_to_ask_for(archive, tmp_path):
    cure = rf"request file:object\.bin of file://{archive}$"
    for below in ("object.bin", "object.bin/deeper/still"):
        with pytest.raises(ArchiveNotFound, match=cure):
            open_below(tmp_path / "root", archive / below).names()
    with pytest.raises(ArtifactNotFound):
        open_below(tmp_path / "root", archive).stat("object.bin/x")


def test_an_address_that_looks_like_one_of_an_object_is_said_to_be_none_of_an_archive():
    hint = perhaps_one_object(parse("gs://builds/R17/image.tar.xz"))
    assert hint.endswith(": request file:image.tar.xz of gs://builds/R17")
    for text in ("gs://builds/R17-1.2.0", "gs://builds/R17", "https://a.example/x.zip?sig=1"):
        assert not perhaps_one_object(parse(text))
