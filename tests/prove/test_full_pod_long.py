"""Probes of a default pod with the maximum of work, incomplete headers and slow readers."""

import socket
import threading
from contextlib import ExitStack
from pathlib import Path

import pytest

from tests.builds import FULL_PAYLOAD, build, build_path
from tests.devserver_crowd import Prober, call
from tests.service import eventually, free_port, service
from tests.source import archive_source

THREADS = 64  # the default
HALF_HEADS = 1000
BIG_BYTES = 16 << 20
#: Bytes of one read; a reader takes the default minimum rate per second.
PIECE_BYTES = 4 << 10
READ_BYTES_PER_SECOND = 16 << 10
SECONDS = 20.0


def read_slowly(readers: list[socket.socket], over: threading.Event) -> None:
    while not over.wait(PIECE_BYTES / READ_BYTES_PER_SECOND):
        for reader in readers:
            reader.recv(PIECE_BYTES)


@pytest.mark.prove
@pytest.mark.timeout(600)
def test_probes_answer_in_time(
    own_url: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    own = f"127.0.0.1:{free_port()}"
    with (
        archive_source() as source,
        service(tmp_path, own_url, f"{source.url}/", probes_bind=own) as pods,
        ExitStack() as clients,
    ):
        (pod,) = pods.api()
        host, port = pod.url.removeprefix("http://").split(":")
        path = build_path()
        big = source.add(path, {FULL_PAYLOAD: bytes(BIG_BYTES), "UPLOADED": FULL_PAYLOAD.encode()})
        assert pod.client.stage(big, "full_payload").status == 201
        urls = [source.add(build_path(), build(str(number))) for number in range(THREADS)]
        held = [source.hold(url, FULL_PAYLOAD, after_bytes=1000) for url in urls]
        for url in urls:
            clients.enter_context(call(pod.url, url).sock)
        readers = []
        for _ in range(THREADS):
            reader = clients.enter_context(socket.create_connection((host, int(port)), 60))
            reader.sendall(
                f"GET /static/{path}/update.gz HTTP/1.1\r\nHost: {host}\r\n\r\n".encode()
            )
            readers.append(reader)
        for _ in range(HALF_HEADS):
            half = clients.enter_context(socket.create_connection((host, int(port)), 60))
            half.sendall(b"GET /livez HTTP/1.1\r\nX-Slow: ")
        eventually(
            lambda: sum(one.reached.is_set() for one in held) == THREADS // 2, "nothing is staged"
        )
        over = threading.Event()
        reading = threading.Thread(target=read_slowly, args=(readers, over))
        reading.start()
        with Prober(pod.url) as main, Prober(f"http://{own}") as aside:
            over.wait(SECONDS)
        over.set()
        reading.join()
        source.release_all()
    with capsys.disabled():
        for name, probes in (("the main address", main), ("its own address", aside)):
            p50, p99 = (1000 * probes.percentile(share) for share in (0.5, 0.99))
            count = len(probes.seconds)
            print(f"\n/livez at {name}: {count} answers, p50 {p50:.1f} ms, p99 {p99:.1f} ms")
    assert main.failures == []
    assert aside.failures == []
