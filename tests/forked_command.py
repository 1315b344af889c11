"""``staging-api`` as a command, in a fork of a process that has imported it.

To start an interpreter and import takes ten times as long as what most commands do. What `words`
returns is a command as any other: it has the streams, the environment and the folder of whoever
starts it, its exit code, and an end with it. What is not shown by it, the start of the interpreter
and the order of imports, has tests that start the program itself.

A small program (`tests.forked_command_client`) hands its streams over a socket to the process that
forks, and waits. That process ends with the tests.
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

from tests.program_end import run_to_its_end

_CLIENT = Path(__file__).with_name("forked_command_client.py")
_LONGEST = 1 << 20
_STREAMS = (0, 1, 2)
_MOST_OPEN = 1 << 10


def words() -> list[str]:
    """The words that stand for ``staging-api`` in a command of a test."""
    return [sys.executable, "-I", "-S", str(_CLIENT), _running().path]


class _Server:
    """The process that commands are forked from.

    Attributes:
        path: of the socket at which it is asked.
    """

    def __init__(self) -> None:
        self._folder = tempfile.TemporaryDirectory(prefix="commands-")
        self.path = f"{self._folder.name}/socket"
        with socket.socket(socket.AF_UNIX, socket.SOCK_SEQPACKET) as listening:
            listening.bind(self.path)
            listening.listen(64)
            # Its input ends with this process.
            self._process = subprocess.Popen(
                [sys.executable, "-m", __name__, str(listening.fileno())],
                pass_fds=[listening.fileno()],
                stdin=subprocess.PIPE,
                start_new_session=True,
            )


@cache
def _running() -> _Server:
    return _Server()


def _live(number: int) -> None:
    """Fork a command for each connection, until the tests are gone."""
    from importlib import import_module

    from staging_api.cli import VERBS
    from staging_api.cli.importing import without_collection

    with without_collection():
        from staging_api.processes import api_server, run, worker  # noqa: F401 - for the verbs

        for verb in VERBS.values():
            import_module(f"staging_api.cli.{verb.module}")
    listening = socket.socket(fileno=number)
    commands: list[_Command] = []
    while sys.stdin not in (ready := _ready(sys.stdin, listening, *commands)):
        for command in [each for each in commands if each in ready]:
            if command.is_over():
                commands.remove(command)
        if listening in ready:
            commands.append(_forked(listening.accept()[0]))


def _ready(*waiting: Any) -> list[Any]:
    return select.select(waiting, [], [])[0]


def _forked(asked: socket.socket) -> "_Command":
    line, fds, _flags, _address = socket.recv_fds(asked, _LONGEST, len(_STREAMS))
    if not (pid := os.fork()):
        _become(json.loads(line), fds)
    for each in fds:
        os.close(each)
    return _Command(pid, asked)


class _Command:
    """A fork, and the socket of whoever waits for it."""

    def __init__(self, pid: int, asked: socket.socket) -> None:
        self._pid, self._asked = pid, asked
        self._ended = os.pidfd_open(pid)
        self._either = select.epoll()
        for each in (asked.fileno(), self._ended):
            self._either.register(each, select.EPOLLIN)

    def fileno(self) -> int:
        """To wait for its end, or for nobody to wait for it any more."""
        return self._either.fileno()

    def is_over(self) -> bool:
        """Whether it has ended; says so. Ends it if nobody waits."""
        found, status = os.waitpid(self._pid, os.WNOHANG)
        if not found:
            os.kill(self._pid, signal.SIGKILL)
            return False
        with self._asked, suppress(BrokenPipeError):
            self._asked.send(str(os.waitstatus_to_exitcode(status)).encode())
        self._either.close()
        os.close(self._ended)
        return True


def _become(what: dict[str, Any], fds: list[int]) -> NoReturn:
    """Be the command, in a fork."""
    for target, source in zip(_STREAMS, fds, strict=True):
        os.dup2(source, target)
    os.closerange(_STREAMS[-1] + 1, _MOST_OPEN)
    os.environ.clear()
    os.environ.update(what["env"])
    os.chdir(what["folder"])
    sys.argv = ["staging-api", *what["arguments"]]
    from staging_api.cli import main

    run_to_its_end(main)


if __name__ == "__main__":
    _live(int(sys.argv[1]))
