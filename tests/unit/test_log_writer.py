"""Batched log lines: none lost, order kept, errors written at once."""

import io
import json
import logging
import os
import subprocess
import sys
import threading
import time
from collections import deque
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from staging_api import logs
from staging_api.log_writer import LineWriter
from staging_api.processes.api_server import ApiServer
from tests.service import eventually


class Stream(io.StringIO):
    """Stream that counts writes, and can block a writer."""

    def __init__(self) -> None:
        super().__init__()
        self.writes = 0
        self.open = threading.Event()
        self.open.set()

    def write(self, text: str, /) -> int:
        self.open.wait()
        self.writes += 1
        return super().write(text)

    def lines(self) -> list[str]:
        return self.getvalue().splitlines()


@pytest.fixture
def stream() -> Stream:
    return Stream()


@pytest.fixture
def log(stream: Stream) -> Iterator[logging.Logger]:
    """Yield a separate logger, whose handler queues."""
    logger = logging.Logger("alone", logging.INFO)  # noqa: LOG001 - of this test alone
    writer = LineWriter(stream)
    logger.addHandler(writer)
    writer.start()
    yield logger
    writer.flush()


def writer_of(log: logging.Logger) -> LineWriter:
    (writer,) = log.handlers
    assert isinstance(writer, LineWriter)
    return writer


def test_a_line_is_written_at_once_before_the_thread_is_started(stream: Stream) -> None:
    LineWriter(stream).add("one")
    assert stream.lines() == ["one"]


def test_lines_are_written_together_and_in_order(log: logging.Logger, stream: Stream) -> None:
    stream.open.clear()
    for number in range(100):
        log.info("%d", number)
    stream.open.set()
    writer_of(log).flush()
    assert stream.lines() == [str(number) for number in range(100)]
    assert stream.writes < 10


def test_a_line_is_written_by_itself_soon(log: logging.Logger, stream: Stream) -> None:
    written = threading.Event()
    stream.flush = written.set  # type: ignore[method-assign]
    log.info("one")
    assert written.wait(30)
    assert stream.lines() == ["one"]
    written.clear()
    log.info("two")  # the thread continues
    assert written.wait(30)
    assert stream.lines() == ["one", "two"]


def test_the_thread_rests_while_nothing_is_said(
    log: logging.Logger, stream: Stream, monkeypatch: pytest.MonkeyPatch
) -> None:
    thread, pauses, pause = writer_of(log)._thread, list[float](), time.sleep
    assert thread is not None

    def counted(seconds: float) -> None:
        if threading.current_thread() is thread._thread:
            pauses.append(seconds)
        pause(seconds)

    monkeypatch.setattr(time, "sleep", counted)
    log.info("one")
    eventually(lambda: stream.lines() == ["one"], "it was not written")
    threading.Event().wait(0.3)
    assert pauses == [0.05]


@pytest.mark.parametrize("level", [logging.WARNING, logging.ERROR])
def test_an_error_is_written_before_the_call_returns_and_all_before_it(
    log: logging.Logger, stream: Stream, level: int
) -> None:
    log.info("before")
    log.log(level, "wrong")
    assert stream.lines() == ["before", "wrong"]


def test_a_full_queue_is_written_by_who_finds_it_full(stream: Stream) -> None:
    writer = LineWriter(stream)
    writer.start()
    for number in range(2500):
        writer.add(str(number))
        assert len(writer._lines) < 1000  # limited, whatever the thread does
    writer.flush()
    assert stream.lines() == [str(number) for number in range(2500)]
    assert stream.writes < 100  # batched: an added line is not urgent


def test_lines_of_many_threads_are_all_written_each_thread_s_in_order(
    log: logging.Logger, stream: Stream
) -> None:
    def say(name: str) -> None:
        for number in range(500):
            (log.warning if number % 50 == 0 else log.info)("%s %d", name, number)

    threads = [threading.Thread(target=say, args=(name,)) for name in "abcd"]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    writer_of(log).flush()
    for name in "abcd":
        said = [line for line in stream.lines() if line.startswith(name)]
        assert said == [f"{name} {number}" for number in range(500)]


def test_a_stream_that_is_closed_fails_nobody(log: logging.Logger, stream: Stream) -> None:
    stream.close()
    log.error("one")


def test_a_line_that_cannot_be_made_is_told_of_and_keeps_no_other_back(
    log: logging.Logger, stream: Stream, capsys: pytest.CaptureFixture[str]
) -> None:
    """As in the standard library: a mistake in a logging call must be visible."""
    log.error("%d files", "no number")
    log.error("two")
    assert stream.lines() == ["two"]
    told = capsys.readouterr().err
    assert told.startswith("--- Logging error ---")
    assert "Message: '%d files'" in told


# The parent has a queued line when it forks; each line is written once, by its own process.
_FORKS = """
import logging, os, sys
from staging_api import logs
logs.configure("json")
logs.write_together()
log = logging.getLogger("x")
log.info("of the parent")
child = os.fork()
if not child:
    log.info("of the child, alone")
    logs.write_together()
    log.info("of the child, queued")
    sys.exit()
os.waitpid(child, 0)
log.info("the last")
"""


def test_an_end_in_good_order_writes_every_line_of_every_process_once() -> None:
    done = subprocess.run(
        # From 3.12 on, Python warns of a fork beside threads, which is the subject of this test.
        [sys.executable, "-W", "ignore::DeprecationWarning", "-c", _FORKS],
        stderr=subprocess.PIPE,
        text=True,
        timeout=60,
        check=False,
        env={**os.environ, "PYTHONPATH": str(Path.cwd())},
    )
    said = sorted(json.loads(line)["event"] for line in done.stderr.splitlines())
    assert said == ["of the child, alone", "of the child, queued", "of the parent", "the last"]


def test_the_line_of_a_request_is_the_one_of_the_standard_library(
    capsys: pytest.CaptureFixture[str],
) -> None:
    root = logging.getLogger()
    handlers, level = root.handlers[:], root.level
    log, text = logging.getLogger("staging_api.access"), "GET /x 200 100%s stg_" + "a" * 30
    try:
        logs.configure("json")
        logs.bind_log_context(request_id="r", caller="ci")
        log.info("%s", text)
        logs.say(log, text)
        root.addHandler(other := logging.NullHandler())
        logs.say(log, text)
        root.removeHandler(other)
        log.disabled = True
        logs.say(log, text)
    finally:
        log.disabled = False
        logs.clear_log_context()
        root.handlers[:], root.level = handlers, level
    shown = [json.loads(line) for line in capsys.readouterr().err.splitlines()]
    for line in shown:
        line.pop("timestamp")
    assert shown == [shown[0]] * 3
    assert shown[0]["event"] == "GET /x 200 100%s ***"
    assert shown[0]["caller"] == "ci"


def none_between(_between: logging.Logger) -> None:
    pass


def with_handler(between: logging.Logger) -> None:
    between.addHandler(logging.NullHandler())


def that_keeps_lines(between: logging.Logger) -> None:
    between.propagate = False


@pytest.mark.parametrize(
    ("made", "records", "lines"),
    [
        (none_between, 0, ["one", "two"]),
        (with_handler, 2, ["one", "two"]),
        (that_keeps_lines, 2, []),
    ],
)
def test_a_line_of_a_request_takes_a_record_only_where_a_logger_on_its_way_differs(
    capsys: pytest.CaptureFixture[str],
    made: Callable[[logging.Logger], None],
    records: int,
    lines: list[str],
) -> None:
    root, factory = logging.getLogger(), logging.getLogRecordFactory()
    handlers, level = root.handlers[:], root.level
    log = logging.getLogger(f"service.{made.__name__}.access")
    # As gunicorn does: a logger is created where only the prefix of a name existed.
    between = logging.getLogger(f"service.{made.__name__}")
    assert log.parent is between
    count = 0

    def counted(*args: Any, **kwargs: Any) -> logging.LogRecord:
        nonlocal count
        count += 1
        return factory(*args, **kwargs)

    try:
        logs.configure("json")
        made(between)
        logging.setLogRecordFactory(counted)
        logs.say(log, "one")
        logs.say(log, "two")
    finally:
        logging.setLogRecordFactory(factory)
        root.handlers[:], root.level = handlers, level
    said = capsys.readouterr().err.splitlines()
    assert [json.loads(line)["event"] for line in said] == lines
    assert count == records


def test_a_process_of_the_api_writes_its_last_lines_when_it_ends(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    stream = Stream()
    writer = LineWriter(stream)
    # A thread that has not yet written, as at the end of a process.
    monkeypatch.setattr(writer, "_thread", object())
    monkeypatch.setattr(logging.getLogger(), "handlers", [writer])
    for line in ("one", "two"):
        writer.add(line)
    assert stream.getvalue() == ""
    ending = object.__new__(ApiServer)
    ending.services = None
    ending._close()
    assert stream.getvalue() == "one\ntwo\n"


def test_a_signal_handler_may_log_while_its_thread_writes(stream: Stream) -> None:
    writer = LineWriter(stream)

    class Interrupted(deque[str]):
        """Logs a line within the first step of a write, as a signal handler does."""

        said = False

        def popleft(self) -> str:
            if not self.said:
                self.said = True
                writer.add("signal", urgent=True)
            return super().popleft()

    writer.start()
    writer._lines = Interrupted(["one", "two"])
    writer.flush()
    assert stream.lines() == ["one", "two", "signal"]


def test_a_signal_handler_may_log_while_the_stream_is_entered(stream: Stream) -> None:
    class Single(Stream):
        """Stream that refuses reentrant calls, as a buffered stream does."""

        inside = False

        def write(self, text: str, /) -> int:
            if self.inside:
                raise RuntimeError("reentrant call")
            self.inside = True
            if "one" in text:
                writer.add("signal", urgent=True)
            self.inside = False
            return super().write(text)

    single = Single()
    writer = LineWriter(single)
    writer.add("one")
    assert single.lines() == ["one", "signal"]
