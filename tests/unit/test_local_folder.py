"""Files that the client downloads to a folder: their names."""

import errno
import os
import re
from contextlib import closing, nullcontext

import pytest

from staging_api.client.local_folder import LocalFolder, disk_errors, is_of_one_file
from staging_api.client.model import StagedArtifact, StagedFile
from staging_api.errors import ArchiveUnsafe, Conflict, DiskFailed, NotFound


@pytest.fixture
def folder(tmp_path):
    with closing(LocalFolder(tmp_path / "to")) as made:
        yield made


def files(*names):
    return [StagedFile(name=n, path=f"b/{n}", size_bytes=1, sha256="0" * 64) for n in names]


TWINS = [("xt_TCPMSS.ko", "xt_tcpmss.ko"), ("d/A", "D/a"), ("caf\u00e9", "cafe\u0301")]


@pytest.mark.parametrize("twins", TWINS)
def test_of_twins_the_first_has_a_place_where_the_disk_makes_one_file_of_them(
    folder, twins, monkeypatch
):
    monkeypatch.setattr(LocalFolder, "ignores_case", lambda _self: True)
    ((name, error),) = folder.displaced(files(*twins, "other")).items()
    assert (name, "would be one file" in error.detail) == (twins[1], True)
    assert folder.displaced(files("a", "b", "a")) == {}


@pytest.mark.parametrize("twins", TWINS)
def test_twins_are_two_files_elsewhere(folder, twins):
    assert not folder.ignores_case()
    assert folder.displaced(files(*twins)) == {}


def test_a_file_that_is_a_folder_of_others_has_no_place_beside_them(folder):
    found = folder.displaced(files("a", "a/b/c", "a.b", "d/e", "d/e/f", "d/g"))
    assert list(found) == ["a", "d/e"]
    assert "'d/e' is a file and a folder of other files" in found["d/e"].detail


@pytest.mark.parametrize(
    ("number", "is_it"),
    [
        (errno.EISDIR, True),
        (errno.ENOTDIR, True),
        (errno.EEXIST, True),
        (errno.ENOTEMPTY, True),
        (errno.ENAMETOOLONG, True),
        (errno.EINVAL, True),
        (errno.EILSEQ, True),
        (errno.ELOOP, True),
        (errno.ENOSPC, False),
        (errno.EROFS, False),
        (errno.EACCES, False),
        (errno.EIO, False),
    ],
)
def test_trouble_with_a_name_is_of_one_file_and_trouble_with_the_disk_of_all(number, is_it):
    with pytest.raises(DiskFailed) as failed, disk_errors("x"):
        raise OSError(number, os.strerror(number))
    assert is_of_one_file(failed.value) == is_it
    free = r"; \d+ of its \d+ bytes are free.*" if number == errno.ENOSPC else ""
    assert re.fullmatch(f"x: {os.strerror(number)}{free}", failed.value.detail)
    assert not is_of_one_file(DiskFailed("x"))
    assert is_of_one_file(ArchiveUnsafe("x"))
    assert is_of_one_file(Conflict("x"))
    assert not is_of_one_file(NotFound("x"))


@pytest.mark.skipif(os.name == "nt", reason="a separator there")
def test_a_backslash_is_an_ordinary_character_of_a_name(folder):
    (file,) = files(r"d/system-systemd\x2dfsck.slice")
    assert folder.place(file).name == r"system-systemd\x2dfsck.slice"


@pytest.mark.parametrize(
    "name",
    [
        *("../a", "a/../b", "/a", "a//b", "a/\0"),
        # On a disk that ignores case, such names would hit the folder's own files.
        *(
            ".staging-api",
            ".staging-api/lock",
            ".Staging-API/verified.jsonl",
            ".\u017ftaging-api/x",
        ),
    ],
)
def test_a_name_that_leads_out_is_refused(folder, name):
    (file,) = files(name)
    with pytest.raises(ArchiveUnsafe):
        folder.place(file)


@pytest.mark.parametrize(
    ("name", "is_safe"),
    [
        *(
            (name, False)
            for name in ("nul", "Con.txt", "aux .tar.gz", "LPT3", "com\xb9", "conin$.x")
        ),
        *((name, False) for name in ("a.", "a ", "a./b", "a:b", r"a\b", "a/what?", "prn/a")),
        *(
            (name, True)
            for name in ("null", "com", "com10.txt", "a.nul", ".nul", "a b", ".a", "d.e/f")
        ),
    ],
)
def test_names_that_windows_reads_otherwise_are_refused_there(folder, monkeypatch, name, is_safe):
    (file,) = files(name)
    refused = nullcontext() if is_safe else pytest.raises(ArchiveUnsafe, match="is no name of")
    with monkeypatch.context() as windows, refused:
        windows.setattr(os, "name", "nt")
        assert not folder.has(file, hash_all=False)
    assert not folder.has(file, hash_all=False)


def test_what_another_version_left_in_the_folder_is_found(folder):
    """Its names never change: files that another version left are not fetched again."""
    own = folder.root / ".staging-api"
    (file,) = files("d/x")
    artifact = StagedArtifact(id="01JD", name="a", phase="foreground", state="staged", path="b/")
    assert folder.part(file) == own / "parts" / f"2bb5fc00adb2607cb9664802.{'0' * 16}"
    folder.keep_list(artifact, [file])
    assert [path.name for path in (own / "lists").iterdir()] == ["bc7d2d23c2254bda14e871f2.json"]
    (folder.root / "d").mkdir()
    (folder.root / "d/x").write_bytes(b"x")
    folder.note(file)
    assert (own / "verified.jsonl").read_text().startswith(f'["d/x", "{"0" * 64}", 1, ')
