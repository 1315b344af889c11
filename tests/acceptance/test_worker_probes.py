"""Probes of a worker, on sockets with misbehaving clients."""

import socket
import threading
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path

import pytest

from tests.databases import Migrated
from tests.service import Pod, eventually, free_port, service

HALF_HEADS = 400
DRIPPING = 50


def connect(bind: str) -> socket.socket:
    if bind.startswith("unix:"):
        client = socket.socket(socket.AF_UNIX)
        client.settimeout(60)
        client.connect(bind.removeprefix("unix:"))
        return client
    host, _, port = bind.rpartition(":")
    return socket.create_connection((host.strip("[]"), int(port)), timeout=60)


def get(bind: str, path: str) -> bytes:
    """Return the whole response to a request on a connection of its own."""
    answer = b""
    with connect(bind) as client:
        client.sendall(f"GET {path} HTTP/1.1\r\nHost: x\r\n\r\n".encode())
        while part := client.recv(65536):
            answer += part
    return answer


def is_ok(answer: bytes) -> bool:
    return answer.startswith(b"HTTP/1.1 200 ")


def threads_of(pod: Pod) -> int:
    return len(list(Path(f"/proc/{pod.process.pid}/task").iterdir()))


@pytest.fixture(scope="module")
def pod(migrated: Migrated, tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[Pod, str]]:
    bind = f"127.0.0.1:{free_port()}"
    with (
        migrated() as url,
        service(tmp_path_factory.mktemp("probed"), url, worker_bind=bind) as pods,
    ):
        yield pods.worker(), bind


@contextmanager
def dripping(clients: list[socket.socket]) -> Iterator[None]:
    """Run clients that send a byte of their header now and then, and reconnect when cut off."""
    over = threading.Event()

    def drip() -> None:
        while not over.wait(0.2):
            for client in clients:
                try:
                    client.sendall(b"x")
                except OSError:
                    client.close()

    thread = threading.Thread(target=drip)
    thread.start()
    try:
        yield
    finally:
        over.set()
        thread.join()


def test_probes_answer_while_clients_send_half_heads_and_drip(pod: tuple[Pod, str]) -> None:
    process, bind = pod
    assert is_ok(get(bind, "/livez"))
    before = threads_of(process)
    with ExitStack() as stack:
        drips = [stack.enter_context(connect(bind)) for _ in range(DRIPPING)]
        for drip in drips:
            drip.sendall(b"GET /livez HTTP/1.1\r\nX-Slow: ")
        with dripping(drips):
            for _ in range(HALF_HEADS):
                stack.enter_context(connect(bind)).sendall(b"GET /li")
            for path in ("/livez", "/readyz", "/metrics") * 5:
                assert is_ok(get(bind, path))
            # The poll, the watchdog of slow clients and the late-started threads of a worker; but
            # no thread per connection.
            assert threads_of(process) < before + DRIPPING // 2


def test_a_response_that_is_not_read_delays_no_other_probe(pod: tuple[Pod, str]) -> None:
    _process, bind = pod
    with ExitStack() as stack:
        for _ in range(20):
            client = stack.enter_context(socket.socket())
            client.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 2048)
            host, port = bind.split(":")
            client.connect((host, int(port)))
            client.sendall(b"GET /metrics HTTP/1.1\r\nHost: x\r\n\r\n")
        for path in ("/livez", "/readyz") * 5:
            assert is_ok(get(bind, path))
    eventually(lambda: is_ok(get(bind, "/metrics")), "metrics are not answered again")


@pytest.mark.parametrize(
    "sent",
    [
        b"\x16\x03\x01 hello over tls \r\n\r\n",
        b"GET\r\n\r\n",
        b"GET /livez HTTP/9.9\r\n\r\n",
        b"GET /" + b"a" * 40_000 + b" HTTP/1.1\r\n\r\n",
        b"POST /livez HTTP/1.1\r\nContent-Length: zero\r\n\r\n",
        b"POST /livez HTTP/1.1\r\nTransfer-Encoding: chunked\r\n\r\nZZ\r\n",
    ],
    ids=lambda sent: sent[:12].decode("latin-1"),
)
def test_bytes_that_are_no_request_end_only_their_own_connection(
    sent: bytes, pod: tuple[Pod, str]
) -> None:
    _process, bind = pod
    with connect(bind) as client:
        client.sendall(sent)
        while True:
            try:
                if not client.recv(65536):
                    break
            except ConnectionResetError:
                break
    assert is_ok(get(bind, "/livez"))
    assert get(bind, "/nothing").startswith(b"HTTP/1.1 404 ")


@pytest.mark.parametrize("bind", ["[::1]:{port}", "unix:{folder}/probes", "127.0.0.1:{port}"])
def test_probes_answer_at_every_kind_of_address(bind: str, own_url: str, tmp_path: Path) -> None:
    bind = bind.format(port=free_port(), folder=tmp_path)
    with service(tmp_path, own_url, worker_bind=bind) as pods:
        first = pods.worker()
        assert is_ok(get(bind, "/livez"))
        first.kill()
        pods.worker()
        assert is_ok(get(bind, "/readyz"))
