"""Command line with only the modules of the base install: importing any other module fails.

Run as ``python -m tests.base_install MODULES [--windows] ARGUMENT...``, where MODULES is the JSON
list of `base_modules`. ``--windows`` also blocks the modules that exist only on Unix.
"""

import importlib.abc
import importlib.metadata
import json
import sys
from collections.abc import Iterable
from configparser import ConfigParser
from importlib.machinery import ModuleSpec
from pathlib import Path
from types import ModuleType

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
    modules, *arguments = sys.argv[1:]
    allowed = set(json.loads(modules))
    if arguments[0] == "--windows":
        arguments = arguments[1:]
        allowed -= UNIX_ONLY
        for name in UNIX_ONLY & sys.modules.keys():
            del sys.modules[name]
        import subprocess  # noqa: F401 - it takes a machine with msvcrt for Windows

        sys.modules["msvcrt"] = msvcrt()
    sys.meta_path.insert(0, Refusing(allowed))
    from staging_api.cli import main as staging_api

    staging_api(arguments)


if __name__ == "__main__":
    main()
