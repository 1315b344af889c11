"""kill -9 at every step of every way of unpacking, and what the next attempt makes of it."""

import gzip
import hashlib
import random
import signal
import subprocess
import sys
import zipfile
from pathlib import Path

import pytest

from staging_api.artifacts.parts import PART_BYTES
from staging_api.artifacts.store import BlobStore
from staging_api.sources import open_archive
from staging_api.sources.allowlist import AllowList
from staging_api.sources.url import parse
from staging_api.staging import engine
from tests.archives import tar_of, zip_of
from tests.http_server import http_server
from tests.integration.engine_kinds import KINDS

BODY = random.Random(7).randbytes(2 * PART_BYTES + 999_999)
MANY_STEPS = 40
#: What the server sent and a killed client never read: it lay in the kernel's socket buffers.
#: Besides that, the manifest and a zip's directory are read by each attempt.
UNREAD_BYTES = int(Path("/proc/sys/net/ipv4/tcp_rmem").read_text().split()[2]) + (1 << 20)
FILES = {
    "plain": {"payload.bin": BODY},
    "tar": {"d/big.bin": BODY, "d/small.txt": b"small", "d/other.txt": b"other"},
    "zip": {"wanted.bin": BODY},
}


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


def child(server, folder, name, step):
    """Run a process that dies at a step; give its exit code."""
    command = [sys.executable, "-m", "tests.integration.engine_child"]
    address = f"{server.url}/board/R17"
    ended = subprocess.run([*command, address, folder, name, str(step)], check=False, timeout=60)
    return ended.returncode


def fetch(server, store, name):
    url = parse(f"{server.url}/board/R17")
    source = open_archive(url, AllowList.parse(server.url))
    try:
        fetched = engine.fetch(KINDS[name], source, url.build, store)
    finally:
        source.close()
    assert fetched is not None
    return fetched


def body_bytes_sent(server):
    return sum(each.sent_bytes for each in server.requests if each.method == "GET")


def needed_bytes(server, name):
    return len(BODY) if name == "zip" else len(server.objects[f"/board/R17/{OBJECT[name]}"])


OBJECT = {"plain": "payload.bin", "tar": "debug.tgz", "zip": "image.zip"}


@pytest.mark.parametrize("name", KINDS)
def test_whatever_the_step_the_next_attempt_finishes_and_fetches_little_again(
    server, tmp_path, name
):
    for step in range(1, MANY_STEPS):
        server.requests.clear()
        store = BlobStore(tmp_path / str(step))
        code = child(server, str(tmp_path / str(step)), name, step)
        if code == 0:
            break
        assert code == -signal.SIGKILL
        every_name_means_its_bytes(store)
        fetched = fetch(server, store, name)
        contents = {file.path: file.sha256 for file in fetched.files}
        expected = {path: hashlib.sha256(data).hexdigest() for path, data in FILES[name].items()}
        assert contents == expected
        every_name_means_its_bytes(store)
        again = body_bytes_sent(server) - needed_bytes(server, name)
        assert again <= PART_BYTES + UNREAD_BYTES
        engine.forget(fetched, store)
        store.sweep(older_than_seconds=-1)
        left = {path.name for path in (tmp_path / str(step)).iterdir() if any(path.iterdir())}
        assert left == {"sha256"}
    else:
        raise AssertionError("the process never came to its end")
    assert step > 7


def every_name_means_its_bytes(store):
    for blob, _ in store.blobs():
        with store.open(blob.sha256) as file:
            assert hashlib.file_digest(file, "sha256").hexdigest() == blob.sha256
