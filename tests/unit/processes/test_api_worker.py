"""API process without gunicorn's parent: start, end, and decisions about connections."""

import errno
import os
import socket
import threading
import time
from collections.abc import Iterator
from types import SimpleNamespace
from typing import Any, ClassVar

import pytest
from gunicorn.http.errors import LimitRequestLine  # type: ignore[import-untyped]  # has no types
from gunicorn.workers.base import Worker  # type: ignore[import-untyped]  # has no types

from staging_api import logs
from staging_api.errors import Unavailable
from staging_api.processes import api_worker
from staging_api.processes.api_worker import PROBES, ApiWorker
from staging_api.processes.request_heads import Connection
from staging_api.settings import Settings
from staging_api.shutdown import Shutdown
from tests.pauses import patch_sleep

Done = list[Any]


@pytest.fixture
def said() -> list[str]:
    """The lines of the worker's log."""
    return []


@pytest.fixture
def worker(said: list[str]) -> ApiWorker:
    """Return a worker before its start."""
    found = ApiWorker.__new__(ApiWorker)

    def note(form: str, *given: Any) -> None:
        said.append(form % given)

    found.log = SimpleNamespace(error=note, debug=note, exception=note)
    found.booted, found.alive, found.ppid = False, True, os.getppid()
    return found


def test_a_process_that_cannot_start_says_so_and_lets_another_try_a_second_later(
    worker: ApiWorker, said: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    pauses: list[float] = []
    patch_sleep(monkeypatch, pauses.append)

    def refuse() -> None:
        raise RuntimeError("can't start new thread")

    monkeypatch.setattr(worker, "_begin", refuse)
    with pytest.raises(SystemExit) as ended:
        worker.init_process()
    assert ended.value.code == 1
    assert pauses == [1.0]
    assert said == ["this process cannot start: can't start new thread"]
    worker.booted = True
    with pytest.raises(Unavailable):
        worker.init_process()
    assert len(said) == len(pauses) == 1


@pytest.fixture
def begun(worker: ApiWorker, monkeypatch: pytest.MonkeyPatch) -> Iterator[ApiWorker]:
    """Yield a worker with all its parts, without running threads."""
    settings = Settings.from_env(
        threads=5, waiters=7, devserver_waiters=11, client_seconds=3, bind="127.0.0.1:1"
    )
    worker.app = SimpleNamespace(settings=settings, services=None)
    size = threading.stack_size()
    monkeypatch.setattr(Worker, "init_process", lambda _worker: None)
    worker._begin()
    assert threading.stack_size() == (2 << 20) - (64 << 10)
    threading.stack_size(size)
    yield worker
    worker._heads._epoll.close()
    os.close(worker._heads._wake_up)


def test_its_parts_have_the_limits_of_its_settings(begun: ApiWorker) -> None:
    assert (begun._threads.most, begun._threads._most_parked) == (5, 18)
    assert set(begun._probe_threads) == {(own, path) for own in (True, False) for path in PROBES}
    assert {(each.most, each._most_parked) for each in begun._probe_threads.values()} == {(1, 0)}
    assert len(set(map(id, begun._probe_threads.values()))) == 6
    limits = begun._heads.limits
    assert (limits.head_seconds, limits.idle_seconds) == (3, 15.0)
    assert limits.most == api_worker._most_connections()
    assert begun._slow.seconds == 3


def test_what_runs_it_is_started_and_shown_before_its_first_request(
    begun: ApiWorker, monkeypatch: pytest.MonkeyPatch
) -> None:
    done: Done = []
    for name in ("_threads", "_disconnects", "_slow"):
        monkeypatch.setattr(getattr(begun, name), "start", lambda name=name: done.append(name))
    for key, threads in begun._probe_threads.items():
        monkeypatch.setattr(threads, "start", lambda key=key: done.append(key))
    monkeypatch.setattr(logs, "write_together", lambda: done.append("logs"))
    monkeypatch.setattr(Worker, "load_wsgi", lambda _worker: setattr(begun, "wsgi", "site"))
    begun.app.probes = lambda: "probes"
    streams = SimpleNamespace(most=10**9)
    begun.app.services = SimpleNamespace(
        changes=SimpleNamespace(streams=streams),
        begin_heartbeat=lambda *given: done.append(given),
    )
    begun.load_wsgi()
    assert set(done[:-1]) == {"_threads", "_disconnects", "_slow", "logs", *begun._probe_threads}
    assert done[-1][:3] == ("api", 5, "127.0.0.1:1")
    load = done[-1][3]()
    assert (load.busy, load.waiting) == (0, 0)
    begun._threads.add(lambda: None)
    begun._threads._running = 2
    assert (begun._load().busy, begun._load().waiting) == (2, 1)
    # Open pages leave half of all connections to requests.
    assert streams.most == begun._heads.limits.most // 2
    streams.most = 3
    begun.load_wsgi()
    assert streams.most == 3
    wrapped: Any = (begun.wsgi, begun._probes)
    assert [each._app for each in wrapped] == ["site", "probes"]
    assert {each._clients for each in wrapped} == {begun._slow}


class Heads:
    """Connections that record each call."""

    def __init__(self, waited_for: int = 0) -> None:
        self.done: Done = []
        self.waited_for = waited_for
        self.after = lambda: None

    def listen(self, listener: Any, *, for_probes: bool) -> None:
        self.done.append((listener, for_probes))

    def turn(self, seconds: float) -> None:
        self.done.append(seconds)
        self.after()

    def stop_listening(self, *, idle_seconds: float) -> None:
        self.done.append(("stop", idle_seconds))

    def wake(self) -> None:
        self.done.append("wake")


@pytest.mark.parametrize(("probes_bind", "last"), [("", False), ("127.0.0.1:2", True)])
def test_it_listens_at_all_addresses_of_which_that_of_the_probes_is_the_last(
    worker: ApiWorker, monkeypatch: pytest.MonkeyPatch, probes_bind: str, last: bool
) -> None:
    heads: Any = Heads()
    worker._heads, worker.sockets = heads, ["a", "b"]
    worker.app = SimpleNamespace(settings=Settings.from_env(probes_bind=probes_bind))
    monkeypatch.setattr(worker, "_end", lambda: heads.done.append("end"))
    worker.alive = False
    worker.run()
    assert heads.done == [("a", False), ("b", last), "end"]


def test_its_heart_beats_once_a_second_and_it_ends_with_its_parent(
    worker: ApiWorker, monkeypatch: pytest.MonkeyPatch
) -> None:
    heads: Any = Heads()
    now, turns = [50.0], iter([0.25, 0.5, 0.25, 0.5])
    monkeypatch.setattr(time, "monotonic", lambda: now[0])
    worker._heads, worker.sockets = heads, []
    worker.app = SimpleNamespace(settings=Settings())
    monkeypatch.setattr(worker, "_end", lambda: heads.done.append("end"))
    monkeypatch.setattr(worker, "notify", lambda: heads.done.append("beat"))

    def goes_on() -> None:
        now[0] += next(turns, 0)
        if now[0] == 51.5:
            worker.ppid = -1

    heads.after = goes_on
    worker.run()
    assert heads.done == ["beat", 1.0, 1.0, 1.0, "beat", 1.0, "end"]


def test_its_end_waits_for_running_requests_and_beats_but_not_for_ever(
    worker: ApiWorker, monkeypatch: pytest.MonkeyPatch
) -> None:
    now = [50.0]
    monkeypatch.setattr(time, "monotonic", lambda: now[0])
    monkeypatch.setattr(worker, "notify", lambda: heads.done.append("beat"))
    worker.cfg = SimpleNamespace(graceful_timeout=10)
    changes = SimpleNamespace(close=lambda: heads.done.append("changes"))
    worker.app = SimpleNamespace(services=SimpleNamespace(changes=changes))
    heads: Any = Heads(waited_for=1)
    heads.after = lambda: setattr(heads, "waited_for", 0)
    worker._heads = heads
    worker._end()
    assert heads.done == [("stop", 2.0), "changes", "beat", 0.2]
    worker.app.services = None
    heads = Heads(waited_for=1)
    worker._heads = heads
    heads.after = lambda: now.__setitem__(0, now[0] + 5)
    worker._end()
    assert heads.done == [("stop", 2.0), "beat", 0.2, "beat", 0.2]


class Timer:
    """Timer that only records its start."""

    made: ClassVar[Done] = []
    refuses = False

    def __init__(self, seconds: float, function: Any) -> None:
        self.seconds, self.function, self.daemon, self.started = seconds, function, False, False
        Timer.made.append(self)

    def start(self) -> None:
        if Timer.refuses:
            raise RuntimeError("can't start new thread")
        self.started = True


@pytest.mark.parametrize("refuses", [False, True])
def test_a_sigterm_ends_work_once_and_wakes_the_loop_each_time(
    worker: ApiWorker, monkeypatch: pytest.MonkeyPatch, refuses: bool
) -> None:
    monkeypatch.setattr(threading, "Timer", Timer)
    monkeypatch.setattr(Timer, "made", [])
    monkeypatch.setattr(Timer, "refuses", refuses)
    exits: Done = []
    monkeypatch.setattr(Worker, "handle_exit", lambda _worker, *given: exits.append(given))
    heads: Any = Heads()
    worker._heads = heads
    locks = SimpleNamespace(shutdown=Shutdown(), release_all=object())
    worker.app = SimpleNamespace(
        settings=Settings.from_env(shutdown_seconds=10), services=SimpleNamespace(locks=locks)
    )
    for _ in range(2):
        worker.handle_exit(15, None)
    [last] = Timer.made
    assert (last.seconds, last.function, last.daemon) == (9.0, locks.release_all, True)
    assert last.started is not refuses
    assert locks.shutdown.begun
    worker.app.services = None
    worker.handle_exit(15, None)
    assert exits == [(15, None)] * 3
    assert heads.done == ["wake"] * 3
    assert len(Timer.made) == 1


@pytest.mark.parametrize(
    ("path", "own", "key"),
    [
        (b"/livez", False, (False, b"/livez")),
        (b"/metrics", True, (True, b"/metrics")),
        (b"/other", True, (True, b"/livez")),
        (b"/other", False, None),
    ],
)
def test_each_probe_has_a_thread_of_its_own_and_all_else_those_of_requests(
    begun: ApiWorker, path: bytes, own: bool, key: Any
) -> None:
    sock: Any = SimpleNamespace()
    connection = Connection(sock, None, None, own, bytearray(b"GET " + path + b" HTTP/1.1"))
    begun._dispatch(connection)
    threads = begun._threads if key is None else begun._probe_threads[key]
    assert begun._given_work == {threads}
    assert len(threads._jobs) == 1
    assert sock.parked == threads.parked
    begun._hand_out()
    assert begun._given_work == set()


@pytest.mark.parametrize(
    ("error", "line"),
    [
        (OSError(errno.EPIPE, "x"), None),
        (OSError(errno.ECONNRESET, "x"), None),
        (OSError(errno.ENOTCONN, "x"), None),
        (OSError(errno.EBADF, "x"), None),
        (OSError(errno.EIO, "x"), "an answer could not be sent"),
        (StopIteration(), "a connection ended"),
    ],
    ids=repr,
)
def test_a_client_that_is_gone_is_no_fault_and_its_connection_has_no_more_requests(
    worker: ApiWorker, said: list[str], error: Exception, line: str | None
) -> None:
    def fail(_received: bytes) -> None:
        raise error

    sock: Any = None
    connection = Connection(sock, None, None, False, bytearray(b"GET"))
    connection.requests = SimpleNamespace(next=fail)
    assert worker._answer(connection) is False
    assert said == ([line] if line else [])
    assert connection.head == b""


@pytest.mark.parametrize(
    ("head", "status"),
    [
        (b"x" * 4095 + b"\n", b"431"),
        (b"x" * 4096 + b"\n", b"414"),
        (b"", b"414"),
    ],
)
def test_of_what_is_too_long_it_is_said_which_part_is(
    worker: ApiWorker, head: bytes, status: bytes
) -> None:
    ours, client = socket.socketpair()
    sock: Any = ours
    with ours, client:
        connection = Connection(sock, None, None, False, bytearray(head.ljust((32 << 10) + 1)))
        connection.requests = SimpleNamespace()
        assert worker._answer(connection) is False
        assert client.recv(12) == b"HTTP/1.1 " + status


def test_a_refusal_that_nobody_reads_is_no_error() -> None:
    ours, client = socket.socketpair()
    client.close()
    with ours:
        api_worker._refuse(ours, LimitRequestLine)


def test_what_an_application_left_of_a_body_is_read_for_a_second(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(time, "monotonic", lambda: 50.0)
    asked: list[float] = []
    rest: list[bytes | None] = [None, b"next"]
    sock: Any = None
    connection = Connection(sock, None, None, False)
    connection.requests = SimpleNamespace(
        reach_next=lambda deadline: (asked.append(deadline), rest.pop(0))[1]
    )
    assert not api_worker._reach_next(connection)
    assert api_worker._reach_next(connection)
    assert connection.head == b"next"
    assert asked == [51.0, 51.0]


class Response:
    """Response that records its parts and its end."""

    def __init__(self, done: Done, *, sent: bool = True) -> None:
        self.done, self.headers_sent, self.status_code, self.chunked = done, sent, 200, True

    def write(self, part: bytes) -> None:
        if part == b"breaks":
            raise ValueError(part)
        if part == b"gone":
            raise BrokenPipeError(part)
        self.done.append(part)

    def write_file(self, body: Any) -> None:
        self.done.append(("file", body))

    def close(self) -> None:
        self.done.append("end")


class Parts(list[bytes]):
    """Body that records that it is closed."""

    def __init__(self, done: Done, *parts: bytes) -> None:
        super().__init__(parts)
        self.done = done

    def close(self) -> None:
        self.done.append("closed")


STAYS: Any = SimpleNamespace(left_to=None)
LEFT: Any = SimpleNamespace(left_to=object())


def test_an_answer_is_sent_ended_and_its_body_closed(worker: ApiWorker) -> None:
    done: Done = []
    environ = {"wsgi.file_wrapper": tuple}
    assert worker._send(Parts(done, b"a", b"b"), Response(done), environ, STAYS)
    assert done == [b"a", b"b", "end", "closed"]
    done.clear()
    assert worker._send(Parts(done, b"a"), Response(done), environ, LEFT)
    assert done == [b"a", "closed"], "a stream has no end"
    done.clear()
    assert worker._send((b"f",), Response(done), environ, STAYS)
    assert done == [("file", (b"f",)), "end"]


def test_an_answer_that_breaks_behind_its_head_is_cut_off_and_before_it_is_an_error(
    worker: ApiWorker, said: list[str]
) -> None:
    done: Done = []
    environ = {"wsgi.file_wrapper": tuple}
    assert not worker._send(Parts(done, b"breaks"), Response(done), environ, STAYS)
    assert said == ["an answer broke off"]
    for part, sent, error in ((b"breaks", False, ValueError), (b"gone", True, BrokenPipeError)):
        with pytest.raises(error):
            worker._send(Parts(done, part), Response(done, sent=sent), environ, STAYS)
    assert done == ["closed"] * 3
    assert len(said) == 1


@pytest.mark.parametrize(
    ("is_sent", "status", "connects"),
    [
        (True, 200, True),
        (False, 200, False),
        (True, 201, False),
        (True, 503, False),
    ],
)
def test_a_stream_takes_a_connection_whose_answer_began_well_and_is_refused_any_other(
    worker: ApiWorker, is_sent: bool, status: int, connects: bool
) -> None:
    done: Done = []
    streams = SimpleNamespace(refuse=lambda stream: done.append(("refused", stream)))
    worker.app = SimpleNamespace(services=SimpleNamespace(changes=SimpleNamespace(streams=streams)))
    given: Done = []
    heads: Any = SimpleNamespace(done=lambda *what, **how: given.append((what, how)))
    worker._heads = heads
    response = Response(done)
    response.status_code = status
    sock: Any = object()
    connection = Connection(sock, None, None, False)
    stream: Any = SimpleNamespace(connect=lambda *what, **how: done.append((what, how)))
    worker._leave(connection, stream, response, is_sent=is_sent)
    if not connects:
        assert done == [("refused", stream)]
        assert connection.stream is None
        return
    [(what, how)] = done
    assert (what, how["chunked"], connection.stream) == ((sock,), True, stream)
    how["given_back"]()
    assert given == [((connection,), {"keep": False})]


def test_a_connection_goes_to_its_stream_or_back_and_awaits_nothing_more(
    worker: ApiWorker, monkeypatch: pytest.MonkeyPatch
) -> None:
    done: Done = []
    slow: Any = SimpleNamespace(end=lambda sock: done.append(("ended", sock)))
    heads: Any = SimpleNamespace(done=lambda _connection, keep: done.append(("back", keep)))
    worker._slow, worker._heads = slow, heads
    streams = SimpleNamespace(begin=lambda stream: done.append(("stream", stream)))
    worker.app = SimpleNamespace(services=SimpleNamespace(changes=SimpleNamespace(streams=streams)))
    sock: Any = "s"
    connection = Connection(sock, None, None, False)
    monkeypatch.setattr(worker, "_answer", lambda _connection: True)
    worker._serve(connection)

    def fail(_connection: Connection) -> bool:
        raise SystemExit

    monkeypatch.setattr(worker, "_answer", fail)
    with pytest.raises(SystemExit):
        worker._serve(connection)
    monkeypatch.setattr(worker, "_answer", lambda _connection: False)
    stream: Any = "stream"
    connection.stream = stream
    worker._serve(connection)
    assert done == [
        *(("ended", "s"), ("back", True)),
        *(("ended", "s"), ("back", False)),
        *(("ended", "s"), ("stream", "stream")),
    ]
