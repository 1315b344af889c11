"""Reading of a file during its download: received bytes at once, its end only when verified."""

import random
import threading
from collections.abc import Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import falcon
import pytest
from falcon.testing import create_environ

from staging_api import metrics
from staging_api.errors import Cancelled, Invalid, SourceFailed, Unavailable
from staging_api.http.resources.growing import follow
from staging_api.shutdown import Shutdown
from staging_api.staging.accesses import Accesses
from staging_api.staging.model import Staging
from staging_api.staging.partial_files import (
    HELD_BACK_BYTES,
    FollowedFile,
    PartialFileBroken,
    PartialFiles,
)
from staging_api.staging.watch import Watch
from tests.factories import ORIGIN
from tests.service import eventually
from tests.source import PATIENCE_SECONDS
from tests.stagings import Bench, bench

CONTENT = random.Random("payload").randbytes(400_000)


class Gate:
    """A source that delivers its payload as far as a test permits."""

    def __init__(self):
        self.content = CONTENT
        self._allowed = 0
        self._end: Exception | None = None
        self._ended = False
        self._inner = None

    def around(self, inner):
        self._inner = inner
        return self

    def __getattr__(self, name):
        return getattr(self._inner, name)

    def let(self, allowed: int) -> None:
        self._allowed = allowed

    def end(self, error: Exception | None = None) -> None:
        self._ended, self._end = True, error

    @contextmanager
    def open(self, found, start=0, end=None):
        yield self._chunks()

    def _chunks(self) -> Iterator[bytes]:
        position, pause = 0, threading.Event()
        while position < self._allowed or not self._ended:
            upto = min(self._allowed, len(self.content))
            # An empty chunk, too, makes the engine report its progress.
            yield self.content[position:upto]
            position = max(position, upto)
            pause.wait(0.02)
        if self._end is not None:
            raise self._end


@pytest.fixture
def gate() -> Gate:
    return Gate()


@pytest.fixture
def at(database, database_url, tmp_path, gate) -> Iterator[Bench]:
    with bench(database, database_url, tmp_path, opened=gate.around) as made:
        yield made


@pytest.fixture
def files(at) -> PartialFiles:
    return growing(at)


def growing(at, waiter_slots=4, patience_seconds=PATIENCE_SECONDS) -> PartialFiles:
    watch = Watch(at.database, threading.BoundedSemaphore(waiter_slots), Shutdown())
    return PartialFiles(at.database, at.service.blobs, watch, patience_seconds)


@dataclass
class OnItsWay:
    """A payload that another thread stages."""

    path: str
    done: "Future[Staging]"

    def follow(self, files: PartialFiles) -> FollowedFile:
        found = files.begin(self.path, PATIENCE_SECONDS)
        assert found is not None
        return found


@contextmanager
def staging(at: Bench, gate: Gate, allowed: int, content: bytes = CONTENT) -> Iterator[OnItsWay]:
    """Yield the payload, staged as far as permitted."""
    gate.content = content
    gate.let(allowed)
    url = at.build(payload_bin=content)
    with ThreadPoolExecutor(1) as pool:
        done = pool.submit(at.stage, url, "payload")
        paths = "SELECT path FROM staged_artifacts"
        eventually(lambda: bool(at.rows(paths)), "it is not planned")
        try:
            yield OnItsWay(str(at.rows(paths)[0][0]), done)
        finally:
            gate.end()


def read(body: Iterator[bytes], count: int) -> bytes:
    """Read this many bytes of the body, in chunks of any size."""
    got = b""
    while len(got) < count:
        got += next(body)
    return got


def test_written_bytes_are_served_while_the_rest_is_fetched(at, gate, files):
    with staging(at, gate, 200_000) as coming:
        body = iter(coming.follow(files))
        assert read(body, 200_000 - HELD_BACK_BYTES) == CONTENT[: 200_000 - HELD_BACK_BYTES]
        assert not coming.done.done()
        gate.let(len(CONTENT))
        gate.end()
        assert coming.done.result().state == "staged"
        assert b"".join(body) == CONTENT[200_000 - HELD_BACK_BYTES :]


def test_written_bytes_make_a_new_version_of_the_staging(at, gate):
    """A waiting client learns of the change at once, not at the next poll."""
    seen = "SELECT s.version, a.bytes_done FROM stagings s JOIN staged_artifacts a ON true"
    versions = []
    with staging(at, gate, 0):
        for allowed in (200_000, 250_000):
            gate.let(allowed)
            eventually(lambda: at.rows(seen)[0][1] == allowed, "it is not written")  # noqa: B023
            versions.append(at.rows(seen)[0][0])
    assert versions[0] < versions[1]


def test_the_end_is_held_back_until_the_file_is_staged(at, gate, files):
    with staging(at, gate, len(CONTENT)) as coming:
        body = iter(coming.follow(files))
        got = read(body, len(CONTENT) - HELD_BACK_BYTES)
        assert len(got) == len(CONTENT) - HELD_BACK_BYTES
        gate.end(SourceFailed("cut at the very end"))
        with pytest.raises(PartialFileBroken):
            next(body)
        with pytest.raises(SourceFailed):
            coming.done.result()


def test_a_file_that_changed_meanwhile_is_never_completed(at, gate, files):
    """As if a source changed between two attempts, or a network file system returned old bytes."""
    with staging(at, gate, 200_000) as coming:
        followed = coming.follow(files)
        ((file,),) = at.rows("SELECT file FROM growing_files")
        with (at.store / str(file)).open("r+b") as written:
            written.write(b"not what was written here")
        got = read(iter(followed), 200_000 - HELD_BACK_BYTES)
        gate.let(len(CONTENT))
        gate.end()
        coming.done.result()
        with pytest.raises(PartialFileBroken):
            for chunk in followed:
                got += chunk
    assert len(got) <= len(CONTENT) - HELD_BACK_BYTES


def test_a_cancellation_ends_the_stream_of_a_partial_file(at, gate, files):
    with staging(at, gate, 200_000) as coming:
        followed = coming.follow(files)
        body = iter(followed)
        read(body, 1)
        at.service.cancel(followed.staging_id, ORIGIN)
        with pytest.raises(PartialFileBroken):
            list(body)
        with pytest.raises(Cancelled):
            coming.done.result()


def test_a_path_that_no_staging_brings_is_not_followed(at, files):
    assert files.begin("board/R17-1/payload.bin", 0.1) is None


def test_a_file_staged_meanwhile_is_not_followed(at, gate, files):
    with staging(at, gate, HELD_BACK_BYTES, CONTENT[:HELD_BACK_BYTES]) as coming:
        with ThreadPoolExecutor(1) as pool:
            begun = pool.submit(files.begin, coming.path, PATIENCE_SECONDS)
            gate.end()
            coming.done.result()
            assert begun.result() is None


def test_a_file_that_does_not_begin_in_time_is_unavailable(at, gate, files):
    with staging(at, gate, 0) as coming, pytest.raises(Unavailable, match="not begun"):
        files.begin(coming.path, 0.2)


def test_a_reader_without_a_waiter_slot_is_refused_and_slots_are_released(at, gate):
    files = growing(at, waiter_slots=1)
    with staging(at, gate, 200_000) as coming:
        first = coming.follow(files)
        with pytest.raises(Unavailable, match="too many requests are waiting"):
            files.begin(coming.path, 1)
        first.close()
        coming.follow(files).close()


def test_a_reader_waits_only_as_long_as_its_patience(at, gate):
    files = growing(at, patience_seconds=0.3)
    with staging(at, gate, 200_000) as coming:
        body = iter(coming.follow(files))
        with pytest.raises(Unavailable, match="too long"):
            list(body)


def test_a_file_that_grows_has_no_version_and_is_counted_as_far_as_it_was_sent(at, gate, files):
    accesses, resp = Accesses(at.database), falcon.Response()
    req = falcon.Request(create_environ("/static/board/R17-1/build.log"))
    req.context.caller = "reader"
    before = metrics.SERVED_BYTES._value.get()
    with staging(at, gate, 200_000) as coming:
        followed = coming.follow(files)
        follow(req, resp, followed, accesses)
        body: Any = resp.stream
        sent = len(read(iter(body), 100_000))
        body.close()
    said = {name: resp.get_header(name) for name in ("ETag", "Accept-Ranges", "Content-Length")}
    assert said == {"ETag": None, "Accept-Ranges": "none", "Content-Length": str(len(CONTENT))}
    assert resp.get_header("X-Staging-Id") == followed.staging_id
    assert resp.get_header("X-Accel-Buffering") == "no"
    assert resp.get_header("Content-Type") == "text/plain; charset=utf-8"
    assert metrics.SERVED_BYTES._value.get() == before + sent
    accesses.close()
    noted = at.rows("SELECT artifact_id, caller, hits, bytes FROM artifact_accesses")
    assert noted == [(followed.artifact_id, "reader", 1, sent)]


def test_a_client_that_cannot_detect_a_truncated_body_is_refused(at, gate):
    files = growing(at, waiter_slots=2)
    with staging(at, gate, 200_000) as coming:
        followed = coming.follow(files)
        at.tamper("UPDATE growing_files SET size_bytes = NULL")
        unsized = coming.follow(files)
        assert (followed.size_bytes, unsized.size_bytes) == (len(CONTENT), None)
        old = falcon.Request(create_environ(http_version="1.0"))
        with pytest.raises(Invalid, match=r"HTTP/1\.1"):
            follow(old, falcon.Response(), unsized, Accesses(at.database))
        old.context.caller = "reader"
        follow(old, resp := falcon.Response(), followed, Accesses(at.database))
        assert resp.stream is not None
        # The slot of the refused request is free again.
        coming.follow(files).close()
        followed.close()
