"""File from a stream: named once it is verified; nothing remains of a wrong one."""

import hashlib
import io
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path

import pytest

from staging_api.client.local_folder import LocalFolder
from staging_api.client.model import StagedFile
from staging_api.client.streaming import write


@pytest.fixture
def folder(tmp_path: Path) -> Iterator[LocalFolder]:
    with closing(LocalFolder(tmp_path)) as made:
        yield made


def staged(name: str, content: bytes) -> StagedFile:
    sha256 = hashlib.sha256(content).hexdigest()
    return StagedFile(name=name, path=f"b/{name}", size_bytes=len(content), sha256=sha256)


@pytest.mark.parametrize("came", [b"other", b"cut", b""])
def test_a_file_whose_bytes_are_others_leaves_no_part_that_a_download_would_go_on_with(
    folder: LocalFolder, came: bytes
) -> None:
    right, begun, wrong = (staged(name, b"whole") for name in ("a/right", "begun", "a/wrong"))
    folder.part(begun).write_bytes(b"who")
    assert write(folder, right, io.BytesIO(b"whole"))
    assert not write(folder, wrong, io.BytesIO(came))
    assert not folder.part(wrong).exists()
    assert not folder.place(wrong).exists()
    assert folder.place(right).read_bytes() == b"whole"
    assert not folder.part(right).exists()
    assert folder.part(begun).read_bytes() == b"who"


def test_a_file_that_was_here_stays_as_it_is_until_the_right_bytes_have_come(
    folder: LocalFolder,
) -> None:
    file = staged("file", b"newer")
    folder.place(file).write_bytes(b"older")
    assert not write(folder, file, io.BytesIO(b"wrong"))
    assert folder.place(file).read_bytes() == b"older"
    assert write(folder, file, io.BytesIO(b"newer"))
    assert folder.place(file).read_bytes() == b"newer"
