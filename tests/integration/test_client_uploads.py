"""Package uploads of the client: streamed from disk, and repeated after a failure."""

import hashlib
import tracemalloc
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from threading import Thread
from typing import Any

import pytest
import urllib3

from staging_api.client import StagingClient
from staging_api.client.file_forms import FileForm
from staging_api.errors import Invalid

MEGABYTE = 1 << 20
CREATED = b'{"items": [], "next": null}'


@dataclass
class Sink:
    """A service that reads and discards bodies; its first responses can be `busy`."""

    refusals: int = 0
    digests: list[str] = field(default_factory=list)
    lengths: list[int] = field(default_factory=list)
    url: str = ""


@contextmanager
def sink(refusals: int = 0) -> Iterator[Sink]:
    made = Sink(refusals)

    class Reading(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def do_POST(self) -> None:
            left, digest = int(self.headers["Content-Length"]), hashlib.sha256()
            made.lengths.append(left)
            while left:
                chunk = self.rfile.read(min(left, 64 << 10))
                digest.update(chunk)
                left -= len(chunk)
            made.digests.append(digest.hexdigest())
            busy = len(made.digests) <= made.refusals
            body = b'{"code": "unavailable", "title": "busy", "status": 503}' if busy else CREATED
            self.send_response(503 if busy else 201)
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

        def log_message(self, *_: Any) -> None:
            pass

    server = ThreadingHTTPServer(("127.0.0.1", 0), Reading)
    made.url = f"http://127.0.0.1:{server.server_port}"
    thread = Thread(target=server.serve_forever, args=(0.01,))
    thread.start()
    try:
        yield made
    finally:
        server.shutdown()
        server.server_close()
        thread.join()


def big_file(folder: Path, size: int) -> Path:
    path = folder / "big.deb"
    with path.open("wb") as file:
        file.truncate(size)
    return path


def test_an_upload_holds_little_of_what_it_sends(tmp_path: Path) -> None:
    path = big_file(tmp_path, 64 * MEGABYTE)
    with sink() as service, StagingClient(service.url) as staging:
        staging.archives.upload("tools", "stable", [big_file(tmp_path, 1)])  # imports, connections
        big_file(tmp_path, 64 * MEGABYTE)
        tracemalloc.start()
        try:
            staging.archives.upload("tools", "stable", [path])
            _, peak = tracemalloc.get_traced_memory()
        finally:
            tracemalloc.stop()
    assert service.lengths[1] > 64 * MEGABYTE
    assert peak < 4 * MEGABYTE


def test_an_upload_that_was_refused_is_sent_again_from_its_beginning(tmp_path: Path) -> None:
    with sink(refusals=1) as service, StagingClient(service.url) as staging:
        staging.archives.upload("tools", "stable", [big_file(tmp_path, MEGABYTE)])
    first, second = service.digests
    assert first == second


def test_the_form_is_that_of_the_http_library(tmp_path: Path) -> None:
    paths = [tmp_path / name for name in ("a.deb", 'b "quoted" ü.dsc', "empty.tar.xz")]
    for path in paths[:2]:
        path.write_bytes(path.name.encode() * 1000)
    paths[2].touch()
    form = FileForm(paths)
    media = form.headers["Content-Type"]
    fields = [("file", (path.name, path.read_bytes())) for path in paths]
    boundary = media.partition("boundary=")[2]
    expected, shown = urllib3.encode_multipart_formdata(fields, boundary)
    assert (b"".join(form), media) == (expected, shown)
    assert form.headers["Content-Length"] == str(len(expected))


def test_a_file_that_shrinks_on_its_way_is_no_upload(tmp_path: Path) -> None:
    path = big_file(tmp_path, MEGABYTE)
    form = FileForm([path])
    big_file(tmp_path, 1000)
    with pytest.raises(Invalid, match="became shorter"):
        b"".join(form)
