"""Command line with only the modules of the base install: importing any other module fails.

Run as ``python -m tests.base_install MODULES [--windows]``, where MODULES is the JSON list of
`base_modules`. ``--windows`` also blocks the modules that exist only on Unix.

Each line of the input is a command: the JSON of its arguments, environment and the files for its
output and errors. It runs in a fork of this process, which has imported no more than each command
imports. The exit code of each is a line of the output.
"""

import importlib.abc
import importlib.metadata
import json
import os
import sys
from collections.abc import Callable, Iterable, Mapping
from configparser import ConfigParser
from importlib.machinery import ModuleSpec
from pathlib import Path
from types import ModuleType
from typing import Any, NoReturn

from tests.program_end import run_to_its_end

ROOT = Path(__file__).parents[1]
UNIX_ONLY = {"fcntl", "grp", "pwd", "resource", "termios"}


def base_distributions() -> set[str]:
    """Return the distributions that ``pip install .`` adds: all requirements, recursively."""
    from packaging.requirements import Requirement

    setup = ConfigParser()
    setup.read(ROOT / "setup.cfg")
    waiting = [
        Requirement(line) for line in setup["options"]["install_requires"].split("\n") if line
    ]
    found: set[str] = set()
    while waiting:
        requirement = waiting.pop()
        name = requirement.name.lower().replace("_", "-")
        if name in found or not (requirement.marker is None or requirement.marker.evaluate()):
            continue
        found.add(name)
        waiting += map(Requirement, importlib.metadata.requires(name) or [])
    return found


def base_modules() -> list[str]:
    """Return the top-level modules of the base install, the standard library and the package."""
    ours = base_distributions()
    found = {"staging_api", "staging_api_migrations", "tests"}
    for module, names in importlib.metadata.packages_distributions().items():
        if ours & {name.lower().replace("_", "-") for name in names}:
            found.add(module)
    return sorted(found | sys.stdlib_module_names)


class Refusing(importlib.abc.MetaPathFinder):
    """Import finder that refuses every module outside the given list."""

    def __init__(self, modules: Iterable[str]) -> None:
        self._modules = frozenset(modules)

    def find_spec(self, name: str, path: object, target: object = None) -> ModuleSpec | None:
        root = name.partition(".")[0]
        # The interpreter's own module, whose name depends on how the interpreter was built.
        if root not in self._modules and not root.startswith("_sysconfigdata"):
            raise ModuleNotFoundError(f"No module named {root!r}", name=root)
        return None


def msvcrt() -> ModuleType:
    """Return a stand-in for the file lock of Windows; the tests never contend for this lock."""
    module = ModuleType("msvcrt")
    vars(module).update(LK_NBLCK=2, locking=lambda descriptor, mode, count: None)
    return module


def main() -> None:
    modules, *options = sys.argv[1:]
    allowed = set(json.loads(modules))
    if options == ["--windows"]:
        allowed -= UNIX_ONLY
        for name in UNIX_ONLY & sys.modules.keys():
            del sys.modules[name]
        import subprocess  # noqa: F401 - it takes a machine with msvcrt for Windows

        sys.modules["msvcrt"] = msvcrt()
    sys.meta_path.insert(0, Refusing(allowed))
    from staging_api.cli import main as staging_api

    for line in sys.stdin:
        if not (pid := os.fork()):
            run(json.loads(line), staging_api)
        print(os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]), flush=True)


def run(command: Mapping[str, Any], program: Callable[[list[str]], None]) -> NoReturn:
    """Turn this fork into a command."""
    for target, path in enumerate((os.devnull, command["out"], command["errors"])):
        with Path(path).open("wb" if target else "rb") as file:
            os.dup2(file.fileno(), target)
    os.environ.clear()
    os.environ.update(command["env"])
    run_to_its_end(lambda: program(command["arguments"]))


if __name__ == "__main__":
    main()
