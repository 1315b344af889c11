"""Random tars and zips: if tar and libarchive unpack all, ours unpacks to the same files."""

import os
import random
import stat
import subprocess
import tarfile
from contextlib import suppress
from dataclasses import replace
from pathlib import Path, PurePath

import pytest

from staging_api.errors import ArchiveUnsafe
from staging_api.formats import tar
from staging_api.formats import zip as unzip
from tests.archives import InMemory, header, tar_of, unpack
from tests.corpus.raw_zip import DESCRIPTOR, RawMember, raw_zip

pytestmark = pytest.mark.system

ROUNDS = 60
NAMES = ["a", "b", "A", "./a", "d/a", "d//b", "d/./c", "d/e/f", "größe", "sp ace", r"back\slash"]
TARGETS = [
    "a",
    "b",
    "d",
    "d/a",
    "../a",
    "./b",
    "e/f",
    "gone",
    "..",
    "/etc/passwd",
    "../d/a",
    "d/../a",
    "a/../b",
]


def some_tar(chance):
    members = []
    for number in range(chance.randint(1, 8)):
        name, kind = chance.choice(NAMES), chance.randrange(10)
        if kind < 6:
            members.append((name, b"content %d" % number))
        elif kind < 8:
            members.append((header(name, tarfile.SYMTYPE, chance.choice(TARGETS)), b""))
        else:
            earlier = [m[0] for m in members if isinstance(m[0], str)]
            members.append((header(name, tarfile.LNKTYPE, chance.choice(earlier or ["a"])), b""))
    return tar_of(*members, form=chance.choice([tarfile.GNU_FORMAT, tarfile.PAX_FORMAT]))


def some_zip(chance):
    members = []
    for number in range(chance.randint(1, 8)):
        # libarchive turns a backslash into a slash, unzip does not.
        name, content = chance.choice(NAMES[:-1]).encode(), b"content %d" % number
        if chance.randrange(10) < 3:
            target = chance.choice(TARGETS).encode()
            members.append(RawMember(name, target, mode=stat.S_IFLNK | 0o777))
            continue
        known = chance.choice([None, (0, len(content), len(content)), (0, 0, 0)])
        plain = RawMember(name, content)
        described = replace(plain, flags=DESCRIPTOR, local=known, descriptor=True)
        members.append(chance.choice([plain, described]))
    around = {"before": b"#!/bin/sh\n" * chance.randrange(3), "behind": bytes(chance.randrange(3))}
    return raw_zip(members, adjusted=bool(chance.randrange(2)), **around)


def unpacked_by(command: list[str], data: bytes, folder: Path) -> dict[str, bytes] | None:
    """Return the files that a program unpacks, links followed; None if it reports an error."""
    folder.mkdir()
    archive = folder.with_name("archive")
    archive.write_bytes(data)
    done = subprocess.run([*command, str(archive)], cwd=folder, capture_output=True, check=False)
    if done.returncode:
        return None
    found = {}
    for top, _, names in os.walk(folder, followlinks=False):
        for name in names:
            path = Path(top, name)
            if path.is_file() and path.resolve().is_relative_to(folder.resolve()):
                found[str(path.relative_to(folder))] = path.read_bytes()
    return found


@pytest.mark.parametrize("form", ["tar", "bsdtar", "zip"])
def test_random_archives_become_the_same_files(form, tmp_path):
    chance, compared = random.Random(form), 0
    for number in range(ROUNDS):
        data = some_zip(chance) if form == "zip" else some_tar(chance)
        # -P: else GNU tar creates upward links last, and overwrites later members with them.
        command = ["tar", "-Pxf"] if form == "tar" else ["bsdtar", "-xf"]
        expected = unpacked_by(command, data, tmp_path / str(number))
        if expected is None:
            continue
        extract = unzip.extract if form == "zip" else tar.extract
        with suppress(ArchiveUnsafe):
            check_same(unpack(extract, InMemory(data))[0], expected, tmp_path / str(number))
            compared += 1
    assert compared > ROUNDS // 4


def check_same(ours: dict[str, bytes], expected: dict[str, bytes], folder: Path) -> None:
    """Fail unless the files are the same, except for files below a link to a folder.

    The service serves such files, but a walk through the folder does not reach them.
    """
    below = {path for path in ours if is_below_a_link(path, folder)}
    assert {path: ours[path] for path in ours if path not in below} == expected


def is_below_a_link(path: str, folder: Path) -> bool:
    return any((folder / top).is_symlink() for top in PurePath(path).parents)
