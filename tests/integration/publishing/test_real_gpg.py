"""Signatures by a real gpg, checked by real apt."""

import subprocess
from collections.abc import Iterator
from pathlib import Path
from tempfile import TemporaryDirectory

import pytest

from staging_api.errors import SigningFailed
from staging_api.publishing.signing import (
    SigningKey,
    sign,
)
from tests.apt import Apt
from tests.keys import public_key, signing_key, stop_agent
from tests.packages import deb
from tests.repositories import Repository
from tests.service import eventually

pytestmark = pytest.mark.system


@pytest.fixture
def folder() -> Iterator[Path]:
    """Yield a folder with a short path: gpg creates sockets in it."""
    with TemporaryDirectory(prefix="gpg-") as name:
        yield Path(name)


@pytest.fixture
def key(folder: Path) -> Iterator[SigningKey]:
    key = signing_key(folder)
    yield key
    stop_agent(key.home)


@pytest.fixture
def apt(tmp_path: Path) -> Apt:
    return Apt(tmp_path / "client")


@pytest.fixture
def signed(tmp_path: Path, key: SigningKey) -> Repository:
    repository = Repository(tmp_path / "archive", key=key)
    repository.add_binary(deb())
    repository.publish()
    return repository


def trust(apt: Apt, key: bytes) -> str:
    """Return the option that makes apt trust only this key for the repository."""
    path = apt.home / "trusted.asc"
    path.write_bytes(key)
    return f"signed-by={path}"


def update(apt: Apt, repository: Repository, options: str) -> "subprocess.CompletedProcess[str]":
    with repository.served() as server:
        apt.use(server.url, options)
        return apt.update()


@pytest.mark.parametrize("dropped", ["InRelease", "Release.gpg"])
def test_either_form_of_the_signature_is_enough(
    apt: Apt, signed: Repository, key: SigningKey, dropped: str
) -> None:
    (signed.dists / dropped).unlink()
    outcome = update(apt, signed, trust(apt, public_key(key)))
    assert outcome.returncode == 0, outcome.stderr
    assert apt.names() == ["hello"]


def test_another_key_is_refused(
    apt: Apt, signed: Repository, folder: Path, key: SigningKey
) -> None:
    other = signing_key(folder, "other")
    try:
        outcome = update(apt, signed, trust(apt, public_key(other)))
    finally:
        stop_agent(other.home)
    assert outcome.returncode != 0
    assert "NO_PUBKEY" in outcome.stderr
    assert apt.names() == []


def test_a_changed_byte_is_refused(apt: Apt, signed: Repository, key: SigningKey) -> None:
    path = signed.dists / "InRelease"
    path.write_bytes(path.read_bytes().replace(b"Origin: Example", b"Origin: Exbmple"))
    outcome = update(apt, signed, trust(apt, public_key(key)))
    assert outcome.returncode != 0
    assert "BADSIG" in outcome.stderr


def test_an_unsigned_repository_is_refused_unless_it_is_trusted_by_name(
    apt: Apt, signed: Repository, key: SigningKey
) -> None:
    for name in ("InRelease", "Release.gpg"):
        (signed.dists / name).unlink()
    assert "is not signed" in update(apt, signed, trust(apt, public_key(key))).stderr
    assert update(apt, signed, "trusted=yes").returncode == 0


def test_a_key_that_is_not_in_its_home_is_a_failure(folder: Path, key: SigningKey) -> None:
    with pytest.raises(SigningFailed, match="gpg: "):
        sign(b"Suite: x\n", SigningKey(key.home, "0" * 40))


def test_no_agent_is_left_behind(key: SigningKey) -> None:
    sign(b"Suite: x\n", key)
    stop_agent(key.home)

    def is_gone() -> bool:
        ps = subprocess.run(["ps", "-eo", "args"], check=True, capture_output=True, text=True)
        return str(key.home) not in ps.stdout

    # The command to exit returns before the agent has exited.
    eventually(is_gone, "an agent is left behind")
