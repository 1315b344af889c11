"""Deadline of a connection: present while data of the client is awaited, absent otherwise."""

import io
import socket
import time
from collections.abc import Iterator
from typing import Any

import pytest

from staging_api.background import BackgroundThread
from staging_api.processes.slow_clients import SlowClients, TimedAnswers, TimedBody

ANY: Any = object()
OTHER: Any = object()
Log = list[tuple[Any, ...]]


class Noted(SlowClients):
    """Recorder of the beginnings and ends of waits, without a thread."""

    def __init__(self) -> None:
        super().__init__(30, 1000)
        self.log: Log = []

    def begin(self, client: socket.socket, size_bytes: int = 0) -> None:
        self.log.append(("begin", client, size_bytes))

    def end(self, client: socket.socket) -> None:
        self.log.append(("end", client))


class Reader(io.BytesIO):
    def __init__(self, clients: Noted, data: bytes) -> None:
        super().__init__(data)
        self._clients = clients

    def read(self, size: int | None = -1) -> bytes:
        self._clients.log.append(("read",))
        return super().read(size)


@pytest.fixture
def clients() -> Noted:
    return Noted()


def body(clients: Noted, data: bytes = b"one\ntwo\n") -> TimedBody:
    return TimedBody(Reader(clients, data), ANY, clients, len(data))


@pytest.mark.parametrize(("size", "awaited"), [(None, 8), (-1, 8), (3, 3), (99, 8)])
def test_a_read_has_a_deadline_for_what_it_may_read(
    clients: Noted, size: int | None, awaited: int
) -> None:
    assert body(clients).read(size) == b"one\ntwo\n"[: size if size and size > 0 else None]
    assert clients.log == [("begin", ANY, awaited), ("read",), ("end", ANY)]


def test_lines_have_one_for_the_whole_body_each_time(clients: Noted) -> None:
    timed = body(clients)
    assert list(timed) == [b"one\n", b"two\n"]
    assert clients.log == [("begin", ANY, 8), ("end", ANY)] * 3
    clients.log.clear()
    assert body(clients).readlines() == [b"one\n", b"two\n"]
    assert clients.log == [("begin", ANY, 8), ("end", ANY)]


def test_a_read_that_fails_has_none_afterwards(clients: Noted) -> None:
    closed = io.BytesIO(b"")
    closed.close()
    with pytest.raises(ValueError, match="closed"):
        TimedBody(closed, ANY, clients, 5).read(1)
    assert clients.log == [("begin", ANY, 1), ("end", ANY)]


class Parts:
    def __init__(self, clients: Noted) -> None:
        self._clients = clients

    def __iter__(self) -> Iterator[bytes]:
        for part in (b"ab", b"c"):
            self._clients.log.append(("made", part))
            yield part

    def close(self) -> None:
        self._clients.log.append(("closed",))


def answered(clients: Noted, headers: list[tuple[str, str]]) -> tuple[bytes, Any]:
    made = Parts(clients)

    def app(_environ: Any, start_response: Any) -> Any:
        start_response("200 OK", headers)
        return made

    def start_response(_status: str, _headers: Any, *_error: Any) -> Any:
        return None

    found: Any = TimedAnswers(app, clients)({"gunicorn.socket": ANY}, start_response)
    return b"".join(found), found is made


def test_an_answer_that_says_how_long_it_is_has_one_deadline_that_its_server_ends(
    clients: Noted,
) -> None:
    assert answered(clients, [("X-Other", "9"), ("Content-Length", "3")]) == (b"abc", True)
    assert clients.log == [("begin", ANY, 3), ("made", b"ab"), ("made", b"c")]


def test_without_a_length_each_part_has_a_deadline_while_it_is_sent(clients: Noted) -> None:
    assert answered(clients, []) == (b"abc", False)
    assert clients.log == [
        ("made", b"ab"),
        ("begin", ANY, 2),
        ("end", ANY),
        ("made", b"c"),
        ("begin", ANY, 1),
        ("end", ANY),
        ("closed",),
    ]


def test_a_deadline_is_the_time_for_anything_and_that_for_its_bytes(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(BackgroundThread, "ensure", lambda _thread: None)
    monkeypatch.setattr(time, "monotonic", lambda: 100.0)
    clients = SlowClients(30, 1000)
    clients.begin(ANY)
    clients.begin(OTHER, 2000)
    assert clients._late_at == {ANY: 130, OTHER: 132}
    clients.end(ANY)
    clients.end(ANY)
    assert clients._late_at == {OTHER: 132}
