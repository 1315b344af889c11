"""How a process learns that it is to stop: by a signal, or as its parent has ended."""

import ctypes
import os
import signal
import threading
from collections.abc import Callable

_PR_SET_PDEATHSIG = 1


def on_stop(stop: Callable[[], None]) -> None:
    """Run it in a thread of its own, once for each of `stop_signals`.

    A handler would run it in the middle of whatever the main thread does, which may hold the very
    lock that `threading.Event.set` or a thread's start needs, and then nothing would ever stop.
    """
    reading, writing = os.pipe()
    os.set_blocking(writing, False)
    numbers = stop_signals()

    def watch() -> None:
        while got := os.read(reading, 1):
            if got[0] in numbers:
                stop()

    threading.Thread(target=watch, name="signals", daemon=True).start()
    # The interpreter's own handler writes the signal's number there.
    signal.set_wakeup_fd(writing, warn_on_full_buffer=False)
    for number in numbers:
        signal.signal(number, lambda *_: None)


def stop_signals() -> frozenset[signal.Signals]:
    """Return what asks this process to end: SIGHUP too, by which a terminal that is closed does.

    Not where it is ignored, as below ``nohup``.
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
    if os.getppid() != parent:  # it died before the request
        os.kill(os.getpid(), signal.SIGTERM)
