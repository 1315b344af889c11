"""Event streams of pages over HTTP: their events, their lack of threads, and their end."""

import signal
import socket
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path
from urllib.parse import urlsplit

import pytest

from staging_api.changes.model import TABLES
from staging_api.db.tables import metadata
from staging_api.ui.live import CALLS
from staging_api.ui.routes import SCREENS
from tests.builds import build, build_path
from tests.databases import Migrated
from tests.service import Pod, Service, eventually, service
from tests.source import PATIENCE_SECONDS, ArchiveSource, archive_source
from tests.stream_reader import StreamReader

#: Far fewer than the streams that are opened.
THREADS = 2
STREAMS = 60

#: Tables written together with a topic's table, or constantly, or that no live page shows.
ON_NO_LIVE_PAGE = {
    *(
        "archive_decisions",
        "artifact_accesses",
        "binary_releases",
        "document_bodies",
        "document_contents",
    ),
    *("document_keys", "document_places", "held_objects", "idempotency_keys", "index_blocks"),
    *("index_files", "index_layouts", "loose_files", "package_files", "packed_files"),
    *("release_files", "session_keys", "source_release_files", "source_releases"),
    *("staging_counted", "staging_event_drops", "store_checks", "store_identity", "upload_polls"),
}

OPENED: list[socket.socket] = []


@pytest.fixture(autouse=True)
def connections_are_closed() -> Iterator[None]:
    yield
    while OPENED:
        OPENED.pop().close()


class Stream(StreamReader):
    """The browser's end of one stream."""

    def __init__(self, pod: Pod, topics: str, version: str = "1.1", **headers: str) -> None:
        to = urlsplit(pod.url)
        self.sock = socket.create_connection((to.hostname, to.port), PATIENCE_SECONDS)
        OPENED.append(self.sock)
        sent = "".join(f"{name}: {value}\r\n" for name, value in headers.items())
        request = f"GET /ui/live?topics={topics} HTTP/{version}\r\nHost: {to.netloc}\r\n{sent}\r\n"
        self.sock.sendall(request.encode())
        self.head = self.read_until(b"\r\n\r\n").decode()


@pytest.fixture(scope="module")
def source() -> Iterator[ArchiveSource]:
    with archive_source() as found:
        yield found


@pytest.fixture(scope="module")
def pods(
    migrated: Migrated, source: ArchiveSource, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Service]:
    given = {"threads": str(THREADS), "waiters": "1"}
    folder = tmp_path_factory.mktemp("streams")
    with migrated() as url, service(folder, url, f"{source.url}/", **given) as made:
        yield made


@pytest.fixture(scope="module")
def pod(pods: Service) -> Pod:
    return pods.api()[0]


@pytest.fixture
def ending(pods: Service) -> Iterator[Pod]:
    """Yield a pod for a test that terminates it."""
    (made,) = pods.api()
    yield made
    made.stop()


def serving_pid(pod: Pod) -> int:
    """Return the pid of the serving process: the only child."""
    children = Path(f"/proc/{pod.process.pid}/task/{pod.process.pid}/children").read_text().split()
    return int(children[0])


def threads_of(pid: int) -> int:
    return len(list(Path(f"/proc/{pid}/task").iterdir()))


def test_a_stream_says_that_something_changed_and_to_others_nothing(
    pod: Pod, source: ArchiveSource
) -> None:
    path = build_path()
    source.add(path, build(path))
    follows, other = Stream(pod, "work+locks"), Stream(pod, "apt+documents")
    for each in (follows, other):
        assert " 200 " in each.head.splitlines()[0]
        assert "text/event-stream" in each.head
        assert "no-store" in each.head
        each.read_until(b"retry: ")
    assert pod.client.stage(f"{source.url}/{path}").status == 201
    told = follows.read_until(b"event: changed\ndata: ") + follows.read_until(b"\n\n")
    assert b"work" in told
    other.sock.settimeout(0.3)
    with pytest.raises(TimeoutError):
        other.read_until(b"data: ")


def test_many_streams_occupy_no_thread_of_a_request(pod: Pod) -> None:
    pid = serving_pid(pod)
    first = Stream(pod, "work")
    first.read_until(b"\n\n")
    before = threads_of(pid)
    others = [Stream(pod, "work") for _ in range(STREAMS)]
    for each in others:
        each.read_until(b"\n\n")
    assert threads_of(pid) <= before
    # All request slots are free: more requests than slots are answered while all streams are open.
    for _ in range(2 * THREADS):
        assert pod.client.get("/api/v1.0/stagings").status == 200
    seen = pod.client.get("/api/v1.0/processes").json["items"]
    assert [each["busy"] for each in seen if each["kind"] == "api"] <= [1]


def test_an_old_client_gets_its_stream_without_chunks(pod: Pod) -> None:
    stream = Stream(pod, "work", version="1.0")
    assert "Transfer-Encoding" not in stream.head
    assert stream.read_until(b"\n\n").startswith(b"retry: ")


def test_streams_end_whole_when_the_process_stops(ending: Pod) -> None:
    streams = [Stream(ending, "work") for _ in range(3)]
    for each in streams:
        each.read_until(b"\n\n\r\n")
    ending.stop()
    assert [each.rest() for each in streams] == [b"0\r\n\r\n"] * 3
    assert "Traceback" not in ending.log.read_text()


def test_streams_of_a_killed_process_end_and_the_next_one_opens_others(ending: Pod) -> None:
    stream = Stream(ending, "work")
    stream.read_until(b"\n\n\r\n")
    ending.kill_one(serving_pid(ending))
    with suppress(ConnectionResetError):
        assert stream.rest() == b""

    def opens() -> bool:
        try:
            return " 200 " in Stream(ending, "work").head.splitlines()[0]
        except (OSError, AssertionError):
            return False

    eventually(opens, "no process took its place")


def test_a_frozen_reader_does_not_hold_up_the_end_of_the_process(ending: Pod) -> None:
    Stream(ending, "work").read_until(b"\n\n\r\n")  # and stops reading
    ending.process.send_signal(signal.SIGTERM)
    assert ending.process.wait(PATIENCE_SECONDS) == 0


@pytest.mark.parametrize("topics", ["", "weather", "work+weather"])
def test_topics_that_there_are_not_are_refused(pod: Pod, topics: str) -> None:
    stream = Stream(pod, topics, Accept="text/html")
    assert " 400 " in stream.head.splitlines()[0]


def test_every_table_is_part_of_a_topic_or_on_no_live_page() -> None:
    shown = [name for names in TABLES.values() for name in names]
    assert len(shown) == len(set(shown))
    assert set(metadata.tables) == set(shown) | ON_NO_LIVE_PAGE


def test_every_topic_and_screen_says_who_may_see_it() -> None:
    assert CALLS.keys() == TABLES.keys()
    for screen in SCREENS:
        assert screen.topics <= CALLS.keys()
