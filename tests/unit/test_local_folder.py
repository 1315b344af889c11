"""Names of files that the client brings to a folder."""

import os
from contextlib import closing

import pytest

from staging_api.client.local_folder import LocalFolder
from staging_api.client.model import StagedFile
from staging_api.errors import ArchiveUnsafe, Conflict


@pytest.fixture
def folder(tmp_path):
    with closing(LocalFolder(tmp_path / "to")) as made:
        yield made


def files(*names):
    return [StagedFile(name=n, path=f"b/{n}", size_bytes=1, sha256="0" * 64) for n in names]


TWINS = [("xt_TCPMSS.ko", "xt_tcpmss.ko"), ("d/A", "D/a"), ("caf\u00e9", "cafe\u0301")]


@pytest.mark.parametrize("twins", TWINS)
def test_twins_are_refused_where_the_disk_makes_one_file_of_them(folder, twins, monkeypatch):
    monkeypatch.setattr(LocalFolder, "ignores_case", lambda _self: True)
    with pytest.raises(Conflict, match="would be one file"):
        folder.check_twins(files(*twins))
    folder.check_twins(files("a", "b", "a"))


@pytest.mark.parametrize("twins", TWINS)
def test_twins_are_two_files_elsewhere(folder, twins):
    assert not folder.ignores_case()
    folder.check_twins(files(*twins))


@pytest.mark.skipif(os.name == "nt", reason="a separator there")
def test_a_backslash_is_an_ordinary_character_of_a_name(folder):
    (file,) = files(r"d/system-systemd\x2dfsck.slice")
    assert folder.place(file).name == r"system-systemd\x2dfsck.slice"


@pytest.mark.parametrize("name", ["../a", "a/../b", "/a", "a//b", ".staging-api/lock", "a/\0"])
def test_a_name_that_leads_out_is_refused(folder, name):
    (file,) = files(name)
    with pytest.raises(ArchiveUnsafe):
        folder.place(file)
