"""What real apt says about the repositories that our modules write."""

import lzma
import subprocess
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from staging_api.publishing.blocks import assemble
from staging_api.publishing.forms import Form
from staging_api.publishing.release import Release, ReleaseFile
from tests.apt import Apt, served
from tests.packages import control_text, deb, dsc, source_file
from tests.repositories import Repository, release

pytestmark = pytest.mark.system

# Long enough stanzas that 60 packages make several blocks.
MANY = [f"package-{n:02}" for n in range(60)]


def fill(repository: Repository, names: Iterable[str] = MANY) -> None:
    for name in names:
        repository.add_binary(deb(control_text(name, architecture="all", Long="x" * 8000)))


@pytest.fixture
def apt(tmp_path: Path) -> Apt:
    return Apt(tmp_path / "client")


@pytest.fixture
def repository(tmp_path: Path) -> Repository:
    return Repository(tmp_path / "archive")


def succeeds(outcome: "subprocess.CompletedProcess[str]") -> None:
    assert outcome.returncode == 0, outcome.stdout + outcome.stderr


def fails(outcome: "subprocess.CompletedProcess[str]", reason: str) -> None:
    assert outcome.returncode != 0
    assert reason in outcome.stdout + outcome.stderr


@pytest.mark.parametrize("form", list(Form))
def test_each_form_alone_is_read(apt: Apt, repository: Repository, form: Form) -> None:
    repository.forms = [form]
    fill(repository)
    repository.publish()
    with served(repository.root) as url:
        apt.use(url)
        succeeds(apt.update())
    assert apt.names() == MANY


def test_a_repository_of_plain_files_is_read(apt: Apt, repository: Repository) -> None:
    fill(repository)
    repository.publish()
    apt.use(f"file:{repository.root}/")
    succeeds(apt.update())
    assert apt.names() == MANY


def test_joined_xz_streams_would_be_refused(apt: Apt, repository: Repository) -> None:
    """Why blocks are put into one stream by hand: this is what joining files does."""
    repository.forms, repository.assemble = [Form.XZ], joined_streams
    fill(repository)
    repository.publish()
    with served(repository.root) as url:
        apt.use(url)
        fails(apt.update(), "Hash Sum mismatch")


def joined_streams(form: Form, packed: Iterable[bytes]) -> Iterator[bytes]:
    if form is not Form.XZ:
        return assemble(form, packed)
    files = list(packed)
    assert len(files) > 1
    assert len(lzma.decompress(b"".join(files))) > 60 * 8000
    return iter(files)


def test_a_release_without_the_plain_names_would_hide_every_package(
    apt: Apt, repository: Repository
) -> None:
    repository.list_plain = False
    fill(repository)
    repository.publish()
    with served(repository.root) as url:
        apt.use(url)
        outcome = apt.update()
    print(outcome.stdout, outcome.stderr, apt.names())
    assert apt.names() == []


@pytest.mark.parametrize("form", list(Form))
def test_an_index_without_a_package_is_read(apt: Apt, repository: Repository, form: Form) -> None:
    repository.forms = [form]
    assert repository.entries["main/binary-amd64/Packages"] == []
    repository.publish()
    with served(repository.root) as url:
        apt.use(url)
        succeeds(apt.update())
    assert apt.names() == []
