"""Silent sources: reading stops as soon as the bytes are no longer needed."""

import threading
import time
from contextlib import contextmanager
from dataclasses import replace

import pytest

from staging_api.errors import ArchiveUnsafe, ArtifactNotFound, Cancelled, SourceFailed
from staging_api.prefetch import prefetched
from staging_api.sources import open_archive
from staging_api.sources.allowlist import AllowList
from staging_api.sources.interruptible import Interruptible
from staging_api.sources.model import SourceObject, SourceOptions
from staging_api.sources.url import parse
from tests.source import archive_source

FOUND = SourceObject("object", "gs://bucket/b/object", 6, "v")


class SilentSource:
    """A source that sends some chunks, and then nothing until it is released."""

    url = "gs://bucket/b"

    def __init__(self, *chunks):
        self.chunks = chunks
        self.silent = threading.Event()
        self.released = threading.Event()
        self.left = threading.Event()
        self.asked = []

    def names(self):
        return list(self._pieces())

    def stat(self, name):
        raise ArtifactNotFound(f"{name} is not there")

    @contextmanager
    def open(self, found, start=0, end=None):
        self.asked.append((start, end))
        try:
            yield self._pieces()
        finally:
            self.left.set()

    def close(self):
        self.released.set()

    def _pieces(self):
        yield from self.chunks
        self.silent.set()
        assert self.released.wait(20)
        yield b"late"


def never():
    """Return false: the reader never gives up."""


def test_what_a_source_sends_comes_whole_and_in_order():
    source = SilentSource(*(bytes([n]) for n in range(50)))
    source.released.set()
    with Interruptible(source, never).open(FOUND) as chunks:
        assert b"".join(chunks) == bytes(range(50)) + b"late"
    assert source.asked == [(0, None)]
    assert source.left.is_set()


def test_an_object_is_taken_with_what_describes_it_and_the_next_one_apart():
    class Described(SilentSource):
        def stat(self, name):
            return replace(FOUND, name=name)

    source = Described(b"one", b"two")
    source.released.set()
    taking = Interruptible(source, never)
    for name in ("object", "another"):
        with taking.take(name) as (found, chunks):
            assert found == replace(FOUND, name=name)
            assert list(chunks) == [b"one", b"two", b"late"]


def test_an_error_of_the_source_is_raised_in_the_waiting_thread():
    with pytest.raises(ArtifactNotFound):
        Interruptible(SilentSource(), never).stat("object")


@pytest.mark.parametrize("ask", ["names", "open"])
def test_a_failed_check_ends_the_wait_for_a_silent_source(ask):
    source = SilentSource(b"one")

    def check():
        if source.silent.is_set():
            raise Cancelled("enough")

    waited = Interruptible(source, check)
    with pytest.raises(Cancelled):
        if ask == "names":
            waited.names()
        else:
            with waited.open(FOUND) as chunks:
                list(chunks)
    assert not source.released.is_set()
    waited.close()
    assert source.released.is_set()


def test_leaving_early_abandons_the_source():
    source = SilentSource(b"one", b"two", b"three", b"four")
    source.released.set()
    with Interruptible(source, never).open(FOUND) as chunks:
        assert next(chunks) == b"one"
    assert source.left.wait(20)


def test_it_reads_ahead_by_no_more_than_a_few_chunks():
    sent = []

    class Endless(SilentSource):
        def _pieces(self):
            while not self.released.is_set():
                sent.append(1)
                yield b"x"

    source = Endless()
    with Interruptible(source, never).open(FOUND) as chunks:
        for _ in range(10):
            next(chunks)
        assert len(sent) <= 14
    source.close()
    assert source.left.wait(20)


@pytest.mark.parametrize("after_bytes", [0, 100_000])
def test_closing_hangs_up_on_a_server_that_is_silent(after_bytes):
    with archive_source() as server:
        url = server.add("board/R17", {"object": bytes(1_000_000)})
        options = SourceOptions(read_timeout_seconds=60, connect_timeout_seconds=60)
        source = open_archive(parse(url), AllowList.parse(server.url), options)
        found = source.stat("object")
        held = server.hold(url, "object", after_bytes)
        failed: list[SourceFailed] = []

        def read():
            try:
                with source.open(found) as chunks:
                    list(chunks)
            except SourceFailed as error:
                failed.append(error)

        reader = threading.Thread(target=read)
        reader.start()
        held.wait_until_reached()
        began = time.monotonic()
        source.close()
        reader.join(30)
        assert not reader.is_alive(), f"it still reads after {time.monotonic() - began:.0f} s"
        assert failed[0].detail == "object: this source was closed"
        assert server.read_of(url) == {"object": 1}


def test_an_abandoned_stage_abandons_its_silent_source():
    source = SilentSource(b"a member that must not be unpacked")

    def members():
        with Interruptible(source, never).open(FOUND) as chunks:
            yield from chunks

    with pytest.raises(ArchiveUnsafe), prefetched(members()) as pieces:
        next(pieces)
        assert source.silent.wait(10)
        raise ArchiveUnsafe("it is a device")
    assert not source.left.is_set()  # the source is still silent
    source.close()
    assert source.left.wait(10)
