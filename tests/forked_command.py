"""The command ``staging-api`` in a fork of a process that has imported it.

Starting an interpreter and importing takes ten times as long as most commands do. `words` returns
an ordinary command: it has the streams, environment and folder of the process that starts it, an
exit code, and ends with that process. The start of the interpreter and the order of imports are
not covered; other tests start the program itself.

A small program (`tests.forked_command_client`) hands its streams over a socket to the process that
forks, passes signals on to the command, and waits. That process ends with the tests.
"""

import json
import os
import select
import signal
import socket
import subprocess
import sys
import tempfile
from contextlib import suppress
from functools import cache
from pathlib import Path
from typing import Any, NoReturn

from tests.fork_imports import import_for_forks
from tests.program_end import run_to_its_end

_CLIENT = Path(__file__).with_name("forked_command_client.py")
_LONGEST = 1 << 20
_STREAMS = (0, 1, 2)
_MOST_OPEN = 1 << 10


def words(*, shares_metrics: bool = False) -> list[str]:
    """Return the words that replace ``staging-api`` in a command of a test.

    Args:
        shares_metrics: whether it is ``serve`` or ``api``, whose processes share their metrics: the
            library of metrics decides that when it is imported.
    """
    return [sys.executable, "-I", "-S", str(_CLIENT), _running(shares_metrics).path]


class _Server:
    """The process from which commands are forked.

    Attributes:
        path: path of its socket.
    """

    def __init__(self, shares_metrics: bool) -> None:
        self._folder = tempfile.TemporaryDirectory(prefix="commands-")
        self.path = f"{self._folder.name}/socket"
        # Each command creates a folder of its own after the fork.
        shared = {"PROMETHEUS_MULTIPROC_DIR": self._folder.name} if shares_metrics else {}
        with socket.socket(socket.AF_UNIX, socket.SOCK_SEQPACKET) as listening:
            listening.bind(self.path)
            listening.listen(64)
            # The input of the server ends with this process.
            self._process = subprocess.Popen(
                [sys.executable, "-m", __name__, str(listening.fileno())],
                pass_fds=[listening.fileno()],
                stdin=subprocess.PIPE,
                env={**os.environ, **shared},
                start_new_session=True,
            )


@cache
def _running(shares_metrics: bool) -> _Server:
    return _Server(shares_metrics)


def _live(number: int) -> None:
    """Fork a command for each connection, until the tests end."""
    from importlib import import_module

    from staging_api.cli import VERBS
    from staging_api.cli.importing import without_collection

    import_for_forks()
    with without_collection():
        for verb in VERBS.values():
            import_module(f"staging_api.cli.{verb.module}")
    listening = socket.socket(fileno=number)
    # The library of metrics has opened files that a fork closes itself.
    ours = 1 + max(int(each.name) for each in Path("/proc/self/fd").iterdir())
    commands: list[_Command] = []
    while sys.stdin not in (ready := _ready(sys.stdin, listening, *commands)):
        for command in [each for each in commands if each in ready]:
            if command.is_over():
                commands.remove(command)
        if listening in ready:
            commands.append(_forked(listening.accept()[0], [number, *range(ours, _MOST_OPEN)]))


def _ready(*waiting: Any) -> list[Any]:
    return select.select(waiting, [], [])[0]


def _forked(asked: socket.socket, ours: list[int]) -> "_Command":
    line, fds, _flags, _address = socket.recv_fds(asked, _LONGEST, len(_STREAMS))
    if not (pid := os.fork()):
        _become(json.loads(line), fds, ours)
    for each in fds:
        os.close(each)
    with suppress(BrokenPipeError):
        asked.send(str(pid).encode())
    return _Command(pid, asked)


class _Command:
    """A forked command, and the socket of the client that waits for it."""

    def __init__(self, pid: int, asked: socket.socket) -> None:
        self._pid, self._asked = pid, asked
        self._ended = os.pidfd_open(pid)
        self._either = select.epoll()
        for each in (asked.fileno(), self._ended):
            self._either.register(each, select.EPOLLIN)

    def fileno(self) -> int:
        """Return the descriptor to poll for the end of the command or of its client."""
        return self._either.fileno()

    def is_over(self) -> bool:
        """Return whether the command has ended, and report this; end it if its client is gone."""
        found, status = os.waitpid(self._pid, os.WNOHANG)
        if not found:
            os.kill(self._pid, signal.SIGKILL)
            return False
        with self._asked, suppress(BrokenPipeError):
            self._asked.send(str(os.waitstatus_to_exitcode(status)).encode())
        self._either.close()
        os.close(self._ended)
        return True


def _become(what: dict[str, Any], fds: list[int], ours: list[int]) -> NoReturn:
    """Turn this fork into the command, without the descriptors of this process."""
    for target, source in zip(_STREAMS, fds, strict=True):
        os.dup2(source, target)
    for each in ours:
        with suppress(OSError):
            os.close(each)
    os.environ.clear()
    os.environ.update(what["env"])
    os.chdir(what["folder"])
    sys.argv = ["staging-api", *what["arguments"]]
    from staging_api.cli import main

    run_to_its_end(main)


if __name__ == "__main__":
    _live(int(sys.argv[1]))
