"""Requests of a connection: what the application receives, and which request is the last."""

import socket
from types import SimpleNamespace
from typing import Any

import pytest
from gunicorn.config import Config  # type: ignore[import-untyped]  # has no types

from staging_api.clients import ENVIRON_KEY, ClientSocket, DisconnectWatcher
from staging_api.processes.api_worker import ApiWorker
from staging_api.processes.request_heads import Connection
from staging_api.processes.request_threads import RequestThreads
from staging_api.processes.slow_clients import SlowClients
from staging_api.shutdown import Drain


class Served:
    """A worker, one connection of it, and what its application received."""

    def __init__(self, *, for_probes: bool) -> None:
        self.worker = ApiWorker.__new__(ApiWorker)
        self.worker.cfg, self.worker.alive = Config(), True
        self.worker.app = SimpleNamespace(drain=Drain(), services=None)
        self.worker._slow, self.worker._disconnects = SlowClients(30, 1000), DisconnectWatcher()
        self.found: list[tuple[str, dict[str, Any]]] = []
        self.worker.wsgi = self.application("site")
        self.worker._probes = self.application("probes")
        ours, self.client = socket.socketpair()
        self.client.settimeout(10)
        self.sock = ClientSocket(ours.family, ours.type, fileno=ours.detach())
        self.sock.parked = RequestThreads(1, 0).parked
        self.connection = Connection(self.sock, ("", 1), ("", 2), for_probes)

    def application(self, name: str) -> Any:
        def app(environ: dict[str, Any], start_response: Any) -> list[bytes]:
            self.found.append((name, environ))
            start_response("200 OK", [("Content-Length", "2")])
            return [b"ok"]

        return app

    def ask(self, path: str, version: str = "1.1") -> tuple[bool, bytes]:
        """Return whether the connection may have another request, and the response."""
        head = f"GET {path} HTTP/{version}\r\nHost: x\r\nConnection: keep-alive\r\n\r\n"
        self.connection.head[:] = head.encode()
        return self.worker._answer(self.connection), self.client.recv(4096).lower()

    def close(self) -> None:
        self.client.close()
        self.sock.close()


@pytest.mark.parametrize("why", ["", "probe", "own address", "drains", "ends"])
def test_an_answer_is_the_last_of_a_probe_and_of_a_process_that_ends(why: str) -> None:
    served = Served(for_probes=why == "own address")
    if why == "drains":
        served.worker.app.drain.begin()
    served.worker.alive = why != "ends"
    keep, answer = served.ask("/livez" if why == "probe" else "/other")
    assert keep == (why == "")
    assert (b"connection: close" in answer) == (why != "")
    assert answer.endswith(b"ok")
    [(name, environ)] = served.found
    assert name == ("probes" if why == "own address" else "site")
    assert environ["wsgi.multithread"] is True
    served.close()


@pytest.mark.parametrize(("version", "skips"), [("1.0", False), ("1.1", True)])
def test_only_clients_of_http_1_1_are_told_that_an_answer_is_late(
    version: str, skips: bool
) -> None:
    served = Served(for_probes=False)
    assert served.ask("/other", version)[0]
    [(_, environ)] = served.found
    assert environ[ENVIRON_KEY].skips_continue == skips
    served.close()


def test_a_transfer_coding_that_is_not_known_is_refused() -> None:
    served = Served(for_probes=False)
    served.connection.head[:] = b"POST / HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: unknown\r\n\r\n"
    assert not served.worker._answer(served.connection)
    assert served.client.recv(12) == b"HTTP/1.1 501"
    assert served.found == []
    served.close()
