"""Wait for an address that is in use, and detection of abandoned metrics folders."""

import os
import socket
import tempfile
import time
from pathlib import Path

import pytest

from staging_api.errors import AddressTaken
from staging_api.processes import listening
from staging_api.processes.listening import listener, wait_until_free
from staging_api.processes.metrics_folder import metrics_folder
from tests.pauses import patch_sleep


class Clock:
    """The time of the test, which pauses move on."""

    def __init__(self) -> None:
        self.now = 1000.0
        self.pauses: list[float] = []

    def sleep(self, seconds: float) -> None:
        self.pauses.append(seconds)
        self.now += seconds


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> Clock:
    found = Clock()
    monkeypatch.setattr(time, "monotonic", lambda: found.now)
    patch_sleep(monkeypatch, found.sleep)
    return found


def test_an_address_that_stays_taken_is_looked_at_for_five_seconds(clock: Clock) -> None:
    with socket.create_server(("127.0.0.1", 0)) as other:
        bind = f"127.0.0.1:{other.getsockname()[1]}"
        with pytest.raises(AddressTaken, match=f"STAGING_BIND: another program listens at {bind}"):
            wait_until_free("STAGING_BIND", bind)
    assert set(clock.pauses) == {0.2}
    assert 5.0 <= sum(clock.pauses) < 5.3


def test_an_address_that_is_let_go_is_waited_for_no_longer(
    clock: Clock, monkeypatch: pytest.MonkeyPatch
) -> None:
    taken = [False, True, True]
    monkeypatch.setattr(listening, "_is_taken", lambda _bind: taken.pop())
    wait_until_free("STAGING_BIND", "127.0.0.1:1")
    assert (taken, len(clock.pauses)) == ([], 2)


def test_addresses_of_systemd_are_its_own_matter(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(listening, "has_sockets_of_systemd", lambda: True)
    monkeypatch.setattr(listening, "_is_taken", lambda _bind: True)
    wait_until_free("STAGING_BIND", "127.0.0.1:1")


def test_a_socket_file_is_taken_while_somebody_listens_there(tmp_path: Path) -> None:
    bind = f"unix:{tmp_path}/api"
    assert not listening._is_taken(bind)
    with listener(bind):
        assert listening._is_taken(bind)
    assert not listening._is_taken(bind), "the file stays, and nobody listens"


def open_files() -> int:
    """Return the number of open descriptors of this process."""
    return len(list(Path("/proc/self/fd").iterdir()))


def test_what_is_no_address_here_is_not_taken_and_is_let_go() -> None:
    assert not listening._is_taken("192.0.2.1:1")
    before = open_files()
    with pytest.raises(OSError, match="assign"):
        listening.bound("192.0.2.1:1")
    assert not listening._is_taken("127.0.0.1:0")
    assert open_files() == before


def test_a_hundred_and_twenty_eight_clients_may_wait_to_be_accepted(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    asked: list[int] = []

    class Noted(socket.socket):
        def listen(self, backlog: int = 0, /) -> None:
            asked.append(backlog)
            super().listen(backlog)

    monkeypatch.setattr(socket, "socket", Noted)
    with listener("127.0.0.1:0") as found:
        assert found.getsockopt(socket.SOL_SOCKET, socket.SO_ACCEPTCONN)
    assert asked == [128]


@pytest.mark.parametrize("bind", ["[::1]:0", "127.0.0.1:65535"])
def test_the_highest_port_and_addresses_of_version_6_are_addresses(bind: str) -> None:
    try:
        listening.bound(bind).close()
    except OSError as error:
        pytest.skip(str(error))


@pytest.mark.parametrize(("age", "stays"), [(59.5, True), (60.0, True), (60.5, False)])
def test_a_folder_of_metrics_that_nobody_has_locked_is_old_after_a_minute(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, age: float, stays: bool
) -> None:
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path))
    folder = tmp_path / "staging-metrics-killed"
    folder.mkdir()
    (folder / "lock").touch()
    os.utime(folder, (1000.0, 1000.0))
    monkeypatch.setattr(time, "time", lambda: 1000.0 + age)
    with metrics_folder():
        assert folder.exists() == stays


def test_a_folder_of_metrics_of_another_user_stays(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path))
    folder = tmp_path / "staging-metrics-killed"
    folder.mkdir()
    (folder / "lock").touch()
    os.utime(folder, (1000.0, 1000.0))
    monkeypatch.setattr(os, "geteuid", lambda: 123456)
    with metrics_folder() as own:
        assert folder.exists()
        assert not list(Path(own).glob("*.db"))
