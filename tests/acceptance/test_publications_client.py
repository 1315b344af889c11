"""The client and the command line against the running publisher."""

import json
from pathlib import Path

import pytest

from staging_api.cli import main
from staging_api.client import StagingClient
from staging_api.errors import Conflict, NotFound, PackageInvalid, Unavailable
from tests.apt import Apt
from tests.apt_archive_api import AptArchiveApi
from tests.buckets import bucket
from tests.packages import control_text, deb
from tests.service import Client


def package(folder: Path, name: str, version: str = "1.0-1") -> Path:
    path = folder / f"{name}_{version}_amd64.deb"
    path.write_bytes(deb(control_text(name, version)))
    return path


def test_a_program_makes_fills_and_publishes_an_archive(client: Client, tmp_path: Path) -> None:
    name = AptArchiveApi.make(client).name + "-by-client"
    with StagingClient(client.url) as staging:
        archives = staging.archives
        archives.create(name, [{"name": "stable"}])
        with pytest.raises(Conflict):
            archives.create(name, [])
        (upload,) = archives.upload(name, "stable", [package(tmp_path, "hello")])
        assert (upload.state, upload.package) == ("accepted", "hello")
        run = archives.publish("publish-ftpmaster", name)
        assert run.counts["published"] == 1
        assert archives.publication(run.id) == run
        assert [each.id for each in archives.publications(name, page_size=1)] == [run.id]
        bad = tmp_path / "bad.deb"
        bad.write_bytes(b"no package")
        with pytest.raises(PackageInvalid, match="not an ar archive"):
            archives.upload(name, "stable", [bad])
        with pytest.raises(NotFound):
            archives.publish("publish-distro", "nowhere")


def test_a_copy_is_written_once_and_then_only_what_changed(client: Client, tmp_path: Path) -> None:
    archive = AptArchiveApi.make(client)
    copy = tmp_path / "copy"
    with StagingClient(client.url) as staging:
        staging.archives.upload(archive.name, "stable", [package(tmp_path, "hello")])
        archive.published()
        written: list[str] = []
        staging.archives.export(archive.name, copy, on_file=written.append)
        assert written[0].startswith("pool/")
        assert written[-1] == "dists/stable/Release"
        for path in written:
            assert (copy / path).read_bytes() == archive.get(path).body
        assert staging.archives.export(archive.name, copy) == 0
        staging.archives.upload(archive.name, "stable", [package(tmp_path, "world")])
        archive.published()
        # The package, its index in two forms by name and by hash, and the Release.
        assert staging.archives.export(archive.name, copy) == 1 + 2 * 2 + 1


def test_a_copy_in_a_bucket_is_that_of_a_folder(
    client: Client, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    archive = AptArchiveApi.make(client)
    archive.upload("a.deb", deb(control_text("hello")))
    archive.published()
    with bucket("copies") as store, StagingClient(client.url) as staging:
        for name, value in store.environment.items():
            monkeypatch.setenv(name, value)
        names: list[str] = []
        staging.archives.export(archive.name, "s3://copies/tools", on_file=names.append)
        assert {name: store.get(f"tools/{name}") for name in names} == {
            name: archive.get(name).body for name in names
        }
        for name in names:
            lasts = name.startswith("pool/") or "/by-hash/" in name
            shown = "public, max-age=31536000, immutable" if lasts else "no-cache"
            assert store.cache_control(f"tools/{name}") == shown
        assert staging.archives.export(archive.name, "s3://copies/tools") == 0
        # Damaged, with the same length: noticed where the content may change.
        store.put(
            "tools/dists/stable/Release", bytes(len(archive.get("dists/stable/Release").body))
        )
        store.put("tools/dists/stable/InRelease", b"of a key that is not used any more")
        assert staging.archives.export(archive.name, "s3://copies/tools") == 1
        assert store.names("tools/dists/stable/") & {"InRelease", "Release"} == {"Release"}


def test_a_missing_bucket_is_reported_without_its_secrets(
    client: Client, monkeypatch: pytest.MonkeyPatch
) -> None:
    archive = AptArchiveApi.make(client)
    archive.upload("a.deb", deb(control_text("hello")))
    archive.published()
    with bucket("copies") as store, StagingClient(client.url) as staging:
        for name, value in store.environment.items():
            monkeypatch.setenv(name, value)
        with pytest.raises(Unavailable) as failed:
            staging.archives.export(archive.name, "s3://nowhere/tools")
    assert store.environment["AWS_SECRET_ACCESS_KEY"] not in str(failed.value)


@pytest.mark.system
def test_apt_installs_from_a_copy(client: Client, tmp_path: Path) -> None:
    archive = AptArchiveApi.make(client)
    archive.upload("a.deb", deb(control_text("hello")))
    archive.published()
    with StagingClient(client.url) as staging:
        staging.archives.export(archive.name, tmp_path / "copy")
    apt = Apt(tmp_path / "client")
    apt.use(f"file:{tmp_path / 'copy'}")
    assert apt.update().returncode == 0
    assert apt.run("install", "--yes", "hello").returncode == 0


def test_the_command_line_does_the_same(
    client: Client,
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setenv("STAGING_SERVER", client.url)
    name = AptArchiveApi.make(client).name + "-by-hand"

    def run(*arguments: str) -> tuple[int, str]:
        with pytest.raises(SystemExit) as ended:
            main(["publish", *arguments])
        return int(ended.value.code or 0), capsys.readouterr().out

    assert run("create", name, "--architecture", "amd64") == (0, f"{client.url}/archive/{name}\n")
    assert run("upload", name)[0] == 2
    assert run("upload", name, str(package(tmp_path, "hello")))[1].startswith("accepted  hello_")
    code, out = run("publish-ftpmaster", name, "--json")
    first = json.loads(out)
    assert (code, first["counts"]["published"]) == (0, 1)
    run("upload", name, str(package(tmp_path, "world")))
    assert "1 published" in run("publish-ftpmaster", name)[1]
    assert len(run("list", name)[1].splitlines()) == 2
    assert run("back", name, first["generation_id"]) == (0, f"{name} is at 3\n")
    assert run("export", name, str(tmp_path / "copy"))[1].endswith(" files written\n")
    assert run("publish-distro", "nowhere")[0] == 5


def test_upload_exits_with_4_if_a_package_was_rejected(
    client: Client, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    archive = AptArchiveApi.make(client)
    bad = tmp_path / "bad.deb"
    bad.write_bytes(b"no package")
    good = package(tmp_path, "hello", "2.0")

    def run(*arguments: object) -> tuple[object, str, str]:
        with pytest.raises(SystemExit) as ended:
            main(["publish", *map(str, arguments), "--server", client.url])
        return ended.value.code, *capsys.readouterr()

    code, printed, _ = run("upload", archive.name, bad, good)
    assert code == 4
    assert "rejected  bad.deb" in printed
    assert "accepted  hello_2.0_amd64.deb" in printed
    run("publish-ftpmaster", archive.name)
    code, _, noted = run("upload", archive.name, package(tmp_path, "hello", "1.0"))
    assert code == 0
    assert "stable has 2.0, which is newer" in noted
    _, printed, noted = run("publish-ftpmaster", archive.name)
    assert "1 superseded_at_once" in printed
    assert "published," not in printed
    assert "hello 1.0 was never offered by stable" in noted
