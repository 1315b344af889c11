"""kill -9 at every step of every way of unpacking, and the result of the next attempt."""

import gzip
import hashlib
import os
import random
import signal
import subprocess
import sys
import zipfile

import pytest

from staging_api.sources import open_archive
from staging_api.sources.allowlist import AllowList
from staging_api.sources.url import parse
from staging_api.staging import engine
from staging_api.staging.download import DownloadSpread
from staging_api.store.folder_store import FolderStore
from tests.archives import tar_of, zip_of
from tests.http_server import http_server
from tests.integration.engine_kinds import KINDS, OF_PARTS, PART_BYTES
from tests.stores import blobs_of

BODY = random.Random(7).randbytes(2 * PART_BYTES + 999_999)
MANY_STEPS = 40
#: Bytes that each attempt reads besides the object (the manifest, a zip's directory), plus the one
#: chunk that the process had in memory.
BESIDES_BYTES = 2 << 20
FILES = {
    "plain": {"payload.bin": BODY},
    "tar": {"d/big.bin": BODY, "d/small.txt": b"small", "d/other.txt": b"other"},
    "zip": {"wanted.bin": BODY},
}


@pytest.fixture(autouse=True)
def short_parts(monkeypatch):
    for name in OF_PARTS:
        monkeypatch.setattr(name, PART_BYTES)


@pytest.fixture(scope="module")
def server():
    members = tuple(FILES["tar"].items())
    images = zip_of(("other.bin", BODY), ("wanted.bin", BODY), method=zipfile.ZIP_STORED)
    objects = {
        "/board/R17/UPLOADED": b"payload.bin\ndebug.tgz\nimage.zip\n",
        "/board/R17/payload.bin": BODY,
        "/board/R17/debug.tgz": gzip.compress(tar_of(*members), 1),
        "/board/R17/image.zip": images,
    }
    with http_server(objects) as served:
        yield served


@pytest.fixture
def child(server, name):
    """Stage in a process that dies at a step; return its end and its number of bytes."""
    command = [sys.executable, "-m", "tests.integration.engine_child"]
    with subprocess.Popen(
        [*command, f"{server.url}/board/R17", name],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    ) as process:

        def die(folder, step):
            print(folder, step, file=process.stdin, flush=True)
            status, received = map(int, process.stdout.readline().split())  # type: ignore[union-attr]
            return os.waitstatus_to_exitcode(status), received

        yield die


def fetch(server, store, name):
    url = parse(f"{server.url}/board/R17")
    source = open_archive(url, AllowList.parse(server.url))
    try:
        # On one connection the requested ranges equal the fetched bytes.
        one = DownloadSpread(connections=1)
        fetched = engine.fetch(KINDS[name], source, url.build, store, speed=one)
    finally:
        source.close()
    assert fetched is not None
    return fetched


def requested_bytes(server, name):
    """Return the bytes of the object requested since the requests were cleared."""
    path = f"/board/R17/{OBJECT[name]}"
    whole = len(server.objects[path])
    ranges = [each.headers.get("range", "bytes=0-") for each in server.asked("GET", path)]
    bounds = [each.removeprefix("bytes=").split("-") for each in ranges]
    return sum((int(end) + 1 if end else whole) - int(start) for start, end in bounds)


def needed_bytes(server, name):
    return len(BODY) if name == "zip" else len(server.objects[f"/board/R17/{OBJECT[name]}"])


OBJECT = {"plain": "payload.bin", "tar": "debug.tgz", "zip": "image.zip"}


@pytest.mark.parametrize("name", KINDS)
def test_after_a_crash_at_any_step_the_next_attempt_finishes_and_refetches_little(
    server, child, tmp_path, name
):
    for step in range(1, MANY_STEPS):
        store = FolderStore(tmp_path / str(step))
        code, received = child(tmp_path / str(step), step)
        if code == 0:
            break
        assert code == -signal.SIGKILL
        every_name_means_its_bytes(store)
        server.requests.clear()
        fetched = fetch(server, store, name)
        contents = {file.path: file.sha256 for file in fetched.files}
        expected = {path: hashlib.sha256(data).hexdigest() for path, data in FILES[name].items()}
        assert contents == expected
        every_name_means_its_bytes(store)
        lost = received + requested_bytes(server, name) - needed_bytes(server, name)
        assert lost <= PART_BYTES + BESIDES_BYTES
        engine.forget(fetched, store)
        store.sweep(older_than_seconds=-1)
        left = {path.name for path in (tmp_path / str(step)).iterdir() if any(path.iterdir())}
        assert left == {"sha256"}
    else:
        raise AssertionError("the process never came to its end")
    assert step > 7


def every_name_means_its_bytes(store):
    for blob, _ in blobs_of(store):
        with store.open(blob.sha256) as file:
            assert hashlib.file_digest(file, "sha256").hexdigest() == blob.sha256
