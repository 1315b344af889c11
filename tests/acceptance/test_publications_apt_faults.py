"""Real apt after all that an archive may live through: nothing that it names is gone."""

import itertools
import json
import os
import subprocess
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from tempfile import TemporaryDirectory
from threading import Event, Semaphore
from typing import Any

import pytest

from staging_api.db.engine import Database, open_database
from staging_api.db.migrate import migrate
from staging_api.debian.forms import Form
from staging_api.publishing.signing import SigningKey, stop_agent
from tests.apt import Apt
from tests.apt_archive_api import AptArchiveApi
from tests.databases import new_database
from tests.keys import public_key, signing_key
from tests.packages import control_text, deb, dsc, source_file
from tests.publisher import time_passes
from tests.rows import execute
from tests.service import API, Answer, Client, Service, eventually, service
from tests.slow_front import SlowFront

pytestmark = pytest.mark.system

JSON = {"Content-Type": "application/json"}


@pytest.fixture
def apt(tmp_path: Path) -> Apt:
    return Apt(tmp_path / "client")


@pytest.fixture
def archive(client: Client) -> AptArchiveApi:
    return AptArchiveApi.make(client)


def small(package: str, version: str = "1.0-1") -> bytes:
    return deb(control_text(package, version), Form.GZ, holds=package)


def send_source(
    archive: AptArchiveApi, version: str, component: str = "main", suite: str = "stable"
) -> None:
    """A source that apt downloads, with an upstream archive that its revisions share."""
    upstream = version.partition("-")[0]
    files = {f"hello_{upstream}.orig.tar.gz": b"orig", f"hello_{version}.debian.tar.xz": b"debian"}
    listed = [source_file(*each) for each in files.items()]
    text = dsc(
        listed,
        version=version,
        Files="".join(f"\n {'0' * 32} {f.size_bytes} {f.name}" for f in listed),
    )
    sent = archive.send({f"hello_{version}.dsc": text.encode(), **files}, component, suite)
    assert sent.status == 201, sent.body


def delete(
    archive: AptArchiveApi, package: str, architecture: str = "amd64", suite: str = "stable"
) -> None:
    query = f"package={package}&suite={suite}"
    listed = archive.client.get(f"{archive.path}/packages?{query}").json["items"]
    for each in listed:
        if each["state"] == "published" and each["architecture"] == architecture:
            path = f"{archive.path}/packages/{each['id']}"
            assert archive.client.delete(path, {"reason": "a mistake"}).status == 200


def go_back(archive: AptArchiveApi, generation: str) -> None:
    body = f'{{"generation_id": "{generation}"}}'.encode()
    path = f"{API}/distributions/{archive.name}"
    assert archive.client.send("PATCH", path, body, JSON).status == 200


def succeeds(outcome: "subprocess.CompletedProcess[str]") -> str:
    assert outcome.returncode == 0, outcome.stdout + outcome.stderr
    return outcome.stdout


def source(apt: Apt, version: str = "") -> "subprocess.CompletedProcess[str]":
    wanted = f"hello={version}" if version else "hello"
    return apt.run("source", "--download-only", wanted)


def test_a_source_can_be_downloaded_after_other_versions_are_gone(
    apt: Apt, archive: AptArchiveApi, rows: Database
) -> None:
    apt.use(archive.url, kind="deb-src")
    for version in ("1.0-1", "1.0-2", "1.1-1"):
        send_source(archive, version)
        archive.published()
        time_passes(rows)
        archive.published()
        succeeds(apt.update())
        succeeds(source(apt))
        assert (apt.home / f"hello_{version}.dsc").is_file()
    delete(archive, "hello", "source")
    archive.published()
    time_passes(rows)
    archive.published()
    succeeds(apt.update())
    assert source(apt).returncode != 0
    send_source(archive, "1.1-1", "contrib")
    archive.published()
    succeeds(apt.update())
    succeeds(source(apt, "1.1-1"))


def test_a_withdrawn_version_is_not_installed_until_the_hold_is_lifted(
    apt: Apt, archive: AptArchiveApi
) -> None:
    apt.use(archive.url)
    archive.upload("a.deb", small("hello", "1.0"))
    first = archive.published()["generation_id"]
    archive.upload("b.deb", small("hello", "2.0"))
    archive.published()
    go_back(archive, first)
    archive.client.send("PATCH", archive.path, b'{"label": "another"}', JSON)
    archive.published(careful=True)
    succeeds(apt.run("update", "--allow-releaseinfo-change"))
    assert "hello_1.0_amd64" in succeeds(apt.run("install", "--yes", "--print-uris", "hello"))
    lifted = archive.client.delete(f"{API}/distributions/{archive.name}/holds/stable")
    assert lifted.status == 200
    archive.published()
    succeeds(apt.update())
    assert "hello_2.0_amd64" in succeeds(apt.run("install", "--yes", "--print-uris", "hello"))
    succeeds(apt.run("install", "--yes", "hello"))


def test_a_file_of_two_components_installs_from_either(apt: Apt, archive: AptArchiveApi) -> None:
    for component in ("main", "contrib"):
        assert archive.upload("a.deb", small("hello"), component).status == 201
        archive.published()
    line = apt.home / "etc/apt/sources.list"
    apt.use(archive.url)
    line.write_text(line.read_text().replace("main contrib", "contrib"))
    succeeds(apt.update())
    succeeds(apt.run("install", "--yes", "hello"))


def test_an_update_without_changes_transfers_no_release(apt: Apt, archive: AptArchiveApi) -> None:
    archive.upload("a.deb", small("hello"))
    archive.published()
    apt.use(archive.url)
    assert "Get:" in succeeds(apt.update())
    again = succeeds(apt.update())
    assert "Hit:" in again
    assert "Get:" not in again.replace("Get:1 file", "")


def test_a_suite_is_found_by_its_codename(apt: Apt, archive: AptArchiveApi) -> None:
    archive.upload("a.deb", small("hello"))
    archive.client.send("PATCH", f"{archive.path}/suites/stable", b'{"codename": "noble"}', JSON)
    archive.published()
    apt.use(archive.url)
    line = apt.home / "etc/apt/sources.list"
    line.write_text(line.read_text().replace(" stable ", " noble "))
    succeeds(apt.update())
    assert apt.names() == ["hello"]


@dataclass
class Keys:
    """Two keys, a service that signs with each, and the database that they share."""

    pair: tuple[SigningKey, SigningKey]
    services: tuple[Service, Service]
    rows: Database

    def trust(self, apt: Apt, *which: int) -> str:
        """The option by which apt believes these keys and no other."""
        path = apt.home / f"trusted-{'-'.join(map(str, which))}.gpg"
        # A short name: gpg makes sockets in it, and a socket's path has 107 bytes at most.
        with TemporaryDirectory(prefix="gpg-") as home:
            gpg = ["gpg", "--homedir", home, "--batch"]
            for number in which:
                subprocess.run(
                    [*gpg, "--import"],
                    input=public_key(self.pair[number]),
                    check=True,
                    capture_output=True,
                )
            exported = subprocess.run([*gpg, "--export"], check=True, capture_output=True).stdout
            stop_agent(Path(home))
        path.write_bytes(exported)
        path.chmod(0o644)
        return f"signed-by={path}"


@pytest.fixture
def keys(database_url: str, tmp_path: Path) -> Iterator[Keys]:
    with new_database(database_url) as url:
        migrate(url)
        with two_keys(url, tmp_path) as made:
            yield made


@contextmanager
def two_keys(url: str, folder: Path) -> Iterator[Keys]:
    pair = signing_key(folder, "one"), signing_key(folder, "two")
    store = f"file://{folder}/service-0/store"
    homes = [folder / f"service-{number}" for number in range(2)]
    for home in homes:
        home.mkdir()
    signs = [{"signing_home": str(k.home), "signing_key": k.fingerprint} for k in pair]
    rows = open_database(url, 2)
    with (
        service(homes[0], url, store=store, **signs[0]) as one,
        service(homes[1], url, store=store, **signs[1]) as two,
    ):
        yield Keys(pair, (one, two), rows)
    rows.close()
    for key in pair:
        stop_agent(key.home)


def test_a_new_key_signs_all_suites_in_one_run_without_changes(apt: Apt, keys: Keys) -> None:
    (pod,) = keys.services[0].api()
    archive = AptArchiveApi.make(pod.client)
    archive.client.post(f"{archive.path}/suites", {"name": "testing"})
    archive.upload("a.deb", small("hello"))
    archive.published()
    apt.use(archive.url, options=keys.trust(apt, 0))
    succeeds(apt.update())
    (pod,) = keys.services[1].api()
    archive = archive.at(pod.client)
    assert archive.published()["counts"]["generations"] == 1
    for suite in ("stable", "testing"):
        apt.use(archive.url, options=keys.trust(apt, 1) if suite == "stable" else option(apt))
        line = apt.home / "etc/apt/sources.list"
        line.write_text(line.read_text().replace(" stable ", f" {suite} "))
        succeeds(apt.update())


def option(apt: Apt) -> str:
    return f"signed-by={apt.home / 'trusted-1.gpg'}"


def test_a_pinned_generation_is_valid_after_expiry_and_after_a_new_key(
    apt: Apt, keys: Keys
) -> None:
    (pod,) = keys.services[0].api()
    archive = AptArchiveApi.make(pod.client)
    archive.upload("a.deb", small("hello"))
    execute(keys.rows, "UPDATE apt_archives SET valid_for_seconds = 1")
    pinned = archive.published()["generation_id"]
    assert archive.client.send("PUT", f"{API}/generations/{pinned}/pin").status == 200
    execute(keys.rows, "UPDATE apt_archives SET valid_for_seconds = 3600")
    archive.upload("b.deb", small("world"))
    archive.published()
    apt.use(f"{archive.url}@{pinned}", options=keys.trust(apt, 0))
    path = f"/archive/{archive.name}@{pinned}/dists/stable/InRelease"
    eventually(
        lambda: b"Valid-Until" not in archive.client.get(path).body, "its time is never over"
    )
    succeeds(apt.update())
    assert apt.names() == ["hello"]
    succeeds(apt.run("install", "--yes", "hello"))
    (pod,) = keys.services[1].api()
    fresh = Apt(apt.home.parent / "fresh")
    fresh.use(f"{archive.at(pod.client).url}@{pinned}", options=keys.trust(fresh, 1))
    succeeds(fresh.update())


@dataclass
class Troubled:
    """An archive that is published to without a pause, and what happens to it in the middle.

    Attributes:
        archive: by the pod that publishes now.
        names: of its packages.
        batch: packages of each upload, which one run publishes.
        published: generations that showed something new.
        packages: how many packages those added or replaced.
        failed: what apt said, of each update that failed.
        seen: by number of an update, the newest version of the withdrawn package that it showed.
    """

    archive: AptArchiveApi
    names: list[str]
    batch: int
    published: int = 0
    packages: int = 0
    failed: list[str] = field(default_factory=list)
    seen: dict[int, str] = field(default_factory=dict)
    stop: Event = field(default_factory=Event)
    _versions: Iterator[int] = field(default_factory=lambda: itertools.count(2))
    _sent: Semaphore = field(default_factory=lambda: Semaphore(0))
    _wanted: Semaphore = field(default_factory=lambda: Semaphore(2))

    def upload(self) -> None:
        """Upload to the suite that is never held, while what came before is published."""
        while not self.stop.is_set():
            if self._wanted.acquire(timeout=1):
                version = next(self._versions)
                numbers = range(version * self.batch, (version + 1) * self.batch)
                some = [self.names[number % len(self.names)] for number in numbers]
                files = {f"{name}.deb": small(name, str(version)) for name in some}
                assert self.archive.send(files, suite="testing").status == 201
                self._sent.release()

    def publish(self) -> None:
        while not self.stop.is_set():
            if self._sent.acquire(timeout=1):
                run = self.insist(self.archive.publish)
                self.published += run.json["generation_id"] is not None
                self.packages += run.json["counts"].get("published", 0)
                self._wanted.release()

    def meanwhile(self) -> None:
        """Let some packages be published before a client gets its Release."""
        wanted = self.published + MEANWHILE
        eventually(lambda: self.published >= wanted or self.stop.is_set(), "nothing is published")

    def insist(self, ask: Callable[[], Answer]) -> Answer:
        """Repeat a request until no other operation runs."""
        while (answer := ask()).status == 409:
            time.sleep(0.02)
        assert answer.status in (200, 201), answer.body
        return answer


#: Generations between each Release that a client gets and the index files that it names.
MEANWHILE = 4
#: Generations for each update: ten a second beside updates of 0.4 s.
FOR_EACH = MEANWHILE
#: Of a hundred updates: when another key signs, the suite goes back, the source goes, it is lifted.
NEW_KEY, BACK, GONE, LIFTED = 20, 40, 60, 80
#: The package that is withdrawn by going back, and the version that clients get by that.
WITHDRAWN, OLDER = "package-0000", "1.0-1"


def troubled_updates(apt: Apt, keys: Keys, count: int, packages: int, batch: int) -> Troubled:
    """Update so often, beside publishing; at four moments something worse happens."""
    serving, publishing = keys.services[0].api(2)
    (other,) = keys.services[1].api()
    archive = AptArchiveApi.make(publishing.client)
    suite = {"name": "testing", "architectures": ["amd64"]}
    assert archive.client.post(f"{archive.path}/suites", suite).status == 201
    names = [f"package-{n:04}" for n in range(packages)]
    for suite_name in ("stable", "testing"):
        archive.send({f"{name}.deb": small(name, OLDER) for name in names}, suite=suite_name)
    send_source(archive, "1.0-1")
    first = archive.published()["generation_id"]
    archive.client.send("PUT", f"{API}/generations/{first}/pin")
    archive.upload("x.deb", small(WITHDRAWN, "2.0"))
    archive.published()
    troubled = Troubled(archive, names, batch)
    holds = f"{API}/distributions/{archive.name}"
    back = json.dumps({"generation_id": first, "suites": ["stable"]}).encode()
    events: dict[int, Callable[[], Any]] = {
        NEW_KEY: lambda: setattr(troubled, "archive", archive.at(other.client)),
        BACK: lambda: troubled.insist(lambda: archive.client.send("PATCH", holds, back, JSON)),
        GONE: lambda: delete(archive, "hello", "source", "testing"),
        LIFTED: lambda: archive.client.delete(f"{holds}/holds/stable"),
    }
    send_source(archive, "1.0-1", suite="testing")
    with (
        SlowFront(serving.client.url, troubled.meanwhile) as front,
        ThreadPoolExecutor(2) as pool,
    ):
        apt.use(f"{front.url}/archive/{archive.name}", options=keys.trust(apt, 0, 1))
        reads_both_suites(apt)
        working = [pool.submit(troubled.upload), pool.submit(troubled.publish)]
        for each in working:
            each.add_done_callback(lambda _: troubled.stop.set())
        began = time.monotonic()
        try:
            for number in range(count):
                done, rest = divmod(100 * number, count)
                if rest < 100 and done in events:
                    events.pop(done)()
                outcome = apt.update()
                troubled.failed += [outcome.stderr] * (outcome.returncode != 0)
                troubled.seen[done] = newest(apt, WITHDRAWN)
                if troubled.stop.is_set():
                    break
        finally:
            troubled.stop.set()
        for each in working:
            each.result()
    assert not events
    seconds = time.monotonic() - began
    print(
        f"{troubled.published} generations with {troubled.packages} packages, that is"
        f" {troubled.published / seconds:.1f} and {troubled.packages / seconds:.1f} a second,"
        f" beside {count} updates of {seconds / count:.2f} s; {len(troubled.failed)} failed"
    )
    return troubled


def reads_both_suites(apt: Apt) -> None:
    path = apt.home / "etc/apt/sources.list"
    line = path.read_text()
    testing = line.replace(" stable ", " testing ").replace("main contrib", "main")
    path.write_text(
        line
        + testing
        + line.replace("deb ", "deb-src ", 1)
        + testing.replace("deb ", "deb-src ", 1)
    )


def newest(apt: Apt, package: str) -> str:
    """The newest version of a package that stable has."""
    table = succeeds(apt.run("madison", package, program="apt-cache"))
    versions = [line.split("|")[1].strip() for line in table.splitlines() if " stable/" in line]
    return max(versions, default="")


def holds_what_was_decided(troubled: Troubled) -> None:
    """All clients saw the withdrawn version until the suite went back, and none while it held."""
    seen = troubled.seen
    before = {seen[number] for number in seen if number < BACK}
    held = {seen[number] for number in seen if BACK <= number < LIFTED}
    assert (before, held) == ({"2.0"}, {OLDER})
    assert seen[max(seen)] == "2.0"


# Forty updates with publishes within each, and then a pod that ends what it has begun.
@pytest.mark.timeout(400)
def test_no_update_fails_beside_a_new_key_a_rollback_and_a_deleted_source(
    apt: Apt, keys: Keys
) -> None:
    troubled = troubled_updates(apt, keys, count=40, packages=50, batch=10)
    assert troubled.failed == []
    assert troubled.published >= FOR_EACH * 40
    assert troubled.packages >= 10 * FOR_EACH * 40
    holds_what_was_decided(troubled)


@pytest.mark.prove
@pytest.mark.timeout(7200)
def test_a_thousand_updates_succeed_beside_a_new_key_a_rollback_and_a_deleted_source(
    apt: Apt, keys: Keys
) -> None:
    """Each run publishes one package, so that there are as many as can be."""
    count = int(os.environ.get("STAGING_TEST_UPDATES", "1000"))
    troubled = troubled_updates(apt, keys, count=count, packages=500, batch=1)
    assert troubled.failed == []
    assert troubled.published >= FOR_EACH * count
    holds_what_was_decided(troubled)
