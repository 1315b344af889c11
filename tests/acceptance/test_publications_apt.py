"""Real apt against the running service: installing, signatures, and updating while it publishes."""

import hashlib
import itertools
import subprocess
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from pathlib import Path
from threading import Event, Semaphore

import pytest

from staging_api.debian.forms import Form
from staging_api.publishing.signing import SigningKey
from tests.apt import Apt
from tests.apt_archive_api import AptArchiveApi
from tests.keys import public_key, signing_key, stop_agent
from tests.packages import control_text, deb, dsc, source_file
from tests.service import Client, Service, service
from tests.slow_front import SlowFront

pytestmark = pytest.mark.system

UPDATES = 1000


@pytest.fixture
def apt(tmp_path: Path) -> Apt:
    return Apt(tmp_path / "client")


@pytest.fixture
def archive(client: Client) -> AptArchiveApi:
    return AptArchiveApi.make(client)


def small(package: str, version: str = "1.0-1", architecture: str = "amd64", **more: str) -> bytes:
    return deb(control_text(package, version, architecture, **more), Form.GZ)


def succeeds(outcome: "subprocess.CompletedProcess[str]") -> None:
    assert outcome.returncode == 0, outcome.stdout + outcome.stderr


def fails(outcome: "subprocess.CompletedProcess[str]", reason: str) -> None:
    assert outcome.returncode != 0
    assert reason in outcome.stdout + outcome.stderr


def test_packages_of_two_architectures_and_components_are_installed_from_the_service(
    apt: Apt, archive: AptArchiveApi
) -> None:
    archive.upload("a.deb", small("greeter", Depends="words (>= 1:2~)"))
    words = deb(control_text("words", "1:2.0-1", "all"), Form.GZ, holds="words")
    archive.upload("b.deb", words, component="contrib")
    archive.upload("c.deb", small("greeter", architecture="arm64"))
    archive.published()
    apt.use(archive.url)
    succeeds(apt.update())
    succeeds(apt.run("download", "greeter:arm64"))
    succeeds(apt.run("install", "--yes", "greeter"))
    installed = (apt.home / "root/var/lib/dpkg/status").read_text()
    assert installed.count("Status: install ok installed") == 2


def test_components_may_be_named_as_other_vendors_name_theirs(
    apt: Apt, archive: AptArchiveApi
) -> None:
    names = ("mysql-8.0", "updates/main", "updates")
    archive.client.post(
        f"{archive.path}/suites",
        {"name": "other", "components": names, "architectures": ["amd64"]},
    )
    for name in names:
        package = small(f"of-{name.replace('/', '-')}")
        assert archive.upload("a.deb", package, component=name, suite="other").status == 201
    archive.published()
    assert (
        b"\nComponents: mysql-8.0 updates/main updates\n" in archive.get("dists/other/Release").body
    )
    apt.use(archive.url, of="other mysql-8.0 updates/main")
    succeeds(apt.update())
    assert apt.names() == ["of-mysql-8.0", "of-updates-main"]
    succeeds(apt.run("download", *apt.names()))


def test_a_newer_version_is_the_upgrade(apt: Apt, archive: AptArchiveApi) -> None:
    apt.use(archive.url)
    for version in ("1.0", "1.0-2", "1:0.1"):
        archive.upload("a.deb", small("hello", version))
        archive.published()
        succeeds(apt.update())
        policy = apt.run("policy", "hello", program="apt-cache").stdout
        assert f"Candidate: {version}\n" in policy


def test_sources_are_downloaded_from_the_service(
    apt: Apt, archive: AptArchiveApi, tmp_path: Path
) -> None:
    folder = tmp_path / "hello-1.0"
    (folder / "debian").mkdir(parents=True)
    (folder / "debian/control").write_text("x")
    packed = tmp_path / "hello_1.0.tar.xz"
    subprocess.run(["tar", "-cJf", packed, "-C", tmp_path, folder.name], check=True)
    raw = packed.read_bytes()
    md5 = f"\n {hashlib.md5(raw).hexdigest()} {len(raw)} hello_1.0.tar.xz"
    listed = [source_file("hello_1.0.tar.xz", raw)]
    text = dsc(listed, version="1.0", Format="3.0 (native)", Files=md5)
    archive.send({"hello_1.0.dsc": text.encode(), "hello_1.0.tar.xz": raw})
    archive.published()
    apt.use(archive.url, kind="deb-src")
    succeeds(apt.update())
    succeeds(apt.run("source", "--download-only", "hello=1.0"))
    assert (apt.home / "hello_1.0.tar.xz").read_bytes() == raw


@pytest.mark.parametrize("form", ["plain", "gz", "xz", "zst"])
def test_each_form_alone_is_read_from_the_service(apt: Apt, client: Client, form: str) -> None:
    archive = AptArchiveApi.make(client, forms=[form])
    names = [f"package-{n:02}" for n in range(40)]
    long = {"Long": "x" * 8000}
    archive.send({f"{name}.deb": small(name, architecture="all", **long) for name in names})
    archive.published()
    apt.use(archive.url)
    succeeds(apt.update())
    assert apt.names() == names


def test_a_client_of_the_newer_packages_sees_going_back(apt: Apt, archive: AptArchiveApi) -> None:
    archive.upload("a.deb", small("hello"))
    first = archive.published()["generation_id"]
    archive.upload("b.deb", small("world"))
    archive.published()
    apt.use(archive.url)
    succeeds(apt.update())
    assert apt.names() == ["hello", "world"]
    body = f'{{"generation_id": "{first}"}}'.encode()
    json = {"Content-Type": "application/json"}
    path = f"/api/v1.0/distributions/{archive.name}"
    assert archive.client.send("PATCH", path, body, json).status == 200
    succeeds(apt.update())
    assert apt.names() == ["hello"]


@pytest.fixture
def key(tmp_path: Path) -> Iterator[SigningKey]:
    made = signing_key(tmp_path)
    yield made
    stop_agent(made.home)


@pytest.fixture
def signed_service(own_url: str, tmp_path: Path, key: SigningKey) -> Iterator[tuple[Service, str]]:
    """A service with a key, and a database of its own."""
    folder = tmp_path / "service"
    folder.mkdir()
    settings = {"signing_home": str(key.home), "signing_key": key.fingerprint}
    with service(folder, own_url, **settings) as found:
        yield found, own_url


def test_a_signed_archive_is_believed_with_its_key_and_no_other(
    apt: Apt, signed_service: tuple[Service, str], key: SigningKey, tmp_path: Path
) -> None:
    (pod,) = signed_service[0].api()
    archive = AptArchiveApi.make(pod.client)
    archive.upload("a.deb", small("hello"))
    assert archive.published()["notes"] == []
    apt.use(archive.url, options=f"signed-by={keyring(apt, key, 'right')}")
    succeeds(apt.update())
    assert apt.names() == ["hello"]
    other = signing_key(tmp_path, "other")
    stop_agent(other.home)
    fresh = Apt(tmp_path / "fresh")
    fresh.use(archive.url, options=f"signed-by={keyring(fresh, other, 'wrong')}")
    fails(fresh.update(), "NO_PUBKEY")


def keyring(apt: Apt, key: SigningKey, name: str) -> Path:
    path = apt.home / f"{name}.asc"
    path.write_bytes(public_key(key))
    path.chmod(0o644)
    stop_agent(key.home)
    return path


def test_without_its_key_a_signed_archive_goes_on_unsigned_and_leaves_no_stale_signature(
    signed_service: tuple[Service, str], key: SigningKey
) -> None:
    (pod,) = signed_service[0].api()
    archive = AptArchiveApi.make(pod.client)
    archive.published()
    assert archive.get("dists/stable/InRelease").status == 200
    stop_agent(key.home)
    key.home.rename(key.home.with_name("gone"))
    archive.upload("a.deb", small("hello"))
    (note,) = archive.published()["notes"]
    assert "no gpg home directory" in note
    assert archive.get("dists/stable/InRelease").status == 404
    assert archive.get("dists/stable/Release.gpg").status == 404
    assert archive.get("dists/stable/Release").status == 200


@dataclass
class Race:
    """Sequence of uploads and publications, while others read.

    Attributes:
        publishes: publications that changed what clients see.
    """

    archive: AptArchiveApi
    send: Callable[[], None]
    updates: int = 0
    failed: int = 0
    publishes: int = 0
    stop: Event = field(default_factory=Event)
    _wanted: Semaphore = field(default_factory=lambda: Semaphore(2))
    _waiting: Semaphore = field(default_factory=lambda: Semaphore(0))

    def upload(self) -> None:
        """Upload one package while the one before it is published."""
        while not self.stop.is_set():
            if self._wanted.acquire(timeout=1):
                self.send()
                self._waiting.release()

    def publish(self) -> None:
        """Publish the uploaded packages."""
        while not self.stop.is_set():
            if self._waiting.acquire(timeout=1):
                self.publishes += self.archive.published()["generation_id"] is not None
                self._wanted.release()


def fill(archive: AptArchiveApi, count: int) -> Callable[[], None]:
    """Fill an archive; return a function that uploads a new version of one of its packages."""
    names = [f"package-{n:04}" for n in range(count)]
    archive.send({f"{name}.deb": small(name, Long="x" * 400) for name in names})
    archive.published()
    versions = itertools.count(2)

    def upload() -> None:
        version = next(versions)
        archive.upload("x.deb", small(names[version % count], str(version)))

    return upload


def update_after_update(apt: Apt, archive: AptArchiveApi, count: int, packages: int = 50) -> int:
    """Run `count` updates; during each, publish between its reads of Release and index files."""
    upload = fill(archive, packages)

    def publish() -> None:
        upload()
        archive.published()

    with SlowFront(archive.client.url, publish) as front:
        apt.use(f"{front.url}/archive/{archive.name}")
        return sum(apt.update().returncode != 0 for _ in range(count))


def test_no_update_fails_if_packages_are_published_in_its_middle(
    apt: Apt, archive: AptArchiveApi
) -> None:
    # Each of them would fail without files by hash, as the next test shows.
    assert update_after_update(apt, archive, 8) == 0


def test_every_update_during_a_publish_fails_without_files_by_hash(
    apt: Apt, client: Client
) -> None:
    archive = AptArchiveApi.make(client, publish_by_hash=False, advertise_by_hash=False)
    assert update_after_update(apt, archive, 3) == 3


@pytest.mark.prove
@pytest.mark.timeout(3600)
def test_a_thousand_updates_succeed_beside_continuous_publishing(
    apt: Apt, own_url: str, tmp_path: Path
) -> None:
    """One pod serves the updates; another receives uploads and publishes each immediately."""
    with service(tmp_path, own_url) as pods, ThreadPoolExecutor(2) as threads:
        serving, publishing = pods.api(2)
        archive = AptArchiveApi.make(publishing.client)
        race = Race(archive, fill(archive, 2000))
        with SlowFront(serving.client.url) as front:
            apt.use(f"{front.url}/archive/{archive.name}")
            began = time.monotonic()
            working = [threads.submit(race.upload), threads.submit(race.publish)]
            try:
                for _ in range(UPDATES):
                    race.updates += 1
                    race.failed += apt.update().returncode != 0
            finally:
                race.stop.set()
            for each in working:
                each.result()
            seconds = time.monotonic() - began
    assert race.failed == 0
    assert race.publishes >= race.updates, "else some update met no change"
    print(f"{race.publishes / seconds:.1f} publishes a second beside {race.updates} updates")
