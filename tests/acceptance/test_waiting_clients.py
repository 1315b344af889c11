"""Waiting clients: they cost little, block no other client, and their disconnection is noticed."""

import socket
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from staging_api.db.engine import Database, open_database
from tests.builds import FULL_PAYLOAD, build, build_path
from tests.devserver_crowd import Caller, call, wait_for_answers
from tests.rows import select, states
from tests.service import STAGINGS, Pod, Service, eventually, service
from tests.source import ArchiveSource, Stop

THREADS = 4
# TCP_REPAIR of Linux: a socket that is closed in this state sends nothing.
TCP_REPAIR = 19


@pytest.fixture
def pods(own_url: str, source: ArchiveSource, tmp_path: Path) -> Iterator[Service]:
    """Yield a service with few threads, and default settings otherwise."""
    with service(tmp_path, own_url, f"{source.url}/", threads=str(THREADS)) as found:
        yield found


@pytest.fixture
def pod(pods: Service) -> Pod:
    return pods.api()[0]


@pytest.fixture
def rows(own_url: str) -> Iterator[Database]:
    pools = open_database(own_url, pool_size=2)
    yield pools
    pools.close()


def held_build(source: ArchiveSource, name: str = "") -> tuple[str, Stop]:
    url = source.add(build_path(), build(name))
    return url, source.hold(url, FULL_PAYLOAD, after_bytes=1000)


def absent_build(source: ArchiveSource) -> str:
    return f"{source.url}/{build_path()}"


def waiting(pod: Pod) -> int:
    """Return the number of devserver clients that wait or are being served."""
    count: int = pod.client.get("/check_health").json["staging_thread_count"]
    return count


def wait_until_waiting(pod: Pod, count: int) -> None:
    eventually(lambda: waiting(pod) == count, f"not {count} clients wait")


def answers(callers: list[Caller]) -> set[tuple[int, str]]:
    wait_for_answers(callers, 60)
    return {(caller.status, caller.body) for caller in callers}


def test_many_clients_of_one_build_are_all_served_by_one_download(
    pod: Pod, source: ArchiveSource
) -> None:
    (url, held), other = held_build(source), source.add(build_path(), build("other"))
    callers = [call(pod.url, url) for _ in range(30)]
    held.wait_until_reached()
    wait_until_waiting(pod, len(callers))
    assert pod.client.stage(other, "full_payload").status == 201
    held.release()
    assert answers(callers) == {(200, "Success")}
    assert source.begun(url)[FULL_PAYLOAD] == 1


def test_all_waiters_of_a_build_get_its_error(pod: Pod, source: ArchiveSource) -> None:
    objects = build()
    del objects[FULL_PAYLOAD]  # which the manifest names
    url = source.add(build_path(), objects)
    held = source.hold(url, "stateful.tgz", after_bytes=1000)
    callers = [call(pod.url, url) for _ in range(20)]
    held.wait_until_reached()
    wait_until_waiting(pod, 20)
    held.release()
    (answer,) = answers(callers)
    assert answer[0] == 500
    assert answer[1].startswith(f"DownloaderException: {FULL_PAYLOAD} is not")


def test_builds_that_are_not_there_keep_no_other_one_out(pod: Pod, source: ArchiveSource) -> None:
    absent = [call(pod.url, absent_build(source)) for _ in range(2 * THREADS)]
    wait_until_waiting(pod, len(absent))
    good = source.add(build_path(), build("good"))
    assert answers([call(pod.url, good)]) == {(200, "Success")}
    assert pod.client.stage(source.add(build_path(), build("api"))).status == 201
    assert waiting(pod) == len(absent)
    for caller in absent:
        caller.sock.close()
    wait_until_waiting(pod, 0)


def test_work_beyond_the_slots_queues_and_does_not_delay_quick_requests(
    pod: Pod, source: ArchiveSource
) -> None:
    builds = [held_build(source, str(number)) for number in range(THREADS + 2)]
    callers = [call(pod.url, url) for url, _held in builds]
    wait_until_waiting(pod, len(builds))
    eventually(lambda: sum(h.reached.is_set() for _, h in builds) == THREADS // 2, "none begins")
    assert pod.client.get(STAGINGS).status == 200
    for _url, held in builds:
        held.release()
    assert answers(callers) == {(200, "Success")}


def test_a_client_that_goes_leaves_its_place_to_the_next_that_waits_for_the_same(
    pod: Pod, source: ArchiveSource
) -> None:
    url = absent_build(source)
    first = call(pod.url, url)
    wait_until_waiting(pod, 1)
    second = call(pod.url, url)
    wait_until_waiting(pod, 2)
    first.sock.close()
    wait_until_waiting(pod, 1)
    source.add(url.removeprefix(f"{source.url}/"), build("late"))
    assert answers([second]) == {(200, "Success")}


def test_a_build_is_not_staged_if_its_only_waiter_is_gone(
    pods: Service, pod: Pod, source: ArchiveSource, rows: Database
) -> None:
    """Bytes of another request follow, so that the server cannot see the end of the input."""
    pods.worker()
    url, other = absent_build(source), absent_build(source)
    gone, stays = call(pod.url, url, version="1.1"), call(pod.url, other, version="1.1")
    gone.sock.sendall(b"GET /livez HTTP/1.1\r\n")
    wait_until_waiting(pod, 2)
    eventually(lambda: len(states(rows, url)) > 0, "nothing was written down")
    gone.sock.close()
    wait_until_waiting(pod, 1)
    for late in (url, other):
        source.add(late.removeprefix(f"{source.url}/"), build(late))
    stays.sock.shutdown(socket.SHUT_WR)
    eventually(lambda: states(rows, other)["full_payload"] == "staged", "the other is lost")
    assert source.begun(url) == {}
    assert "staged" not in states(rows, url).values()
    stays.sock.close()


def test_a_client_that_has_closed_only_its_own_half_is_answered(
    pod: Pod, source: ArchiveSource
) -> None:
    url, held = held_build(source)
    leader = call(pod.url, url)
    held.wait_until_reached()
    caller = call(pod.url, url, version="1.1")
    caller.sock.shutdown(socket.SHUT_WR)
    assert caller.sock.recv(65536) == b"HTTP/1.1 100 Continue\r\n\r\n"
    held.release()
    assert answers([leader]) == {(200, "Success")}
    wait_for_answers([caller], 60)
    assert caller.status == 200


def waiting_for_lock(rows: Database) -> int:
    return len(select(rows, "SELECT 1 FROM lock_waiters"))


def test_waiters_for_a_lock_that_hung_up_leave_the_queue_to_the_next(
    own_url: str, source: ArchiveSource, tmp_path: Path, rows: Database
) -> None:
    with service(tmp_path, own_url, f"{source.url}/", waiters="4") as pods:
        (pod,) = pods.api()
        url, held = held_build(source)
        holder = ask_for(pod, url, "full_payload")
        held.wait_until_reached()
        gone = [ask_for(pod, url, "stateful", "Prefer: wait=50\r\n") for _ in range(4)]
        eventually(lambda: waiting_for_lock(rows) == 4, "they do not wait")
        for one in gone:
            one.sock.close()
        eventually(lambda: waiting_for_lock(rows) == 0, "they stay in the queue")
        living = ask_for(pod, url, "test_suites", "Prefer: wait=50\r\n")
        eventually(lambda: waiting_for_lock(rows) == 1, "it was refused")
        held.release()
        wait_for_answers([holder, living], 60)
    assert [holder.status, living.status] == [201, 201]
    there = {name for name, state in states(rows, url).items() if state != "missing"}
    assert there == {"full_payload", "test_suites"}


def test_a_waiter_whose_machine_is_gone_leaves_the_queue(
    pod: Pod, source: ArchiveSource, rows: Database
) -> None:
    """The disconnection sends no packet; the client's machine no longer knows the connection."""
    url, held = held_build(source)
    holder = ask_for(pod, url, "full_payload")
    held.wait_until_reached()
    stays = ask_for(pod, url, "stateful", "Prefer: wait=50\r\n")
    eventually(lambda: waiting_for_lock(rows) == 1, "it does not wait")
    gone = ask_for(pod, url, "test_suites", "Prefer: wait=50\r\n")
    eventually(lambda: waiting_for_lock(rows) == 2, "it does not wait")
    try:
        gone.sock.setsockopt(socket.IPPROTO_TCP, TCP_REPAIR, 1)
    except PermissionError:
        pytest.skip("this user may not take a connection away without a word")
    gone.sock.close()
    eventually(lambda: waiting_for_lock(rows) == 1, "it stays in the queue")
    held.release()
    wait_for_answers([holder, stays], 60)
    assert [holder.status, stays.status] == [201, 201]
    assert set(states(rows, url)) == {"full_payload", "stateful"}


def ask_for(pod: Pod, url: str, artifact: str, header: str = "") -> Caller:
    """Send an API request for one artifact, without waiting for the response."""
    host, port = pod.url.removeprefix("http://").split(":")
    body = f'{{"archive_url": "{url}", "artifacts": ["{artifact}"]}}'
    sock = socket.create_connection((host, int(port)), timeout=60)
    head = f"POST {STAGINGS} HTTP/1.1\r\nHost: {host}\r\nConnection: close\r\n{header}"
    kind = "Content-Type: application/json\r\n"
    sock.sendall(f"{head}{kind}Content-Length: {len(body)}\r\n\r\n{body}".encode())
    return Caller(url, sock)


def test_a_long_poll_whose_client_hung_up_releases_its_waiter_slot(
    own_url: str, source: ArchiveSource, tmp_path: Path
) -> None:
    # The poll lasts longer than the test waits, so that only the disconnection can end it.
    settings = {"waiters": "1", "wait_cap_seconds": "600"}
    with service(tmp_path, own_url, f"{source.url}/", **settings) as pods:
        (pod,) = pods.api()
        url = source.add(build_path(), build())
        asked = pod.client.stage(url, Prefer="respond-async")
        location, tag = asked.headers["Location"], asked.headers["ETag"]
        with poll_that_waits(pod, location, tag) as gone:
            gone.close()
        eventually(lambda: not answers_at_once(pod, location, tag), "the slot stays taken")


def poll(pod: Pod, location: str, tag: str, seconds: int) -> socket.socket:
    host, port = pod.url.removeprefix("http://").split(":")
    sock = socket.create_connection((host, int(port)), timeout=60)
    head = f"GET {location} HTTP/1.1\r\nHost: {host}\r\nIf-None-Match: {tag}\r\n"
    sock.sendall(f"{head}Prefer: wait={seconds}\r\n\r\n".encode())
    return sock


@contextmanager
def poll_that_waits(pod: Pod, location: str, tag: str) -> Iterator[socket.socket]:
    """Yield the socket of a long poll that has the last slot; two concurrent polls race for it."""
    for _ in range(30):
        with poll(pod, location, tag, 600) as sock:
            if answers_at_once(pod, location, tag):
                yield sock
                return
    pytest.fail("no request waits")


def answers_at_once(pod: Pod, location: str, tag: str) -> bool:
    """Return whether a long poll is answered immediately, because no slot is free."""
    with poll(pod, location, tag, 1) as sock:
        sock.settimeout(0.5)
        try:
            return sock.recv(64).startswith(b"HTTP/1.1 304")
        except TimeoutError:
            return False


def follow(pod: Pod, location: str) -> socket.socket:
    """Open the event stream of a staging of two artifacts, and read all present events."""
    host, port = pod.url.removeprefix("http://").split(":")
    sock = socket.create_connection((host, int(port)), timeout=60)
    sock.sendall(f"GET {location}/events?after=3 HTTP/1.1\r\nHost: {host}\r\n\r\n".encode())
    read = b""
    while b"event: progress" not in read:
        read += sock.recv(65536)
    return sock


@pytest.fixture
def followed(own_url: str, source: ArchiveSource, tmp_path: Path) -> Iterator[tuple[Pod, str, str]]:
    """Yield a pod with two waiter slots, and a staging: two followers fill the slots."""
    with service(tmp_path, own_url, f"{source.url}/", waiters="2") as pods:
        (pod,) = pods.api()
        url = source.add(build_path(), build())
        asked = pod.client.stage(url, "full_payload", "stateful", Prefer="respond-async")
        yield pod, asked.headers["Location"], asked.headers["ETag"]


def test_a_reader_of_events_that_hung_up_releases_its_waiter_slot_at_once(
    followed: tuple[Pod, str, str],
) -> None:
    """The slot is freed before the next keep-alive event, which would detect it in any case."""
    pod, location, tag = followed
    with follow(pod, location) as stays:
        gone = follow(pod, location)
        assert answers_at_once(pod, location, tag)
        gone.close()
        eventually(lambda: not answers_at_once(pod, location, tag), "the slot stays taken")
        stays.settimeout(0)
        with pytest.raises(BlockingIOError):
            stays.recv(65536)


def test_a_reader_of_events_that_closed_only_its_own_half_reads_on(
    followed: tuple[Pod, str, str],
) -> None:
    pod, location, tag = followed
    with follow(pod, location) as half, follow(pod, location) as whole:
        half.shutdown(socket.SHUT_WR)
        assert b": still here" in half.recv(65536)
        assert answers_at_once(pod, location, tag)
        assert pod.client.delete(location).status == 202
        for each in (half, whole):
            read = b""
            while b'"to_state":"cancelled"' not in read:
                part = each.recv(65536)
                assert part, read
                read += part
