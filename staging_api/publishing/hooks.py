"""The operator's own programs, run before and after a publication goes live.

A hook is an executable file in a configured directory. Names follow run-parts (letters, digits,
``_`` and ``-``), so that ``10-notify.dpkg-old`` or an editor's backup is never run; the order is
that of the names' bytes. A hook gets no shell, no arguments, only the given environment, and its
own session, so that a time-out ends its children as well.

If this process dies, a running hook goes on by itself and may be run again by the next publisher:
hooks have to bear that.
"""

import ctypes
import fcntl
import os
import re
import signal
import subprocess
import time
from collections.abc import Iterator, Mapping
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import BinaryIO

#: How much of a hook's output is kept: its end, where programs say what went wrong.
OUTPUT_BYTES = 64 << 10

#: Of more than this only the end is kept while the hook runs, which is looked at so often.
_MOST_BYTES = 4 << 20
_LIBC = ctypes.CDLL(None)
#: FALLOC_FL_KEEP_SIZE and FALLOC_FL_PUNCH_HOLE of linux/falloc.h, together.
_PUNCH_HOLE = 0x03
_LOOK_SECONDS = 0.2
_NAME = re.compile(r"[A-Za-z0-9_-]+")
_PATH = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"


@dataclass(frozen=True)
class HookResult:
    """How one hook ended.

    Attributes:
        name: its file name.
        exit_code: 0 for success, negative for the signal that ended it, None if it was not started
            or ran out of time.
        timed_out: whether it was ended because its time was over.
        seconds: how long it ran.
        output: the end of what it wrote to both of its outputs, or why it did not start.
    """

    name: str
    exit_code: int | None
    timed_out: bool
    seconds: float
    output: str

    @property
    def succeeded(self) -> bool:
        """Whether it ended by itself and said that all is well."""
        return self.exit_code == 0


def run_hooks(
    directory: Path, environment: Mapping[str, str], timeout_seconds: float
) -> Iterator[HookResult]:
    """Run the hooks of a directory, each one when the iterator is advanced.

    A caller that stops after a failure runs no further ones. A directory that does not exist has no
    hooks; one that cannot be read is one hook that failed, as it may have some that object.

    Args:
        directory: where the hooks are.
        environment: all that they see besides PATH and LC_ALL.
        timeout_seconds: for each hook.
    """
    try:
        hooks = _hooks(directory)
    except OSError as error:
        yield _unstarted(directory, error)
        return
    for hook in hooks:
        yield _run(hook, environment, timeout_seconds)


def _hooks(directory: Path) -> list[Path]:
    try:
        found = sorted(directory.absolute().iterdir())
    except (FileNotFoundError, NotADirectoryError):
        return []
    named = [path for path in found if _NAME.fullmatch(path.name)]
    return [path for path in named if path.is_file() and os.access(path, os.X_OK)]


def _run(hook: Path, environment: Mapping[str, str], timeout_seconds: float) -> HookResult:
    started = time.monotonic()
    try:
        with _output() as output:
            exit_code, timed_out = _wait(_start(hook, environment, output), output, timeout_seconds)
            text = _end_of(output)
    except OSError as error:
        return _unstarted(hook, error)
    return HookResult(hook.name, exit_code, timed_out, time.monotonic() - started, text)


def _output() -> BinaryIO:
    """Open a file in memory for what a hook says: on a full disk it would end in the middle.

    No pipe: a child that outlives the hook would keep it open for ever, and a hook that outlives
    this process would be ended by its next line.
    """
    descriptor = os.memfd_create("hook")
    # A child that outlives the hook writes on behind what is read here.
    fcntl.fcntl(descriptor, fcntl.F_SETFL, os.O_APPEND)
    return os.fdopen(descriptor, "r+b", buffering=0)


def _unstarted(place: Path, error: OSError) -> HookResult:
    """Return the failure of a hook, or of a whole directory, that the system keeps from us."""
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
    process: "subprocess.Popen[bytes]", output: BinaryIO, timeout_seconds: float
) -> tuple[int | None, bool]:
    deadline = time.monotonic() + timeout_seconds
    try:
        while (left := deadline - time.monotonic()) > 0:
            with suppress(subprocess.TimeoutExpired):
                return process.wait(min(left, _LOOK_SECONDS)), False
            _keep_short(output)
        return None, True
    finally:
        # Also after success: what a hook leaves behind would run into the next publication.
        # What is another user's, as by sudo, cannot be ended, and is not waited for.
        with suppress(PermissionError):
            with suppress(ProcessLookupError):
                # The hook leads a session of its own, so its pid is the number of its group.
                os.killpg(process.pid, signal.SIGKILL)
            process.wait()


def _keep_short(output: BinaryIO) -> None:
    """Free the memory of all but the end of much output, however long it becomes.

    What the hook writes meanwhile stays whole and in its order, as no place in the file moves.
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
