"""Hooks: the operator's own programs, run before and after a publication goes live.

A hook is an executable file in a configured directory. Names follow run-parts (letters, digits,
``_`` and ``-``), so that ``10-notify.dpkg-old`` or an editor's backup is never run; the order is
that of the names' bytes. A hook gets no shell and no arguments, only the given environment, and
runs in its own session, so that a timeout ends its children as well. It is also ended when its run
loses the lock: a copy to a mirror must not run at the same time as the copy of the next run.

What if the process dies? A running hook continues without it, and may be run again by the next
publisher run: hooks must tolerate that.
"""

import ctypes
import fcntl
import os
import re
import signal
import subprocess
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import BinaryIO

#: Maximum size of stored output of a hook: its end, where programs report errors.
OUTPUT_BYTES = 64 << 10

#: While a hook runs, its output is checked regularly; above this size only the end is kept.
_MOST_BYTES = 4 << 20
_LIBC = ctypes.CDLL(None)
#: FALLOC_FL_KEEP_SIZE and FALLOC_FL_PUNCH_HOLE of linux/falloc.h, together.
_PUNCH_HOLE = 0x03
_LOOK_SECONDS = 0.2
_NAME = re.compile(r"[A-Za-z0-9_-]+")
_PATH = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"


@dataclass(frozen=True)
class HookResult:
    """Result of one hook.

    Attributes:
        name: file name of the hook.
        exit_code: 0 for success, negative for the signal that ended it, None if it was not started
            or exceeded its time limit.
        timed_out: whether it was ended because of its time limit.
        seconds: duration.
        output: the end of its standard output and error, or why it did not start.
    """

    name: str
    exit_code: int | None
    timed_out: bool
    seconds: float
    output: str

    @property
    def succeeded(self) -> bool:
        """Whether the hook ended by itself with exit code 0."""
        return self.exit_code == 0


def run_hooks(
    directory: Path,
    environment: Mapping[str, str],
    timeout_seconds: float,
    check: Callable[[], None] = lambda: None,
) -> Iterator[HookResult]:
    """Run the hooks of a directory, each one when the iterator is advanced.

    A caller that stops after a failure runs no further hooks. A directory that does not exist has
    no hooks; an unreadable directory counts as one failed hook, because it may have hooks that
    object.

    Args:
        directory: directory of the hooks.
        environment: all environment variables besides PATH and LC_ALL.
        timeout_seconds: time limit for each hook.
        check: called several times a second; an exception that it raises ends the hook.
    """
    try:
        hooks = _hooks(directory)
    except OSError as error:
        yield _unstarted(directory, error)
        return
    for hook in hooks:
        check()
        yield _run(hook, environment, timeout_seconds, check)


def _hooks(directory: Path) -> list[Path]:
    try:
        found = sorted(directory.absolute().iterdir())
    except (FileNotFoundError, NotADirectoryError):
        return []
    named = [path for path in found if _NAME.fullmatch(path.name)]
    return [path for path in named if path.is_file() and os.access(path, os.X_OK)]


def _run(
    hook: Path,
    environment: Mapping[str, str],
    timeout_seconds: float,
    check: Callable[[], None],
) -> HookResult:
    started = time.monotonic()
    try:
        with _output() as output:
            process = _start(hook, environment, output)
            exit_code, timed_out = _wait(process, output, timeout_seconds, check)
            text = _end_of(output)
    except OSError as error:
        return _unstarted(hook, error)
    return HookResult(hook.name, exit_code, timed_out, time.monotonic() - started, text)


def _output() -> BinaryIO:
    """Open a file in memory for the output of a hook: on a full disk the output would be truncated.

    A pipe would not do: a child that outlives the hook would keep it open forever, and a hook that
    outlives this process would be ended by its next line of output.
    """
    descriptor = os.memfd_create("hook")
    # A child that outlives the hook appends after the part that is read here.
    fcntl.fcntl(descriptor, fcntl.F_SETFL, os.O_APPEND)
    return os.fdopen(descriptor, "r+b", buffering=0)


def _unstarted(place: Path, error: OSError) -> HookResult:
    """Return the failure of a hook, or of a directory, that the system refuses access to."""
    return HookResult(place.name, None, False, 0.0, f"could not be started: {error}")


def _start(
    hook: Path, environment: Mapping[str, str], output: BinaryIO
) -> "subprocess.Popen[bytes]":
    return subprocess.Popen(
        [hook],
        stdin=subprocess.DEVNULL,
        stdout=output,
        stderr=subprocess.STDOUT,
        env={"PATH": _PATH, "LC_ALL": "C.UTF-8", **environment},
        cwd="/",
        start_new_session=True,
    )


def _wait(
    process: "subprocess.Popen[bytes]",
    output: BinaryIO,
    timeout_seconds: float,
    check: Callable[[], None],
) -> tuple[int | None, bool]:
    deadline = time.monotonic() + timeout_seconds
    try:
        while (left := deadline - time.monotonic()) > 0:
            with suppress(subprocess.TimeoutExpired):
                return process.wait(min(left, _LOOK_SECONDS)), False
            _keep_short(output)
            check()
        return None, True
    finally:
        # Also after success: processes that a hook leaves behind would overlap with the next
        # publication. Processes of another user, started by sudo for example, cannot be ended, and
        # are not waited for.
        with suppress(PermissionError):
            with suppress(ProcessLookupError):
                # The hook leads its own session, so its pid is the number of its process group.
                os.killpg(process.pid, signal.SIGKILL)
            process.wait()


def _keep_short(output: BinaryIO) -> None:
    """Free the memory of long output except for its end.

    Output written meanwhile stays complete and in order, because no offset in the file changes.
    """
    size = os.fstat(output.fileno()).st_size
    if size > _MOST_BYTES:
        freed = ctypes.c_int64(size - OUTPUT_BYTES)
        _LIBC.fallocate(output.fileno(), _PUNCH_HOLE, ctypes.c_int64(0), freed)


def _last(output: BinaryIO) -> bytes:
    size = output.seek(0, os.SEEK_END)
    output.seek(max(0, size - OUTPUT_BYTES))
    return output.read(OUTPUT_BYTES)


def _end_of(output: BinaryIO) -> str:
    return _last(output).decode(errors="replace")
