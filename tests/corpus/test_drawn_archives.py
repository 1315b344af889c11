"""Hundreds of drawn tars and zips: if libarchive unpacks all, ours unpacks to the same files."""

import os
import random
import shutil
from pathlib import Path

import pytest

from staging_api.errors import ArchiveUnsafe
from staging_api.formats import tar
from staging_api.formats import zip as unzip
from tests.archives import InMemory, unpack
from tests.corpus import drawn, libarchive
from tests.corpus.test_differential import check_same

pytestmark = pytest.mark.system

FORMS = {"tar": (drawn.tar, tar.extract), "zip": (drawn.zip_file, unzip.extract)}
ROUNDS = [
    pytest.param(400, id="some"),
    pytest.param(int(os.environ.get("FUZZ_ROUNDS", "10000")), id="many", marks=pytest.mark.prove),
]


def files_below(folder: Path) -> dict[str, bytes]:
    """Return every file, following links that stay in the folder.

    The folder's name, which the traceback of a failure shows, is the number of the draw.
    """
    root, found = folder.resolve(), {}
    for top, _, names in os.walk(folder, followlinks=False):
        for name in names:
            path = Path(top, name)
            if path.is_file() and path.resolve().is_relative_to(root):
                found[str(path.relative_to(folder))] = path.read_bytes()
    return found


def is_same(extract, data: bytes, folder: Path) -> bool:
    """Fail unless ours unpacks the same files; return False if it refuses a link that leads out."""
    try:
        ours = unpack(extract, InMemory(data, 1 << 14))[0]
    except ArchiveUnsafe as error:
        if "leads out of the container file" not in error.detail:
            raise
        return False
    check_same(ours, files_below(folder), folder)
    return True


@pytest.mark.parametrize("rounds", ROUNDS)
@pytest.mark.parametrize("form", FORMS)
def test_drawn_archives_become_the_same_files(form, rounds, tmp_path):
    draw, extract = FORMS[form]
    seed = os.environ.get("FUZZ_SEED", "1")
    compared = 0
    for number in range(rounds):
        data = draw(random.Random(f"{form} {seed} {number}"))
        folder = tmp_path / str(number)
        folder.mkdir()
        if libarchive.unpack(data, folder):
            compared += is_same(extract, data, folder)
        shutil.rmtree(folder)
    assert compared > rounds // 4
