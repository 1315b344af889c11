"""Deliberately slow clients: their connections are closed, and other clients are served."""

import contextlib
import socket
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from staging_api.db.engine import open_database
from staging_api.locks.model import new_id
from staging_api.processes.api_worker import _STACK_BYTES
from tests.builds import FULL_PAYLOAD, build_path
from tests.databases import Migrated
from tests.rows import execute
from tests.service import API, STAGINGS, Pod, service
from tests.source import PATIENCE_SECONDS, ArchiveSource, archive_source

THREADS = 6
#: More than the kernel's buffers take from a server for a client that reads nothing.
BIG_BYTES = 16 << 20
BYTES_PER_SECOND = 8 << 20

_MANY_LOCKS = """
    INSERT INTO api_locks (id, kind, scope, caller, holder, fence,
        acquired_at, expires_at, ended_at, outcome)
    SELECT substr(:id, 1, 20) || lpad(n::text, 6, '0'), 'archive', repeat('x', 400), 'slow', 'slow',
        n, now(), now(), now(), 'released' FROM generate_series(1, 1000) n
"""


@pytest.fixture(scope="module")
def source() -> Iterator[ArchiveSource]:
    with archive_source() as found:
        yield found


@pytest.fixture(scope="module")
def module_url(migrated: Migrated) -> Iterator[str]:
    """Yield a database for this module, whose store is not the one of neighbouring tests."""
    with migrated() as url:
        yield url


@pytest.fixture(scope="module")
def pod(
    module_url: str, source: ArchiveSource, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Pod]:
    """Yield a pod with few threads and short time limits for clients."""
    given = {"threads": str(THREADS), "waiters": "1", "client_seconds": "1"}
    given["client_bytes_per_second"] = str(BYTES_PER_SECOND)
    folder = tmp_path_factory.mktemp("slow")
    with service(folder, module_url, f"{source.url}/", **given) as pods:
        yield pods.api()[0]


@pytest.fixture(scope="module")
def big_file(pod: Pod, source: ArchiveSource) -> str:
    """Return the path of a staged file that is larger than any socket's buffer."""
    path = build_path()
    archive = source.add(path, {FULL_PAYLOAD: bytes(BIG_BYTES), "UPLOADED": FULL_PAYLOAD.encode()})
    assert pod.client.stage(archive, "full_payload").status == 201
    return f"/static/{path}/update.gz"


@pytest.fixture(scope="module")
def big_list(pod: Pod, module_url: str) -> str:
    """Return the path of a list page of half a megabyte."""
    with contextlib.closing(open_database(module_url, 1)) as database:
        execute(database, _MANY_LOCKS, id=new_id())
    path = f"{API}/locks?state=all&limit=1000"
    assert len(pod.client.get(path).body) > 500_000
    return path


def connected(pod: Pod, text: str) -> socket.socket:
    host, port = pod.url.removeprefix("http://").split(":")
    client = socket.socket()
    client.settimeout(PATIENCE_SECONDS)
    client.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)  # small buffer
    client.connect((host, int(port)))
    client.sendall(text.encode())
    return client


def asked(pod: Pod, path: str) -> socket.socket:
    return connected(pod, f"GET {path} HTTP/1.1\r\nHost: 127.0.0.1\r\n\r\n")


def trickle(client: socket.socket) -> None:
    """Send a byte at intervals until the other side closes; fail if it never does."""
    deadline = time.monotonic() + PATIENCE_SECONDS
    with client, pytest.raises(ConnectionError):
        while time.monotonic() < deadline:
            client.sendall(b"a")
            time.sleep(0.1)


def test_a_head_that_comes_byte_by_byte_is_cut_off(pod: Pod):
    trickle(connected(pod, "GET /livez HTTP/1.1\r\nHost: 127.0.0.1\r\nX-Slow: "))


def test_a_body_that_comes_byte_by_byte_is_cut_off(pod: Pod):
    head = f"POST {STAGINGS} HTTP/1.1\r\nHost: 127.0.0.1\r\nContent-Type: application/json\r\n"
    trickle(connected(pod, f"{head}Content-Length: 2000\r\n\r\n{{"))


def test_a_body_that_stops_is_cut_off(pod: Pod):
    head = f"POST {STAGINGS} HTTP/1.1\r\nHost: 127.0.0.1\r\nContent-Type: application/json\r\n"
    with connected(pod, f"{head}Content-Length: 2000\r\n\r\n{{") as client:
        while client.recv(4096):
            pass


def test_others_are_served_while_as_many_as_there_are_threads_are_slow(pod: Pod):
    slow = [connected(pod, "GET / HTTP/1.1\r\nX-Slow: ") for _ in range(THREADS)]
    assert pod.client.get("/livez").status == 200
    for client in slow:
        client.close()


@pytest.mark.parametrize("answer", ["big_file", "big_list"])
def test_others_are_served_while_as_many_as_there_are_threads_stop_reading(
    pod: Pod, answer: str, request: pytest.FixtureRequest
):
    path = request.getfixturevalue(answer)
    slow = [asked(pod, path) for _ in range(THREADS)]
    assert all(client.recv(12) == b"HTTP/1.1 200" for client in slow), "an answer did not begin"
    assert pod.client.get("/livez").status == 200
    for client in slow:
        client.close()


def test_an_answer_that_is_taken_too_slowly_is_cut_off(pod: Pod, big_file: str):
    """Each chunk is read in time, so that the kernel reports no timeout."""
    taken = 0
    with asked(pod, big_file) as client, contextlib.suppress(ConnectionError):
        while part := client.recv(16 << 10):
            taken += len(part)
            time.sleep(0.01)
    assert taken < BIG_BYTES


def test_an_answer_that_is_taken_in_time_is_whole(pod: Pod, big_file: str):
    assert len(pod.client.get(big_file).body) == BIG_BYTES


def test_a_request_in_two_pieces_is_served(pod: Pod):
    with connected(pod, "GET /livez HTTP/1.1\r\nHo") as client:
        client.sendall(b"st: 127.0.0.1\r\nConnection: close\r\n\r\n")
        assert client.recv(4096).startswith(b"HTTP/1.1 200")


def test_a_request_that_is_too_long_is_answered_as_a_problem(pod: Pod):
    answers = [pod.client.get(f"/static/{'x' * 5000}"), pod.client.get("/livez", X="y" * 20_000)]
    assert [answer.problem for answer in answers] == [
        (414, "invalid_request"),
        (431, "invalid_request"),
    ]


@pytest.mark.parametrize("path", ["/livez", "/readyz", "/metrics", "/livez?again"])
def test_the_answer_of_a_probe_is_the_last_of_its_connection(pod: Pod, path: str):
    """Otherwise the probes' only thread could wait for a client that does not read."""
    with asked(pod, path) as client:
        assert b"connection: close" in answer_of(client).lower()
        while client.recv(65536):
            pass


@pytest.mark.parametrize(("size", "ends"), [(0, False), (32 << 10, False), ((32 << 10) + 1, True)])
def test_a_body_of_more_than_32_kib_is_the_last_of_its_connection(pod: Pod, size: int, ends: bool):
    head = f"POST /nothing HTTP/1.1\r\nHost: 127.0.0.1\r\nContent-Length: {size}\r\n\r\n"
    with connected(pod, head + "x" * size) as client:
        assert (b"connection: close" in answer_of(client).lower()) == ends


def test_the_threads_of_requests_have_less_than_a_huge_page_each(pod: Pod):
    parent = pod.process.pid
    (child,) = Path(f"/proc/{parent}/task/{parent}/children").read_text().split()
    spans = [line.split()[:2] for line in Path(f"/proc/{child}/maps").read_text().splitlines()]
    written = [span.split("-") for span, may in spans if may == "rw-p"]
    assert [int(end, 16) - int(at, 16) for at, end in written].count(_STACK_BYTES) >= THREADS


def answer_of(client: socket.socket) -> bytes:
    """Return the head of a response, and the bytes that arrived with it."""
    answer = b""
    while b"\r\n\r\n" not in answer:
        part = client.recv(65536)
        assert part, answer
        answer += part
    return answer
