"""Commands of docs/tutorials/projects.md, as printed, on projects other than Chromium OS.

Differences from the page: the hosts are local, and `serve` is the service in this process.
"""

import json
import re
import threading
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from functools import partial
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from wsgiref.simple_server import make_server

import pytest

from staging_api.cli import main
from staging_api.db.engine import Database
from staging_api.processes.application import api_of
from staging_api.processes.bootstrap import build
from staging_api.settings import Settings
from tests.builds import zipped
from tests.conformance import places
from tests.serving import Quiet, Server

PAGE = Path(__file__).parents[2] / "docs" / "tutorials" / "projects.md"
IMAGES = {"boot.img": b"boot", "system.img": b"system" * 1000, "android-info.txt": b"board=x"}
OBJECTS: Mapping[str, Mapping[str, bytes]] = {
    "tool/v1.2": {
        "tool-1.2-linux.tar.gz": b"linux",
        "tool-1.2-windows.zip": b"windows",
        "SHA256SUMS": b"digests",
        "SHA256SUMS.asc": b"signature",
    },
    "phone/123": {
        "phone-img-123.zip": zipped(IMAGES),
        "bootloader.img": b"loader",
        "phone-ota-123.zip": b"not wanted",
    },
    "app/2026-11-29": {
        "manifest.json": json.dumps({"files": ["app.apk", "deep/symbols.zip", "log.txt"]}).encode(),
        "app.apk": b"app",
        "deep/symbols.zip": b"symbols",
        "log.txt": b"log",
        "unlisted": b"",
    },
}


class Pages(SimpleHTTPRequestHandler):
    """A web server that lists its folders."""

    def log_message(self, *_: object) -> None:
        pass


class NoPages(Pages):
    """A web server that does not list its folders."""

    def list_directory(self, path: object) -> None:
        self.send_error(404)


@contextmanager
def web(folder: Path, handler: type[Pages], path: str) -> Iterator[str]:
    """Serve a project's folder, and yield its address."""
    for name, content in OBJECTS[path].items():
        file = folder / path / name
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_bytes(content)
    serve = partial(handler, directory=str(folder))
    server = ThreadingHTTPServer(("127.0.0.1", 0), serve)
    thread = threading.Thread(target=server.serve_forever, args=(0.01,))
    thread.start()
    try:
        yield f"http://127.0.0.1:{server.server_port}/"
    finally:
        server.shutdown()
        server.server_close()
        thread.join()


def commands(heading: str) -> list[tuple[str, str]]:
    """Return the commands of a section, each with the output that the page shows."""
    section = PAGE.read_text().split(f"\n## {heading}\n")[1].split("\n## ")[0]
    (block,) = re.findall(r"^```console\n(.*?)^```$", section, re.DOTALL | re.MULTILINE)
    pairs = [entry.partition("\n") for entry in re.split(r"^\$ ", block, flags=re.MULTILINE)[1:]]
    return [(command, shown.strip()) for command, _, shown in pairs]


@contextmanager
def as_served(setting: str, database_url: str, folder: Path, **more: str) -> Iterator[str]:
    """Yield the service that `serve` would start with these variables."""
    given = dict(word.split("=", 1) for word in setting.split()[1:])
    settings = Settings.from_env(
        database_url=database_url,
        store=f"file://{folder}/store",
        sources=given["STAGING_SOURCES"],
        catalogue=given["STAGING_CATALOGUE"],
        **more,
    )
    services = build(settings)
    server = make_server("127.0.0.1", 0, api_of(services), Server, Quiet)
    thread = threading.Thread(target=server.serve_forever, args=(0.01,))
    thread.start()
    try:
        yield f"http://127.0.0.1:{server.server_port}"
    finally:
        server.shutdown()
        server.server_close()
        thread.join()
        services.close()


@pytest.fixture(autouse=True)
def _in_a_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, database: Database) -> None:
    assert database
    monkeypatch.chdir(tmp_path)


def run(
    command: str, shown: str, capsys: pytest.CaptureFixture[str], service: str, **places: str
) -> None:
    """Run one command of the page, and assert that the output shown there appears."""
    program, *arguments = command.split()
    assert program == "staging-api"
    for known, local in places.items():
        arguments = [word.replace(known, local) for word in arguments]
    with pytest.raises(SystemExit) as ended:
        main([*arguments, "--server", service])
    out = capsys.readouterr().out.strip()
    assert not ended.value.code
    pattern = ".*".join(map(re.escape, shown.split("...")))
    assert re.fullmatch(pattern, out, re.DOTALL), out


def contents(folder: str) -> dict[str, bytes]:
    """Return the files of a folder by path, without the client's own files."""
    return {
        str(path.relative_to(folder)): path.read_bytes()
        for path in Path(folder).rglob("*")
        if path.is_file() and ".staging-api" not in path.parts
    }


def test_a_release_folder_with_digests_and_a_signature(
    database_url: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    setting, serve, (get, shown) = (pair for pair in commands("A release folder"))
    assert serve[0] == "staging-api serve &"
    known = "https://downloads.example.org/"
    with web(tmp_path / "web", Pages, "tool/v1.2") as local:
        with as_served(setting[0].replace(known, local), database_url, tmp_path) as service:
            run(get, shown, capsys, service, **{known: local})
    assert contents("tool") == OBJECTS["tool/v1.2"]


def test_a_bucket_with_images_in_a_zip(
    database_url: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    setting, _, (get, shown) = commands("A bucket with images in a zip")
    known, local = "gs://phone-builds/", "gs://conformance/"
    with places.gcs() as bucket:
        for name, content in OBJECTS["phone/123"].items():
            bucket.put(f"phone/123/{name}", content)
        more = {
            "sources_gs_endpoint": bucket.options.buckets["gs"]["endpoint"],
            "sources_anonymous": bucket.root,
        }
        with as_served(setting[0].replace(known, local), database_url, tmp_path, **more) as service:
            run(get, shown, capsys, service, **{known: local})
    assert contents("phone") == {**IMAGES, "bootloader.img": b"loader"}


def test_nightly_builds_with_a_manifest_and_a_second_get(
    database_url: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    setting, _, (get, shown) = commands("Nightly builds with a manifest")
    ((again, shown_again),) = commands("Again")
    known = "https://nightlies.example.org/"
    with web(tmp_path / "web", NoPages, "app/2026-11-29") as local:
        with as_served(setting[0].replace(known, local), database_url, tmp_path) as service:
            run(get, shown, capsys, service, **{known: local})
            run(again, shown_again, capsys, service, **{known: local})
    wanted = dict(OBJECTS["app/2026-11-29"])
    del wanted["unlisted"]
    assert contents("nightly") == wanted
