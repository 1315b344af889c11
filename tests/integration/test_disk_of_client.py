"""Disk errors of the client: one exception class for every call, but callbacks raise their own."""

import hashlib
import resource
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler
from pathlib import Path
from typing import Any

import pytest

from staging_api.client import StagingClient
from staging_api.client.copies import CopiedFile, copy_at
from staging_api.errors import DiskFailed
from tests import scripted_service
from tests.scripted_service import Seen, Step

BODY = b"x" * 300_000
DIGEST = hashlib.sha256(BODY).hexdigest()


def script(_seen: Seen) -> Step:
    def step(handler: BaseHTTPRequestHandler) -> None:
        handler.send_response(200)
        handler.send_header("ETag", f'"{DIGEST}"')
        handler.send_header("Content-Length", str(len(BODY)))
        handler.end_headers()
        if handler.command == "GET":
            handler.wfile.write(BODY)

    return step


@pytest.fixture
def client() -> Iterator[StagingClient]:
    with (
        scripted_service.service(script) as service,
        StagingClient(service.url, timeout=10) as made,
    ):
        yield made


@contextmanager
def small_disk(most_bytes: int) -> Iterator[None]:
    before = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (most_bytes, before[1]))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, before)


def test_a_download_that_finds_no_space_names_its_file(
    client: StagingClient, tmp_path: Path
) -> None:
    with small_disk(100_000), pytest.raises(DiskFailed, match=r"a\.bin: File too large"):
        client.download("b/a.bin", tmp_path / "a.bin", timeout=10)
    assert client.download("b/a.bin", tmp_path / "a.bin", timeout=10).read_bytes() == BODY


def test_a_download_whose_folder_cannot_be_made_says_so(
    client: StagingClient, tmp_path: Path
) -> None:
    (tmp_path / "file").write_bytes(b"")
    with pytest.raises(DiskFailed, match="file: File exists"):
        client.download("b/a.bin", tmp_path / "file" / "a.bin", timeout=10)
    (tmp_path / "folder").mkdir()
    with pytest.raises(DiskFailed, match="folder: Is a directory"):
        client.download("b/a.bin", tmp_path / "folder", timeout=10)


def test_an_error_of_a_callback_is_no_error_of_the_disk(
    client: StagingClient, tmp_path: Path
) -> None:
    def broken(_done: int, _total: int) -> None:
        raise BrokenPipeError

    with pytest.raises(BrokenPipeError):
        client.download("b/a.bin", tmp_path / "a.bin", timeout=10, on_bytes=broken)


def test_a_package_that_cannot_be_read_is_an_error_of_the_disk(
    client: StagingClient, tmp_path: Path
) -> None:
    with pytest.raises(DiskFailed, match=r"away\.deb: No such file"):
        client.archives.upload("tools", "stable", [tmp_path / "away.deb"])


def test_a_package_that_is_away_once_it_is_sent_is_not_sent_again(
    client: StagingClient, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    package = tmp_path / "a.deb"
    package.write_bytes(b"x")
    opened = Path.open

    def away(path: Path, *given: Any) -> Any:
        if path == package:
            package.unlink()
        return opened(path, *given)

    monkeypatch.setattr(Path, "open", away)
    with pytest.raises(DiskFailed, match=r"a\.deb: No such file"):
        client.archives.upload("tools", "stable", [package])


def test_a_copy_on_a_disk_that_refuses_is_an_error_of_the_disk(tmp_path: Path) -> None:
    (tmp_path / "pool").write_bytes(b"")
    folder = copy_at(tmp_path)
    (tmp_path / "a").mkdir()
    with pytest.raises(DiskFailed, match="a: "):
        folder.drop("a")
    assert not folder.has(CopiedFile("pool/x", DIGEST, 1))
