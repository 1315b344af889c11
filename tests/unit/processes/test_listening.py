"""Which addresses a process listens on, and which are none."""

import socket
from pathlib import Path

import pytest

from staging_api.processes.listening import bound


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
