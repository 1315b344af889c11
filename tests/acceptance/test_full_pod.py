"""A pod at the limit of its work, and clients that occupy its connections without need."""

import errno
import socket
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack
from pathlib import Path

import pytest
import urllib3

from tests.builds import FULL_PAYLOAD, build, build_path
from tests.service import Client, Pod, Service, eventually, free_port, service
from tests.source import PATIENCE_SECONDS, ArchiveSource, Stop

THREADS = 4
HALF_HEADS = 300
#: More bytes than the kernel buffers for a client that reads nothing.
BIG_BYTES = 16 << 20
PROBES = ("/livez", "/readyz", "/metrics")


@pytest.fixture
def probes_port() -> int:
    return free_port()


@pytest.fixture
def pods(
    own_url: str, source: ArchiveSource, tmp_path: Path, probes_port: int
) -> Iterator[Service]:
    """A service with few threads."""
    given = {"threads": str(THREADS), "waiters": "2", "probes_bind": f"127.0.0.1:{probes_port}"}
    with service(tmp_path, own_url, f"{source.url}/", shutdown_seconds="60", **given) as found:
        yield found


def connected(pod: Pod, text: str) -> socket.socket:
    host, port = pod.url.removeprefix("http://").split(":")
    client = socket.socket()
    client.settimeout(PATIENCE_SECONDS)
    client.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)  # small receive buffer
    client.connect((host, int(port)))
    client.sendall(text.encode())
    return client


def held_builds(source: ArchiveSource, count: int) -> tuple[list[str], list[Stop]]:
    """Return builds whose payload stops until it is released."""
    urls = [source.add(build_path(), build(str(number))) for number in range(count)]
    return urls, [source.hold(url, FULL_PAYLOAD, after_bytes=1000) for url in urls]


def check_probes(*addresses: Client) -> None:
    for address in addresses:
        for path in PROBES:
            assert address.get(path).status == 200, f"{address.url}{path}"


def test_probes_answer_while_every_thread_works_and_connections_are_taken_for_nothing(
    pods: Service, source: ArchiveSource, probes_port: int
) -> None:
    (pod,) = pods.api()
    path = build_path()
    archive = source.add(path, {FULL_PAYLOAD: bytes(BIG_BYTES), "UPLOADED": FULL_PAYLOAD.encode()})
    assert pod.client.stage(archive, "full_payload").status == 201
    urls, held = held_builds(source, 2 * THREADS)
    with ExitStack() as clients, ThreadPoolExecutor(len(urls)) as pool:
        for _ in range(2 * THREADS):
            text = f"GET /static/{path}/update.gz HTTP/1.1\r\nHost: 127.0.0.1\r\n\r\n"
            reader = clients.enter_context(connected(pod, text))
            assert reader.recv(12) == b"HTTP/1.1 200", "the answer did not begin"
        for _ in range(HALF_HEADS):
            clients.enter_context(connected(pod, "GET /livez HTTP/1.1\r\nX-Slow: "))
        asked = [pool.submit(pod.client.stage, url, "full_payload") for url in urls]
        eventually(
            lambda: sum(one.reached.is_set() for one in held) >= THREADS // 2, "nothing is staged"
        )
        check_probes(pod.client, Client(f"http://127.0.0.1:{probes_port}"))
        for one in held:
            one.release()
        assert {one.result().status for one in asked} <= {201, 503}


def test_the_address_of_the_probes_serves_nothing_else(pods: Service, probes_port: int) -> None:
    pods.api()
    for path in ("/api/v1.0/stagings", "/download", "/", "/livez/x"):
        found = urllib3.request("GET", f"http://127.0.0.1:{probes_port}{path}")
        assert found.status == 404


def test_new_connections_are_refused_at_once_when_a_pod_ends(
    pods: Service, source: ArchiveSource, probes_port: int
) -> None:
    (pod,) = pods.api()
    (url,), (held,) = held_builds(source, 1)
    with ThreadPoolExecutor(1) as pool, connected(pod, "GET /livez HTTP/1.1\r\n") as half:
        asked = pool.submit(pod.client.stage, url, "full_payload")
        held.wait_until_reached()
        pod.process.terminate()
        eventually(lambda: is_refused(pod), "it keeps listening")
        assert not asked.done()
        assert Client(f"http://127.0.0.1:{probes_port}").get("/livez").status == 200
        # A running request is still served; then its connection is closed.
        half.sendall(b"Host: 127.0.0.1\r\n\r\n")
        assert half.recv(4096).startswith(b"HTTP/1.1 200")
        held.release()
        assert asked.result().status == 201
    assert pod.process.wait(60) == 0


def is_refused(pod: Pod) -> bool:
    host, port = pod.url.removeprefix("http://").split(":")
    with socket.socket() as client:
        return client.connect_ex((host, int(port))) == errno.ECONNREFUSED


def test_a_head_in_two_pieces_on_a_kept_connection_is_served(pods: Service) -> None:
    (pod,) = pods.api()
    with connected(pod, "GET /openapi.json HTTP/1.1\r\nHost: 127.0.0.1\r\n\r\n") as client:
        assert b"200 OK" in client.recv(4096)
        client.sendall(b"GET /nothing HTTP/1.1\r\nHo")
        client.sendall(b"st: 127.0.0.1\r\n\r\nGET /livez HTTP/1.1\r\nHost: 127.0.0.1\r\n\r\n")
        received = b""
        while part := client.recv(65536):
            received += part
    assert received.count(b"HTTP/1.1 404") == 1
    assert received.count(b'{"status": "live"}') == 1
