"""Listening addresses: valid and invalid ones, and the number of connections."""

import resource
import socket
from pathlib import Path

import pytest

from staging_api.processes.api_worker import _most_connections
from staging_api.processes.listening import bound

UNLIMITED = resource.RLIM_INFINITY


def test_a_socket_that_a_process_left_behind_is_taken_over(tmp_path: Path) -> None:
    path, other = tmp_path / "api", tmp_path / "other"
    other.touch()
    for _ in range(2):
        with bound(f"unix:{path}") as found:
            assert found.getsockname() == str(path)
        assert path.is_socket()
    assert other.exists()


@pytest.mark.parametrize("bind", ["127.0.0.1:0", "localhost:0"])
def test_an_address_of_this_machine_is_bound(bind: str) -> None:
    with bound(bind) as found:
        assert found.getsockname()[1] > 0
        assert found.getsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR)


@pytest.mark.parametrize(
    "bind", ["", "127.0.0.1", "127.0.0.1:", "127.0.0.1:http", "127.0.0.1:-1", "127.0.0.1:65536"]
)
def test_what_has_no_port_that_can_be_is_refused(bind: str) -> None:
    with pytest.raises(ValueError, match=f"^{bind}$"):
        bound(bind)


@pytest.mark.parametrize(
    ("given", "made", "connections"),
    [
        ((1024, UNLIMITED), (4608, UNLIMITED), 4096),
        ((1024, 10_000), (4608, 10_000), 4096),
        ((1024, 2048), (2048, 2048), 1536),
        ((256, 256), (256, 256), 64),
        ((4608, 10_000), (4608, 10_000), 4096),
        ((10_000, 10_000), (10_000, 10_000), 4096),
        ((UNLIMITED, UNLIMITED), (UNLIMITED, UNLIMITED), 4096),
    ],
)
def test_a_process_takes_as_many_connections_as_its_descriptors_allow(
    monkeypatch: pytest.MonkeyPatch,
    given: tuple[int, int],
    made: tuple[int, int],
    connections: int,
) -> None:
    system = {resource.RLIMIT_NOFILE: given, resource.RLIMIT_CORE: (1, 2)}
    monkeypatch.setattr(resource, "getrlimit", system.__getitem__)
    monkeypatch.setattr(resource, "setrlimit", system.__setitem__)
    assert _most_connections() == connections
    assert system == {resource.RLIMIT_NOFILE: made, resource.RLIMIT_CORE: (1, 2)}
