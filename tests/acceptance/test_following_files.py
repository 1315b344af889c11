"""Readers of a file that is being staged: they receive bytes as they arrive, or are cut off."""

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
import urllib3

from tests.builds import FULL_PAYLOAD, build, build_path
from tests.service import Client, Pod, service
from tests.source import PATIENCE_SECONDS, ArchiveSource, Stop, Trick

SIZE = 1_500_000
#: Slow enough to query its progress several times before a test stops the transfer.
BYTES_PER_SECOND = 600_000.0
STOP_AT = 900_000


class Reader:
    """A GET whose body is read as it arrives."""

    def __init__(self, answer: urllib3.BaseHTTPResponse) -> None:
        self.answer = answer
        self.body = b""

    def read_until(self, count: int) -> None:
        """Read until `count` bytes have arrived in total; fail if they do not."""
        while len(self.body) < count:
            chunk = self.answer.read(4096)
            assert chunk, f"it ended after {len(self.body)} bytes"
            self.body += chunk

    def read_to_the_end(self) -> bytes:
        """Read the rest; the body must end completely."""
        self.body += self.answer.read()
        return self.body

    def read_to_the_cut(self) -> bytes:
        """Read the rest; the body must be cut off, and not look complete."""
        with pytest.raises(urllib3.exceptions.ProtocolError):
            while True:
                chunk = self.answer.read(4096)
                assert chunk, "it looks complete"
                self.body += chunk
        return self.body


@contextmanager
def following(pod: Pod, path: str) -> Iterator[Reader]:
    """Follow a file of a pod."""
    pool = urllib3.PoolManager(retries=False, timeout=urllib3.Timeout(PATIENCE_SECONDS))
    answer = pool.request("GET", f"{pod.url}/static/{path}?follow=true", preload_content=False)
    try:
        assert answer.status == 200, answer.read()
        yield Reader(answer)
    finally:
        answer.close()


class Slow:
    """A build whose payload is sent slowly, with a pause."""

    def __init__(self, source: ArchiveSource) -> None:
        self.path = build_path()
        objects = build(self.path, payload_bytes=SIZE)
        self.content = objects[FULL_PAYLOAD]
        self.url = source.add(self.path, objects)
        self.file = f"{self.path}/update.gz"
        self.stop = Stop(STOP_AT)
        source.play(
            self.url, FULL_PAYLOAD, Trick(stop=self.stop, bytes_per_second=BYTES_PER_SECOND)
        )

    def begin(self, client: Client) -> str:
        """Start staging the build; return the path of the staging."""
        answer = client.stage(self.url, "full_payload", Prefer="respond-async")
        assert answer.status == 202
        return answer.headers["Location"]


@pytest.fixture
def slow(source: ArchiveSource) -> Iterator[Slow]:
    made = Slow(source)
    yield made
    made.stop.release()


def test_a_reader_gets_the_bytes_before_they_are_all_there_from_any_pod(
    pods: list[Pod], slow: Slow
) -> None:
    slow.begin(pods[0].client)
    with following(pods[0], slow.file) as one, following(pods[1], slow.file) as other:
        for reader in (one, other):
            reader.read_until(100_000)
            assert reader.answer.headers["Content-Length"] == str(SIZE)
            assert reader.answer.headers["Accept-Ranges"] == "none"
            assert "ETag" not in reader.answer.headers
        slow.stop.wait_until_reached()
        slow.stop.release()
        assert one.read_to_the_end() == other.read_to_the_end() == slow.content


def test_a_large_file_that_comes_over_several_connections_is_followed_in_order(
    pods: list[Pod], source: ArchiveSource
) -> None:
    path = build_path()
    objects = build(path, payload_bytes=18 << 20)
    url = source.add(path, objects)
    for _ in range(30):  # the maximum number of connections
        source.play(url, FULL_PAYLOAD, Trick(bytes_per_second=3e6))
    pods[0].client.stage(url, "full_payload", Prefer="respond-async")
    with following(pods[1], f"{path}/update.gz") as reader:
        assert reader.read_to_the_end() == objects[FULL_PAYLOAD]


def test_a_cancelled_staging_cuts_its_readers_off(pods: list[Pod], slow: Slow) -> None:
    location = slow.begin(pods[0].client)
    with following(pods[1], slow.file) as reader:
        reader.read_until(100_000)
        assert pods[0].client.delete(location).status == 202
        slow.stop.release()
        body = reader.read_to_the_cut()
    assert len(body) < SIZE
    assert slow.content.startswith(body)
    assert pods[1].client.get(f"/static/{slow.file}?follow=true").problem == (404, "not_found")


def test_a_reader_goes_on_when_another_worker_takes_over(
    own_url: str, source: ArchiveSource, tmp_path: Path, slow: Slow
) -> None:
    with service(tmp_path, own_url, f"{source.url}/") as own:
        (pod,) = own.api()
        worker = own.worker()
        slow.begin(pod.client)
        with following(pod, slow.file) as reader:
            reader.read_until(100_000)
            worker.kill()
            own.worker()
            assert reader.read_to_the_end() == slow.content
