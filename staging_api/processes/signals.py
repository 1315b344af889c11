"""Detect that this process should stop: by a signal, or because its parent has ended."""

import ctypes
import os
import signal
import threading
from collections.abc import Callable

_PR_SET_PDEATHSIG = 1


def on_stop(stop: Callable[[], None]) -> None:
    """Call `stop` in a separate thread, once for each of `stop_signals` received.

    A signal handler would run in the middle of the main thread's work, which may hold the very lock
    that `threading.Event.set` or the start of a thread needs; then the process would never stop.
    """
    reading, writing = os.pipe()
    os.set_blocking(writing, False)
    numbers = stop_signals()

    def watch() -> None:
        while got := os.read(reading, 1):
            if got[0] in numbers:
                stop()

    threading.Thread(target=watch, name="signals", daemon=True).start()
    # The interpreter's own handler writes the number of the signal to this pipe.
    signal.set_wakeup_fd(writing, warn_on_full_buffer=False)
    for number in numbers:
        signal.signal(number, lambda *_: None)


def stop_signals() -> frozenset[signal.Signals]:
    """Return the signals that end this process, with SIGHUP, sent when a terminal closes.

    SIGHUP is left out where it is ignored, as below ``nohup``.
    """
    asked = {signal.SIGTERM, signal.SIGINT}
    if signal.getsignal(signal.SIGHUP) != signal.SIG_IGN:
        asked.add(signal.SIGHUP)
    return frozenset(asked)


def stop_with_parent() -> None:
    """Stop this process, as by SIGTERM, when the parent's end of standard input is closed."""

    def watch() -> None:
        while os.read(0, 4096):
            pass
        os.kill(os.getpid(), signal.SIGTERM)

    threading.Thread(target=watch, name="parent-watch", daemon=True).start()


def stop_when_parent_dies(parent: int) -> None:
    """Have the kernel send SIGTERM to this process when its parent dies, without a thread."""
    libc = ctypes.CDLL(None, use_errno=True)
    if libc.prctl(_PR_SET_PDEATHSIG, int(signal.SIGTERM), 0, 0, 0):
        raise OSError(ctypes.get_errno(), "prctl(PR_SET_PDEATHSIG)")
    if os.getppid() != parent:  # the parent died before the call
        os.kill(os.getpid(), signal.SIGTERM)
