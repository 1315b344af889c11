"""Demo build: identical on every machine, as the digests in the README require."""

import hashlib
import tarfile
import zipfile
from collections.abc import Iterator
from pathlib import Path

import pytest

from staging_api.cli.demo.build import BUILD, make_build

#: Digest of the whole build, as `contents` lists it.
DIGEST = "96de5f4413891630e40bd4b4694b1badb41c3a18125e4e72161c451f0e4ba654"


@pytest.fixture(scope="module")
def build(tmp_path_factory: pytest.TempPathFactory) -> Path:
    archive = tmp_path_factory.mktemp("demo") / "not" / "yet"
    make_build(archive)
    return archive / BUILD


def contents(path: Path) -> Iterator[tuple[str, object, bytes]]:
    """Yield every file of an object with time and mode; compressed bytes may vary by library."""
    if path.suffix == ".zip":
        with zipfile.ZipFile(path) as file:
            for name in file.infolist():
                yield name.filename, name.date_time, file.read(name)
    elif ".t" in path.name:
        with tarfile.open(path) as packed:
            for info in packed:
                content = packed.extractfile(info)
                assert content is not None
                yield info.name, (info.mtime, info.mode), content.read()
    else:
        yield path.name, None, path.read_bytes()


def test_every_byte_of_it_is_known(build: Path) -> None:
    digest = hashlib.sha256()
    for path in sorted(build.iterdir()):
        digest.update(path.name.encode())
        for name, facts, content in contents(path):
            digest.update(f"{name} {facts} {len(content)}".encode() + content)
    assert digest.hexdigest() == DIGEST
    size = sum(path.stat().st_size for path in build.iterdir())
    assert 25e6 < size < 35e6


def test_its_manifest_names_every_other_object(build: Path) -> None:
    manifest = (build / "UPLOADED").read_text().splitlines()
    assert sorted(manifest) == sorted(
        path.name for path in build.iterdir() if path.name != "UPLOADED"
    )
    assert len(manifest) == 8


@pytest.mark.parametrize("name", ["stateful.tgz", "debug.tgz"])
def test_a_packed_object_has_no_time_of_its_making(build: Path, name: str) -> None:
    # Bytes 4 to 7 of a gzip file, RFC 1952.
    assert (build / name).read_bytes()[4:8] == bytes(4)
