"""Stop of a process: by a signal, or at the end of its input."""

import os
import signal
import threading
from collections.abc import Iterator

import pytest

from staging_api.processes.signals import on_stop, stop_with_parent
from tests.service import eventually


@pytest.fixture
def _handlers() -> Iterator[None]:
    """Restore the signal handlers and the wake-up descriptor after each test."""
    numbers = (signal.SIGTERM, signal.SIGINT, signal.SIGHUP)
    before = [signal.getsignal(number) for number in numbers]
    yield
    written = signal.set_wakeup_fd(-1)
    if written != -1:
        os.close(written)  # this ends the thread
    for number, handler in zip(numbers, before, strict=True):
        signal.signal(number, handler)


@pytest.mark.usefixtures("_handlers")
def test_each_signal_to_stop_is_told_once_in_a_thread_and_others_are_none() -> None:
    told: list[threading.Thread] = []
    on_stop(lambda: told.append(threading.current_thread()))
    other = signal.signal(signal.SIGUSR1, lambda *_: None)
    signal.raise_signal(signal.SIGUSR1)
    signal.raise_signal(signal.SIGTERM)
    eventually(lambda: len(told) == 1, "it is not told")
    signal.raise_signal(signal.SIGINT)
    eventually(lambda: len(told) == 2, "it is not told")
    signal.signal(signal.SIGUSR1, other)
    assert {(thread.name, thread.daemon) for thread in told} == {("signals", True)}


@pytest.mark.usefixtures("_handlers")
@pytest.mark.parametrize("is_ignored", [False, True])
def test_a_terminal_that_is_closed_stops_a_process_that_does_not_ignore_it(
    is_ignored: bool,
) -> None:
    signal.signal(signal.SIGHUP, signal.SIG_IGN if is_ignored else signal.SIG_DFL)
    told: list[None] = []
    on_stop(lambda: told.append(None))
    if not is_ignored:
        signal.raise_signal(signal.SIGHUP)
        eventually(lambda: len(told) == 1, "it is not told")
        return
    signal.raise_signal(signal.SIGHUP)
    signal.raise_signal(signal.SIGTERM)
    eventually(lambda: len(told) == 1, "it is not told")
    signal.raise_signal(signal.SIGINT)
    eventually(lambda: len(told) == 2, "it is not told")


@pytest.mark.usefixtures("_handlers")
def test_a_signal_that_comes_together_with_others_is_told() -> None:
    told: list[None] = []
    on_stop(lambda: told.append(None))
    written = signal.set_wakeup_fd(-1)
    signal.set_wakeup_fd(written, warn_on_full_buffer=False)
    # Both signals arrive before the thread looks: one write, with no chance to look between them.
    os.write(written, bytes([signal.SIGUSR1, signal.SIGTERM]))
    eventually(lambda: len(told) == 1, "it is not told")


@pytest.mark.usefixtures("_handlers")
def test_a_flood_of_signals_holds_up_and_prints_nothing(
    monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    written: list[int] = []
    set_wakeup_fd = signal.set_wakeup_fd

    def noted(descriptor: int, **how: bool) -> int:
        written.append(descriptor)
        return set_wakeup_fd(descriptor, **how)

    monkeypatch.setattr(signal, "set_wakeup_fd", noted)
    goes_on = threading.Event()

    def stop() -> None:
        goes_on.wait()

    on_stop(stop)
    assert not os.get_blocking(written[0])
    signal.raise_signal(signal.SIGTERM)
    with pytest.raises(BlockingIOError):  # the pipe is full
        while True:
            os.write(written[0], bytes([signal.SIGUSR1]))
    signal.raise_signal(signal.SIGTERM)
    goes_on.set()
    assert capfd.readouterr().err == ""


@pytest.mark.parametrize("sends", [b"", b"x" * 9000])
def test_the_end_of_standard_input_and_nothing_that_comes_there_ends_a_process(
    sends: bytes, monkeypatch: pytest.MonkeyPatch
) -> None:
    reading, writing = os.pipe()
    read = os.read
    monkeypatch.setattr(
        os, "read", lambda descriptor, size: read(reading if descriptor == 0 else descriptor, size)
    )
    killed: list[tuple[int, int]] = []
    monkeypatch.setattr(os, "kill", lambda *given: killed.append(given))
    before = set(threading.enumerate())
    stop_with_parent()
    [thread] = set(threading.enumerate()) - before
    assert (thread.name, thread.daemon) == ("parent-watch", True)
    os.write(writing, sends)
    thread.join(0.05)
    assert killed == []
    os.close(writing)
    thread.join(30)
    assert killed == [(os.getpid(), signal.SIGTERM)]
    os.close(reading)
