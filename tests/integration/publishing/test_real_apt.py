"""Real apt as a client of the repositories that our modules write."""

import hashlib
import lzma
import subprocess
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from staging_api.debian.forms import Form
from staging_api.publishing.blocks import assemble
from staging_api.publishing.release import Release, ReleaseFile
from tests.apt import Apt
from tests.packages import control_text, deb, dsc, source_file
from tests.repositories import Repository, release

pytestmark = pytest.mark.system

# Stanzas long enough that 60 packages fill several blocks.
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
    with repository.served() as server:
        apt.use(server.url)
        succeeds(apt.update())
    assert apt.names() == MANY


def test_a_repository_of_plain_files_is_read(apt: Apt, repository: Repository) -> None:
    fill(repository)
    repository.publish()
    apt.use(f"file:{repository.root}")
    succeeds(apt.update())
    assert apt.names() == MANY


def test_joined_xz_streams_would_be_refused(apt: Apt, repository: Repository) -> None:
    """Joining files joins xz streams, which apt refuses: blocks therefore share one stream."""
    repository.forms, repository.assemble = [Form.XZ], joined_streams
    fill(repository)
    repository.publish()
    with repository.served() as server:
        apt.use(server.url)
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
    with repository.served() as server:
        apt.use(server.url)
        succeeds(apt.update())
    assert apt.names() == []


@pytest.mark.parametrize("form", list(Form))
def test_an_index_without_a_package_is_read(apt: Apt, repository: Repository, form: Form) -> None:
    repository.forms = [form]
    assert repository.entries["main/binary-amd64/Packages"] == []
    repository.publish()
    with repository.served() as server:
        apt.use(server.url)
        succeeds(apt.update())
    assert apt.names() == []


def test_packages_of_both_architectures_and_components_are_downloaded_and_installed(
    apt: Apt, repository: Repository
) -> None:
    repository.add_binary(deb(control_text("greeter", Depends="words (>= 1:2~)")))
    repository.add_binary(deb(control_text("words", "1:2.0-1", "all"), holds="words"), "contrib")
    repository.add_binary(deb(control_text("greeter", architecture="arm64"), Form.ZST))
    repository.publish()
    with repository.served() as server:
        apt.use(server.url)
        succeeds(apt.update())
        succeeds(apt.run("download", "greeter:arm64"))
        succeeds(apt.run("install", "--yes", "greeter"))
    installed = (apt.home / "root/var/lib/dpkg/status").read_text()
    assert installed.count("Status: install ok installed") == 2
    assert (apt.home / "root/usr/greeting").read_text() == "hello\n"
    assert [path.name for path in apt.home.glob("*.deb")] == ["greeter_1.0-1_arm64.deb"]


def test_the_newest_version_is_the_candidate(apt: Apt, repository: Repository) -> None:
    for version in ("1.0~rc1", "1.0", "1:0.1", "1.0-2"):
        repository.add_binary(deb(control_text(version=version)))
    repository.publish()
    apt.use(f"file:{repository.root}")
    succeeds(apt.update())
    policy = apt.run("policy", "hello", program="apt-cache").stdout
    assert "Candidate: 1:0.1" in policy


def test_installer_packages_are_kept_apart(apt: Apt, repository: Repository) -> None:
    repository.add_binary(deb(control_text("installer-part")), suffix="udeb")
    repository.add_binary(deb())
    repository.publish()
    apt.use(f"file:{repository.root}")
    succeeds(apt.update())
    assert apt.names() == ["hello"]
    listed = (repository.dists / "main/debian-installer/binary-amd64/Packages.gz").read_bytes()
    assert listed


def test_sources_are_downloaded_and_unpacked(
    apt: Apt, repository: Repository, tmp_path: Path
) -> None:
    tarball = tar_xz(tmp_path / "hello-1.0", {"greeting": "hello\n", "debian/control": "x"})
    files = {"hello_1.0.tar.xz": tarball}
    listed = [source_file(*each) for each in files.items()]
    md5 = f"\n {hashlib.md5(tarball).hexdigest()} {len(tarball)} hello_1.0.tar.xz"
    # dpkg-source needs the weak hashes in a .dsc; our index files leave them out.
    text = dsc(listed, version="1.0", Format="3.0 (native)", Files=md5)
    repository.add_source(text.encode(), files)
    repository.publish()
    with repository.served() as server:
        apt.use(server.url, kind="deb-src")
        succeeds(apt.update())
        succeeds(apt.run("source", "hello=1.0"))
    assert (apt.home / "hello-1.0/greeting").read_text() == "hello\n"


def tar_xz(folder: Path, files: dict[str, str]) -> bytes:
    for name, content in files.items():
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_text(content)
    packed = folder.with_suffix(".tar.xz")
    subprocess.run(["tar", "-cJf", packed, "-C", folder.parent, folder.name], check=True)
    return packed.read_bytes()


def test_a_changed_package_is_refused(apt: Apt, repository: Repository) -> None:
    repository.add_binary(deb())
    repository.publish()
    (path,) = repository.root.glob("pool/**/*.deb")
    raw = bytearray(path.read_bytes())
    raw[-1] ^= 1
    path.write_bytes(raw)
    with repository.served() as server:
        apt.use(server.url)
        succeeds(apt.update())
        fails(apt.run("download", "hello"), "Hash Sum mismatch")


def test_indices_are_fetched_by_hash_alone(apt: Apt, repository: Repository) -> None:
    fill(repository)
    repository.publish()
    with repository.served() as server:
        apt.use(server.url)
        succeeds(apt.update())
    fetched = {each.path.rpartition("/")[0] for each in server.requests}
    architectures = {"amd64", "arm64"}
    assert fetched == {"/dists/stable"} | {
        f"/dists/stable/main/binary-{each}/by-hash/SHA256" for each in architectures
    }


def test_an_expired_release_is_refused(apt: Apt, repository: Repository) -> None:
    repository.describe = expired
    fill(repository)
    repository.publish()
    with repository.served() as server:
        apt.use(server.url)
        fails(apt.update(), "is expired")


def expired(files: Sequence[ReleaseFile]) -> Release:
    a_week_ago = datetime.now(UTC) - timedelta(days=7)
    return replace(release(files), date=a_week_ago, valid_for=timedelta(days=6))
