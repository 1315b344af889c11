"""Real apt after faults of an archive: every file that its indices name still exists."""

import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

from staging_api.client import StagingClient
from staging_api.db.engine import Database
from tests.apt import Apt
from tests.apt_archive_api import AptArchiveApi
from tests.publisher import time_passes
from tests.rows import execute
from tests.service import API, Client, eventually
from tests.troubled_archive import JSON, delete, send_source, small, succeeds
from tests.two_keys import Keys, two_keys

pytestmark = pytest.mark.system


@pytest.fixture
def apt(tmp_path: Path) -> Apt:
    return Apt(tmp_path / "client")


@pytest.fixture
def archive(client: Client) -> AptArchiveApi:
    return AptArchiveApi.make(client)


def go_back(archive: AptArchiveApi, generation: str) -> None:
    body = f'{{"generation_id": "{generation}"}}'.encode()
    path = f"{API}/distributions/{archive.name}"
    assert archive.client.send("PATCH", path, body, JSON).status == 200


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


def test_a_suite_that_lost_a_component_or_all_of_its_packages_offers_the_newest_that_it_has(
    apt: Apt, archive: AptArchiveApi
) -> None:
    archive.upload("a.deb", small("hello", "2.0"), component="contrib")
    archive.published()
    body = b'{"components": ["main"]}'
    assert archive.client.send("PATCH", f"{archive.path}/suites/stable", body, JSON).status == 200
    archive.upload("b.deb", small("hello", "1.5"))
    archive.published()
    apt.use(archive.url)
    line = apt.home / "etc/apt/sources.list"
    line.write_text(line.read_text().replace("main contrib", "main"))
    succeeds(apt.update())
    assert "hello_1.5_amd64" in succeeds(apt.run("install", "--yes", "--print-uris", "hello"))
    delete(archive, "hello")
    archive.published()
    succeeds(apt.update())
    assert apt.names() == []
    archive.upload("c.deb", small("hello", "1.6"))
    archive.published()
    succeeds(apt.update())
    succeeds(apt.run("install", "--yes", "hello"))


class _KilledError(Exception):
    """The death of a process during an export."""


def test_a_copy_is_whole_after_an_export_that_died_between_any_two_files(
    apt: Apt, keys: Keys, tmp_path: Path
) -> None:
    (pod,) = keys.services[0].api()
    archive, copy = AptArchiveApi.make(pod.client), tmp_path / "copy"
    apt.use(f"file:{copy}", options=keys.trust(apt, 0))
    with StagingClient(pod.client.url) as staging:
        for version in ("1.0", "2.0"):
            archive.upload("a.deb", small("hello", version))
            archive.published()
            if version == "1.0":
                staging.archives.export(archive.name, copy)
        seen: list[str] = []

        def die(path: str) -> None:
            seen.append(path)
            raise _KilledError

        for _ in range(50):
            try:
                staging.archives.export(archive.name, copy, on_file=die)
            except _KilledError:
                succeeds(apt.update())
                succeeds(apt.run("download", "hello"))
            else:
                break
    assert {path.rpartition("/")[2] for path in seen} >= {"Release", "Release.gpg", "InRelease"}
    assert (apt.home / "hello_2.0_amd64.deb").is_file()


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


@pytest.fixture
def keys(own_url: str, tmp_path: Path) -> Iterator[Keys]:
    with two_keys(own_url, tmp_path) as made:
        yield made


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
