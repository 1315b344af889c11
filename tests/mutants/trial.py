"""Trial of mutants in a copy of the tree: change a file, run tests, change it back."""

import json
import os
import re
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager, nullcontext
from dataclasses import dataclass, field
from itertools import count
from pathlib import Path

from sqlalchemy import create_engine, make_url
from sqlalchemy.exc import DBAPIError

from tests.databases import new_database
from tests.functions import HEAD
from tests.mutants.choosing import TEST_SECONDS, Suite
from tests.mutants.model import PACKAGE, ROOT, Mutant
from tests.mutants.warm import IMPORTED

_SECONDS = count(int(time.time()))
# pytest's message follows " - ", which may also occur in the parameters of a name.
_FAILED = re.compile(r"^(?:FAILED|ERROR) (\S+?\[.*?\]|\S+?)(?: - .*)?$", re.MULTILINE)
_OPTIONS = (
    *("-q", "-x", "-rfE", "--tb=no", f"--timeout={TEST_SECONDS:.0f}"),
    *("-p", "no:cacheprovider", "-p", "no:xdist"),
    *("-m", "not system and not prove"),
    # Takes half of the time of a short run; only system tests use it.
    *("-p", "no:schemathesis"),
    # The plugins are imported before pytest begins.
    *("-W", "ignore::pytest.PytestAssertRewriteWarning"),
)
_DATABASE = "STAGING_TEST_DATABASE_URL"
_WITHOUT_DATABASE = ("tests/unit/", "tests/properties/")
#: Time limit of one test without a mutant, in seconds.
_LONGEST_SECONDS = 300.0
# Exit codes of pytest: all passed, and no tests found.
_SURVIVED = (0, 5)

# Appended to a migration.
_AT_THE_END = """
_without_mutant = upgrade


def upgrade() -> None:
    _without_mutant()
    op.get_bind().exec_driver_sql({statements!r})
"""


class Untriable(Exception):
    """A mutant on which no test can be run."""


class OutOfTime(Exception):
    """The time for all mutants is over; the result for this one is unknown."""


@dataclass
class Outcome:
    """Result of a test run.

    Attributes:
        status: exit code of pytest; None if the time limit ended the run.
        failed: the tests that failed, or the files that could not be imported.
    """

    status: int | None
    failed: list[str]

    @property
    def finder(self) -> str | None:
        """The test that found the mutant; None if no test did."""
        if self.status is None or self.status in _SURVIVED:
            return None
        return self.failed[0] if self.failed else f"pytest ended with status {self.status}"


class Runner:
    """Runner of pytest in a tree, by forks of a process that has imported all but the project."""

    def __init__(self, tree: Path, imported: tuple[str, ...] = IMPORTED) -> None:
        self._tree = tree
        self._scratch = tree.parent / "tmp"
        self._output = tree.parent / "output"
        self._child = subprocess.Popen(
            [sys.executable, "-m", "tests.mutants.warm", *imported],
            cwd=tree,
            env=_environment(tree),
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
        )

    def run(self, arguments: list[str], seconds: float, environment: dict[str, str]) -> Outcome:
        """Run tests with a time limit in seconds; their temporary folders are removed."""
        assert self._child.stdin
        assert self._child.stdout
        self._scratch.mkdir(exist_ok=True)
        order = {
            "arguments": arguments,
            "environment": environment,
            "output": str(self._output),
            "seconds": seconds,
        }
        try:
            self._child.stdin.write(json.dumps(order) + "\n")
            self._child.stdin.flush()
            status = json.loads(self._child.stdout.readline())
        finally:
            shutil.rmtree(self._scratch, ignore_errors=True)
        text = self._output.read_text(errors="replace") if self._output.exists() else ""
        return Outcome(status, _FAILED.findall(text))

    def close(self) -> None:
        """End the process, and its current run."""
        for stream in filter(None, (self._child.stdin, self._child.stdout)):
            stream.close()
        self._child.wait()


@dataclass
class Trial:
    """Trials of mutants in a copy of the tree.

    Attributes:
        tree: the copy.
        runner: runs the tests there.
        database_url: a migrated database without connections; each run gets a copy.
        deadline: by `time.monotonic`, when all trials have to end.
        sound: whether a test passes without a mutant; each is run once.
    """

    tree: Path
    runner: Runner
    database_url: str
    deadline: float = float("inf")
    sound: dict[str, bool] = field(default_factory=dict)

    def finder(self, mutant: Mutant, suites: list[Suite]) -> str | None:
        """Return the test that finds the mutant, in the first such suite; None: it survives.

        Raises:
            Untriable: the mutant does not compile.
            OutOfTime: no test found it before the deadline.
        """
        unfit = {name for name, passes in self.sound.items() if not passes}
        for suite in suites:
            while True:
                tests = [each for each in suite.tests if each not in unfit]
                found = self._run(tests, suite.seconds, unfit, mutant).finder
                if found is None:
                    break
                if self._is_sound(found, tests):
                    return found
                unfit.add(found)
        return None

    def _is_sound(self, found: str, tests: list[str]) -> bool:
        """Return whether the tests that found the mutant pass without it.

        Raises:
            RuntimeError: these tests cannot be run at all.
        """
        if found not in self.sound:
            alone = [found] if "::" in found else tests
            self.sound[found] = self._run(alone, _LONGEST_SECONDS, set()).finder is None
        if not self.sound[found] and "::" not in found:
            raise RuntimeError(f"without any mutant, too: {found}")
        return self.sound[found]

    def _run(
        self, tests: list[str], limit: float, unfit: set[str], mutant: Mutant | None = None
    ) -> Outcome:
        if not tests:
            return Outcome(0, [])
        left = self.deadline - time.monotonic()
        arguments = [*_OPTIONS, *(f"--deselect={name}" for name in sorted(unfit)), *tests]
        with (
            changed(self.tree, mutant) if mutant else nullcontext(),
            self._database(tests) as environment,
        ):
            if mutant and mutant.is_function and environment:
                _apply(environment[_DATABASE], (self.tree / mutant.path).read_text())
            outcome = self.runner.run(arguments, max(min(limit, left), 0), environment)
        if outcome.status is None and left < limit:
            raise OutOfTime
        return outcome

    @contextmanager
    def _database(self, tests: list[str]) -> Iterator[dict[str, str]]:
        """Yield the environment with a database, for tests that may need one."""
        if all(test.startswith(_WITHOUT_DATABASE) for test in tests):
            yield {}
            return
        name = make_url(self.database_url).database
        assert name
        with new_database(self.database_url, name) as url:
            yield {_DATABASE: url}


def _apply(url: str, statements: str) -> None:
    engine = create_engine(url)
    try:
        with engine.begin() as conn:
            conn.exec_driver_sql((HEAD + statements).replace("%", "%%"))
    except DBAPIError as error:
        raise Untriable(f"PostgreSQL refuses it: {error.orig}") from error
    finally:
        engine.dispose()


def _environment(tree: Path) -> dict[str, str]:
    return os.environ | {
        # Before pip's installation, which is the working tree.
        "PYTHONPATH": str(tree),
        # Hypothesis then tries the same examples for each mutant.
        "CI": "1",
        "TMPDIR": str(tree.parent / "tmp"),
    }


@contextmanager
def copied_tree() -> Iterator[Path]:
    """Yield a temporary copy of the working tree: all files that git tracks or would track.

    Raises:
        RuntimeError: Python would import the package from elsewhere.
    """
    with tempfile.TemporaryDirectory(prefix="mutants-") as folder:
        tree = Path(folder) / "tree"
        listed = ["git", "ls-files", "-z", "--cached", "--others", "--exclude-standard"]
        names = subprocess.run(listed, cwd=ROOT, capture_output=True, text=True, check=True).stdout
        for name in filter(None, names.split("\0")):
            if (ROOT / name).is_file():
                (tree / name).parent.mkdir(parents=True, exist_ok=True)
                shutil.copy2(ROOT / name, tree / name, follow_symlinks=False)
        # setup.cfg gives the folder this name; else the one in the working tree is found.
        (tree / "staging_api_migrations").symlink_to("migrations")
        _check_imports(tree)
        yield tree


def _check_imports(tree: Path) -> None:
    names = (PACKAGE, "staging_api_migrations.versions")
    show = f"import {', '.join(names)}; print({PACKAGE}.__file__, {names[1]}.__path__)"
    command = [sys.executable, "-c", show]
    shown = subprocess.run(
        command, cwd=tree, env=_environment(tree), capture_output=True, text=True, check=True
    )
    if shown.stdout.count(str(tree)) < len(names):
        raise RuntimeError(f"the tests would not try the copy in {tree}, but {shown.stdout}")


@contextmanager
def changed(tree: Path, mutant: Mutant) -> Iterator[None]:
    """Apply the mutant in the tree; a database function also at the end of all migrations."""
    changes = {tree / mutant.path: mutant.applied((tree / mutant.path).read_bytes())}
    if mutant.is_function:
        step, text = _applied(tree, changes[tree / mutant.path].decode())
        changes[step] = text
    elif mutant.path.endswith(".py"):
        _check_compiles(mutant, changes[tree / mutant.path])
    before = {path: path.read_bytes() for path in changes}
    try:
        _write(changes)
        yield
    finally:
        _write(before)


def _write(texts: dict[Path, bytes]) -> None:
    # Byte code is found by its source's size and modification second: both pairs must never repeat.
    second = next(_SECONDS)
    for path, text in texts.items():
        path.write_bytes(text)
        os.utime(path, (second, second))


def _check_compiles(mutant: Mutant, text: bytes) -> None:
    try:
        compile(text, mutant.path, "exec")
    except SyntaxError as error:
        raise Untriable(f"{mutant.path}:{mutant.line} ({mutant.kind}) does not compile") from error


def _applied(tree: Path, statements: str) -> tuple[Path, bytes]:
    """Return the newest migration, and its text with these statements appended.

    Statements of an older migration are frozen, and may differ from the text of the file.
    """
    newest = max((tree / "migrations" / "versions").glob("[0-9]*.py"))
    text = newest.read_text() + _AT_THE_END.format(
        statements=(HEAD + statements).replace("%", "%%")
    )
    return newest, text.encode()
