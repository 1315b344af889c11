"""Serving by the kernel: by nginx, which gets the path of the file, and by sendfile."""

import os
import re
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
import urllib3

from tests.builds import FULL_PAYLOAD, build, build_path
from tests.conformance.places import free_port, wait_for_port
from tests.databases import Migrated
from tests.service import Client, Pod, Service, eventually, service
from tests.source import ArchiveSource, archive_source

pytestmark = pytest.mark.system

SAMPLE = Path(__file__).parents[2] / "docs" / "nginx.conf"
SIZE = 20 << 20
OTHER = f'"{"0" * 64}"'


@pytest.fixture(scope="module")
def source() -> Iterator[ArchiveSource]:
    with archive_source() as found:
        yield found


@pytest.fixture(scope="module")
def own_url(migrated: Migrated) -> Iterator[str]:
    with migrated() as url:
        yield url


@pytest.fixture
def another_url(migrated: Migrated) -> Iterator[str]:
    """Yield a database for one test, because its store is not that of the module."""
    with migrated() as url:
        yield url


@pytest.fixture(scope="module")
def behind_nginx(
    own_url: str, source: ArchiveSource, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Service]:
    folder = tmp_path_factory.mktemp("behind")
    with service(folder, own_url, f"{source.url}/", accel_prefix="/_store/") as found:
        yield found


@pytest.fixture(scope="module")
def pod(behind_nginx: Service) -> Pod:
    (found,) = behind_nginx.api()
    return found


@contextmanager
def nginx(folder: Path, config: str, port: int) -> Iterator[None]:
    """Run nginx with this http section during the block."""
    temporary = "".join(
        f"{each}_temp_path {folder}/{each};"
        for each in ("client_body", "proxy", "fastcgi", "uwsgi", "scgi")
    )
    # As root, nginx would drop its privileges, and then could not enter the test's folder.
    user = "" if os.getuid() else "user root;"
    (folder / "nginx.conf").write_text(
        f"{user} daemon off; pid {folder}/pid; error_log {folder}/error.log; events {{}}\n"
        f"http {{ access_log off; {temporary}\n{config}\n}}"
    )
    command = ["nginx", "-c", str(folder / "nginx.conf"), "-e", str(folder / "error.log")]
    with subprocess.Popen(command) as server:
        try:
            wait_for_port(port, server)
            yield
        finally:
            server.terminate()


@pytest.fixture(scope="module")
def front(
    pod: Pod, behind_nginx: Service, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Client]:
    """Yield a client of nginx before the pod, with the documentation's configuration."""
    port = free_port()
    config = SAMPLE.read_text()
    for shown, ours in {
        "127.0.0.1:8080": pod.url.removeprefix("http://"),
        "127.0.0.1:8081": f"127.0.0.1:{port}",
        "/srv/staging/": f"{behind_nginx.store}/",
    }.items():
        assert shown in config
        config = config.replace(shown, ours)
    with nginx(tmp_path_factory.mktemp("nginx"), config, port):
        yield Client(f"http://127.0.0.1:{port}")


@pytest.fixture(scope="module")
def content() -> bytes:
    return build("served", payload_bytes=SIZE)[FULL_PAYLOAD]


@pytest.fixture(scope="module")
def url(pod: Pod, source: ArchiveSource, content: bytes) -> str:
    """Return the URL of a staged file with `content`."""
    path = build_path()
    archive = source.add(path, {FULL_PAYLOAD: content, "UPLOADED": FULL_PAYLOAD.encode()})
    assert pod.client.stage(archive, "full_payload").status == 201
    return f"/static/{path}/update.gz"


def test_the_pod_sends_no_byte_and_nginx_sends_the_file(
    pod: Pod, front: Client, url: str, content: bytes
) -> None:
    shown = pod.client.get(url)
    assert shown.body == b""
    assert re.fullmatch(
        r"/_store/sha256/[0-9a-f]{2}/[0-9a-f]{64}", shown.headers["X-Accel-Redirect"]
    )
    got = front.get(url)
    assert (got.status, got.body) == (200, content)
    assert "X-Accel-Redirect" not in got.headers


def test_the_answer_has_the_headers_of_the_service(pod: Pod, front: Client, url: str) -> None:
    direct, got = pod.client.send("HEAD", url), front.get(url)
    for name in ("ETag", "Last-Modified", "Repr-Digest", "Content-Type", "Content-Length"):
        assert got.headers[name] == direct.headers[name], name
    for name in ("Cache-Control", "Content-Security-Policy", "X-Content-Type-Options"):
        assert got.headers[name] == direct.headers[name], name
    assert got.headers["Accept-Ranges"] == "bytes"  # only once
    head = front.send("HEAD", url)
    assert (head.status, head.headers["ETag"]) == (200, direct.headers["ETag"])
    assert head.headers["Content-Length"] == str(SIZE)


def test_ranges_are_cut_by_nginx_and_only_out_of_the_same_version(
    front: Client, url: str, content: bytes
) -> None:
    etag, modified = (front.get(url).headers[name] for name in ("ETag", "Last-Modified"))
    for headers in ({}, {"If_Range": etag}, {"If_Range": modified}):
        got = front.get(url, Range="bytes=5-99", **headers)
        assert (got.status, got.body) == (206, content[5:100]), headers
        assert got.headers["Content-Range"] == f"bytes 5-99/{SIZE}"
        assert got.headers["ETag"] == etag
    assert front.get(url, Range="bytes=-7").body == content[-7:]
    other = front.get(url, Range="bytes=5-99", If_Range=OTHER)
    assert (other.status, other.body) == (200, content)
    outside = front.get(url, Range=f"bytes={SIZE}-")
    assert (outside.status, outside.headers["Content-Range"]) == (416, f"bytes */{SIZE}")


def test_nginx_answers_conditional_requests_like_the_service(front: Client, url: str) -> None:
    got = front.get(url)
    etag, modified = got.headers["ETag"], got.headers["Last-Modified"]
    old = "Sat, 01 Jan 2000 00:00:00 GMT"
    for headers, status in (
        ({"If_None_Match": etag}, 304),
        ({"If_None_Match": OTHER}, 200),
        ({"If_Match": etag}, 200),
        ({"If_Match": OTHER}, 412),
        ({"If_Modified_Since": modified}, 304),
        ({"If_Modified_Since": old}, 200),
        ({"If_Unmodified_Since": modified}, 200),
        ({"If_Unmodified_Since": old}, 412),
    ):
        answer = front.get(url, **headers)
        assert answer.status == status, headers
        assert len(answer.body) == (SIZE if status == 200 else 0), headers


def test_no_client_reads_the_store_by_its_own_path(front: Client, pod: Pod, url: str) -> None:
    inside = pod.client.get(url).headers["X-Accel-Redirect"]
    got = urllib3.request("GET", front.url + inside, retries=False)
    assert got.status == 404


def test_without_nginx_the_server_sends_by_sendfile(
    another_url: str, source: ArchiveSource, tmp_path: Path, content: bytes
) -> None:
    """Proven by system calls: reading a file into the process to write it would be slow."""
    with service(tmp_path, another_url, f"{source.url}/") as own:
        (pod,) = own.api()
        path = build_path()
        archive = source.add(path, {FULL_PAYLOAD: content, "UPLOADED": FULL_PAYLOAD.encode()})
        pod.client.stage(archive, "full_payload")
        trace = tmp_path / "trace"
        children = Path(f"/proc/{pod.process.pid}/task/{pod.process.pid}/children").read_text()
        watched = [word for pid in children.split() for word in ("-p", pid)]
        calls = "trace=sendfile,sendto"
        command = ["strace", "-f", "-qq", "-o", str(trace), "-e", calls, *watched]
        with subprocess.Popen(command, stderr=subprocess.PIPE) as strace:
            try:
                assert watched
                eventually(lambda: is_traced(children.split()[0]), "strace does not attach")
                ranged = pod.client.get(f"/static/{path}/update.gz", Range="bytes=1000000-")
            finally:
                strace.terminate()
    assert ranged.body == content[1_000_000:]
    sent = {
        name: sum(int(count) for count in re.findall(rf"{name}\(.* = (\d+)", trace.read_text()))
        for name in ("sendfile", "sendto")
    }
    assert sent["sendfile"] == SIZE - 1_000_000
    assert sent["sendto"] < 100_000


def is_traced(pid: str) -> bool:
    return "TracerPid:\t0\n" not in Path(f"/proc/{pid}/status").read_text()
