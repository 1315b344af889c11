"""Pods as forks of a process that has imported the service, because imports dominate their start.

A pod is an ordinary process: it has its own session, process group, standard streams,
environment and folder. The start of the interpreter and the order of imports are not covered by
such a pod; other tests start the service as users do.

The process receives requests over a socket, one line of JSON with the pod's streams attached. It
ends when the socket is closed, thus with the tests; its pods end with the end of their input.
"""

import json
import os
import select
import socket
import subprocess
import sys
import tempfile
import threading
from collections.abc import Mapping
from functools import cache
from pathlib import Path
from typing import Any, BinaryIO, NoReturn

from tests.fork_imports import import_for_forks
from tests.program_end import run_to_its_end

_LONGEST = 1 << 20


class ForkedProcess:
    """A child of the fork server, with the subset of `subprocess.Popen` that pods need.

    Attributes:
        stdin: our end of its standard input.
    """

    def __init__(self, server: "ForkServer", pid: int, stdin: BinaryIO) -> None:
        self.pid = pid
        self.stdin: BinaryIO | None = stdin
        self.returncode: int | None = None
        self._server = server

    def poll(self) -> int | None:
        """Return the exit code as `subprocess` does; None while the process runs."""
        if self.returncode is None:
            self.returncode = self._server.ask({"poll": self.pid})
        return self.returncode

    def wait(self, timeout: float | None = None) -> int:
        """Wait for the end of the process, and return its exit code."""
        if self.poll() is None and not _ends_within(self.pid, timeout):
            raise subprocess.TimeoutExpired("a pod", timeout or 0.0)
        ended = self.poll()
        assert ended is not None
        return ended

    def send_signal(self, number: int) -> None:
        """Send a signal to the process, unless it has ended."""
        if self.poll() is None:
            os.kill(self.pid, number)

    def terminate(self) -> None:
        """Send SIGTERM."""
        self.send_signal(15)


class ForkServer:
    """The process from which pods of one kind are forked, for all tests of a process."""

    def __init__(self, verb: str) -> None:
        """Start the process.

        Args:
            verb: ``api``, whose processes share their metrics, or ``worker``, which does not: the
                library of metrics decides that when it is imported.
        """
        ours, its = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        self._folder = tempfile.TemporaryDirectory(prefix="fork-server-")
        # Each pod gets a folder of its own after the fork.
        shared = {"PROMETHEUS_MULTIPROC_DIR": self._folder.name} if verb == "api" else {}
        env = {**os.environ, **shared}
        self._process = subprocess.Popen(
            [sys.executable, "-m", __name__, str(its.fileno())],
            env=env,
            pass_fds=[its.fileno()],
            stdin=subprocess.DEVNULL,
            start_new_session=True,
        )
        its.close()
        self._socket = ours
        self._mutex = threading.Lock()

    def start(self, arguments: list[str], env: Mapping[str, str], out: BinaryIO) -> ForkedProcess:
        """Start ``staging-api`` with these arguments."""
        read_end, write_end = os.pipe()
        asked = {"start": arguments, "env": dict(env), "folder": str(Path.cwd())}
        try:
            pid = self.ask(asked, [read_end, out.fileno()])
        finally:
            os.close(read_end)
        return ForkedProcess(self, pid, os.fdopen(write_end, "wb", buffering=0))

    def ask(self, what: Mapping[str, Any], fds: list[int] | None = None) -> Any:
        """Send a request to the process; return the response."""
        with self._mutex:
            socket.send_fds(self._socket, [json.dumps(what).encode()], fds or [])
            return json.loads(self._socket.recv(_LONGEST))


def _ends_within(pid: int, timeout: float | None) -> bool:
    """Wait for the end of a process for at most this time; return whether it has ended."""
    try:
        descriptor = os.pidfd_open(pid)
    except ProcessLookupError:
        return True  # another thread waited for it, too
    try:
        return bool(select.select([descriptor], [], [], timeout)[0])
    finally:
        os.close(descriptor)


@cache
def fork_server(verb: str) -> ForkServer:
    """Return this process's fork server for pods of this kind; it is started on first use."""
    return ForkServer(verb)


def _live(number: int) -> None:
    """Run the fork server until the tests end."""
    import_for_forks()
    asked = socket.socket(fileno=number)
    while select.select([asked], [], []):
        line, fds, _flags, _address = socket.recv_fds(asked, _LONGEST, 2)
        if not line:
            return
        what = json.loads(line)
        answer = _ended(what["poll"]) if "poll" in what else _forked(what, fds, asked)
        asked.send(json.dumps(answer).encode())


# Two threads of a test may wait for one pod; the kernel reports its exit code only once.
_exit_codes: dict[int, int] = {}


def _ended(pid: int) -> int | None:
    if pid not in _exit_codes:
        found, status = os.waitpid(pid, os.WNOHANG)
        if not found:
            return None
        _exit_codes[pid] = os.waitstatus_to_exitcode(status)
    return _exit_codes[pid]


def _forked(what: Mapping[str, Any], fds: list[int], asked: socket.socket) -> int:
    pid = os.fork()
    if pid == 0:
        _become(what, fds, asked)
    _exit_codes.pop(pid, None)  # of an earlier pod with this number
    for each in fds:
        os.close(each)
    return pid


def _become(what: Mapping[str, Any], fds: list[int], asked: socket.socket) -> NoReturn:
    """Turn this fork into the pod."""
    os.setsid()
    for target, source in enumerate((fds[0], fds[1], fds[1])):
        os.dup2(source, target)
    for each in (*fds, asked.fileno()):
        os.close(each)
    os.environ.clear()
    os.environ.update(what["env"])
    os.chdir(what["folder"])
    sys.argv = ["staging-api", *what["start"]]
    from staging_api.cli import main

    # A process that the pod forks ends here as well.
    run_to_its_end(main)


if __name__ == "__main__":
    _live(int(sys.argv[1]))
