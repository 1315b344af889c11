"""Try mutants in a copy of the tree: change a file there, run tests, change it back."""

import os
import re
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path

from tests.functions import HEAD
from tests.mutants.model import PACKAGE, ROOT, Mutant

_FAILED = re.compile(r"^(?:FAILED|ERROR) (.+?)(?: - .*)?$", re.MULTILINE)
_OPTIONS = ("-q", "-rfE", "--tb=no", "-p", "no:cacheprovider", "-m", "not system and not prove")
#: Seconds that a suite may take with a mutant: what it took without one, this often, and a rest.
_PATIENCE = 3.0
_REST_SECONDS = 30.0
#: Seconds that any suite may take without a mutant.
_LONGEST_SECONDS = 3600.0
#: A suite of so many files is run by one process.
_FEW_FILES = 10
# pytest: all passed, and no test was there.
_SURVIVED = (0, 5)


# Added to a step of the migrations.
_AT_THE_END = """
_without_mutant = upgrade


def upgrade() -> None:
    _without_mutant()
    op.get_bind().exec_driver_sql({statements!r})
"""


class Untriable(Exception):
    """A change that no test could be tried on."""


class OutOfTime(Exception):
    """The time for all mutants is over; nothing is known of this one."""


@dataclass
class Outcome:
    """What a run of tests gave.

    Attributes:
        status: of pytest; None if the time limit ended it.
        failed: the tests that failed, or the files that could not be read.
    """

    status: int | None
    failed: list[str]
    seconds: float

    @property
    def finder(self) -> str | None:
        """What made the mutant known; None if nothing did."""
        if self.status is None:
            return "the time limit"
        if self.status in _SURVIVED:
            return None
        return self.failed[0] if self.failed else f"pytest ended with status {self.status}"


@dataclass
class Trial:
    """Runs tests in a copy of the tree.

    Attributes:
        tree: the copy.
        testers: processes for a suite of more than a few files.
        unfit: tests that fail in the copy without any mutant; they are not run.
        seconds: how long each suite takes without a mutant.
        deadline: by `time.monotonic`, when all of it has to end.
    """

    tree: Path
    testers: int = 3
    deadline: float = float("inf")
    unfit: set[str] = field(default_factory=set)
    seconds: dict[tuple[str, ...], float] = field(default_factory=dict)

    def finder(self, mutant: Mutant, suites: list[list[str]]) -> str | None:
        """The test that finds the mutant, in the narrowest suite that has one; None: it survives.

        Raises:
            Untriable: it does not compile.
            OutOfTime: no test found it before the deadline.
        """
        for suite in suites:
            self._calibrate(tuple(suite))
            limit = self.seconds[tuple(suite)] * _PATIENCE + _REST_SECONDS
            with changed(self.tree, mutant):
                if found := self._run(suite, limit, "-x").finder:
                    return found
        return None

    def _calibrate(self, suite: tuple[str, ...]) -> None:
        if suite not in self.seconds:
            outcome = self._run(suite, _LONGEST_SECONDS)
            self.unfit.update(outcome.failed)
            self.seconds[suite] = outcome.seconds

    def _run(self, suite: list[str] | tuple[str, ...], limit: float, *options: str) -> Outcome:
        without = [f"--deselect={name}" for name in sorted(self.unfit)]
        if len(suite) > _FEW_FILES:
            options = (*options, f"--numprocesses={self.testers}", "--dist=loadscope")
        command = [sys.executable, "-m", "pytest", *_OPTIONS, *options, *without, *suite]
        left = self.deadline - time.monotonic()
        outcome = run(command, self.tree, max(min(limit, left), 0))
        if outcome.status is None and left < limit:
            raise OutOfTime
        return outcome


def run(command: list[str], tree: Path, limit: float) -> Outcome:
    """Run pytest in a copy of the tree, for at most `limit` seconds."""
    began = time.monotonic()
    with tempfile.TemporaryFile("w+") as output:
        child = subprocess.Popen(
            command,
            cwd=tree,
            env=_environment(tree),
            stdin=subprocess.DEVNULL,
            stdout=output,
            stderr=subprocess.STDOUT,
            start_new_session=True,
        )
        status: int | None = None
        try:
            status = child.wait(limit)
        except subprocess.TimeoutExpired:
            pass
        finally:
            _end(child)
        output.seek(0)
        failed = _FAILED.findall(output.read())
    return Outcome(status, failed, time.monotonic() - began)


def _end(child: subprocess.Popen[bytes]) -> None:
    # All of its process group, and only that: what it started and left behind, too.
    for sent in (signal.SIGTERM, signal.SIGKILL):
        try:
            os.killpg(child.pid, sent)
            child.wait(5)
        except ProcessLookupError:
            return
        except subprocess.TimeoutExpired:
            continue


def _environment(tree: Path) -> dict[str, str]:
    scratch = tree.parent / "tmp"
    scratch.mkdir(exist_ok=True)
    return os.environ | {
        # Before what pip has installed, which is the working tree.
        "PYTHONPATH": str(tree),
        # A mutant of the same size within a second would run from the byte code of the last one.
        "PYTHONDONTWRITEBYTECODE": "1",
        # Hypothesis then tries the same examples with each mutant.
        "CI": "1",
        "TMPDIR": str(scratch),
    }


@contextmanager
def copied_tree() -> Iterator[Path]:
    """A copy of what git tracks or would, as it stands in the working tree, in a folder that goes.

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
        # setup.cfg gives the folder this name; it would be found in the working tree otherwise.
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
    """Have the mutant in the tree; a function of the database also at the end of all steps."""
    changes = {tree / mutant.path: mutant.applied((tree / mutant.path).read_bytes())}
    if mutant.path.endswith(".sql"):
        step, text = _applied(tree, changes[tree / mutant.path].decode())
        changes[step] = text
    else:
        _check_compiles(mutant, changes[tree / mutant.path])
    before = {path: path.read_bytes() for path in changes}
    try:
        for path, text in changes.items():
            path.write_bytes(text)
        yield
    finally:
        for path, text in before.items():
            path.write_bytes(text)


def _check_compiles(mutant: Mutant, text: bytes) -> None:
    try:
        compile(text, mutant.path, "exec")
    except SyntaxError as error:
        raise Untriable(f"{mutant.path}:{mutant.line} ({mutant.kind}) does not compile") from error


def _applied(tree: Path, statements: str) -> tuple[Path, bytes]:
    """The newest step of the migrations, and its text with these statements run at its end.

    What an older step applies is frozen, and not always in the words of the file.
    """
    newest = max((tree / "migrations" / "versions").glob("[0-9]*.py"))
    text = newest.read_text() + _AT_THE_END.format(
        statements=(HEAD + statements).replace("%", "%%")
    )
    return newest, text.encode()
