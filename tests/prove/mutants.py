"""Mutate each predicate of the lock, one at a time, and check whether the short tests fail.

`make mutants` draws from these mutants, too, and tries them like all others. To try all mutants of
the lock: ``python -m tests.prove.mutants [--only TEXT] [--part 1/2] [--list]``. It uses
one PostgreSQL, and one process per mutant, forked with everything imported. Tests that found a
mutant nearby run first, then the fast ones; the first failure ends the trial. The exit status is 1
if fewer than 95 of 100 are found; mutants without effect are in `tests.prove.equivalents`, with the
reason.
"""

import argparse
import importlib.abc
import importlib.util
import json
import os
import re
import signal
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import closing, contextmanager
from dataclasses import dataclass, field
from importlib.machinery import ModuleSpec
from pathlib import Path
from types import ModuleType
from typing import Any

import psycopg2
import pytest
from sqlalchemy import make_url

from staging_api.db.embedded import running
from staging_api.db.migrate import migrate
from tests.prove.equivalents import EQUIVALENT

_ROOT = Path(__file__).parents[2]
FILES = (
    "staging_api/db/functions/lock_acquire.sql",
    "staging_api/db/functions/lock_expire.sql",
    "staging_api/db/functions/lock_fences.sql",
    "staging_api/db/functions/lock_guard.sql",
    "staging_api/db/functions/lock_queue.sql",
    "staging_api/db/functions/lock_release.sql",
    "staging_api/db/functions/lock_renew.sql",
    "staging_api/locks/hold.py",
    "staging_api/locks/keeper.py",
    "staging_api/locks/queue.py",
    "staging_api/locks/store.py",
    "staging_api/http/api_lock.py",
)
TESTS = (
    "tests/integration/test_lock_statements.py",
    "tests/integration/test_lock_races.py",
    "tests/integration/test_lock_hold.py",
    "tests/integration/test_lock_keeper.py",
    "tests/integration/test_lock_busy_holder.py",
    "tests/integration/test_lock_ended.py",
    "tests/integration/test_lock_threads.py",
    "tests/integration/test_lock_waiting.py",
    "tests/integration/test_lock_promises.py",
    "tests/integration/test_api_lock.py",
    "tests/integration/test_lock_orders.py",
)
# By file: the tests that most probably find its mutants.
_NEAREST = {
    "staging_api/locks/hold.py": "tests/integration/test_lock_hold.py",
    "staging_api/locks/keeper.py": "tests/integration/test_lock_keeper.py",
    "staging_api/locks/queue.py": "tests/integration/test_lock_waiting.py",
    "staging_api/locks/store.py": "tests/integration/test_lock_promises.py",
    "staging_api/http/api_lock.py": "tests/integration/test_api_lock.py",
}
_QUIETLY = ("-q", "-p", "no:cacheprovider", "-W", "ignore::pytest.PytestAssertRewriteWarning")
_OPTIONS = (*_QUIETLY, "-x", "--timeout=120")
_FRESH = re.compile(r"staging_api\.(locks|http|staging|bootstrap)|tests\.|test_")
_WANTED = 0.95
_SECONDS = 300.0

# Replacements in lines with a decision: pattern, and new text.
_SQL = (
    (r"^(\s*(?:WHERE .*?|)AND )(?!.*\bTHEN\b)(.*?)(;?)$", r"\1true\3"),
    (r"(?<![<>!:=])=(?![=>])", "<>"),
    (r"<>", "="),
    (r" > ", " <= "),
    (r" < ", " >= "),
    (r" <= ", " > "),
    (r"IS NOT NULL", "IS NULL"),
    (r"IS NULL", "IS NOT NULL"),
    (r"IS NOT DISTINCT FROM", "IS DISTINCT FROM"),
    (r"IF NOT FOUND", "IF FOUND"),
    (r"IF FOUND", "IF NOT FOUND"),
    (r"NOT EXISTS", "EXISTS"),
    (r"\) \+ 1\b", ") + 0"),
    (r"<< 44", "<< 0"),
    (r"FOR KEY SHARE", ""),
    (r"FOR (NO KEY )?UPDATE( OF s)?( SKIP LOCKED)?", ""),
    (r"\bgreatest\b", "least"),
    (r"\bleast\b", "greatest"),
    (r"'off', true", "'on', true"),
    (r"v_durability, true", "'off', true"),
    (r"ORDER BY w.place", "ORDER BY w.place DESC"),
)
_SQL_LINES = re.compile(
    r"WHERE|AND |\bIF\b|ELSIF|WHEN|FOR (KEY SHARE|NO KEY|UPDATE)|greatest|least|set_config"
    r"|ORDER BY|JOIN|<<|\) \+ 1"
)
_ASSIGNMENT = re.compile(r"\bSET |= CASE|= greatest")
_PYTHON = (
    (r"\bif not\b", "if"),
    (r"\bif (?!not\b|__)(?!.*(?: is | [<>=!]=? | [<>=]= ))(.*):$", r"if not (\1):"),
    (r" == ", " != "),
    (r" >= ", " < "),
    (r" <= ", " > "),
    (r"(?<!-) > ", " <= "),
    (r" < ", " >= "),
    (r" and ", " or "),
    (r" or ", " and "),
    (r"\bis not None\b", "is None"),
    (r"\bis None\b", "is not None"),
    (r" / 3", " * 3"),
    (r"\(1 - _MARGIN\)", "(1 + _MARGIN)"),
    (r"\(False, True\)", "(True,)"),
    (r"return True$", "return False"),
    (r"\bmin\(", "max("),
    (r"\bmax\(", "min("),
)
_PYTHON_LINES = re.compile(r"\b(if|elif|while|return|for last)\b|trusted_until =|renew_at =")


@dataclass(frozen=True)
class Mutant:
    """A change of one line in one file."""

    path: str
    number: int
    before: str
    after: str

    def __str__(self) -> str:
        return f"{self.path}:{self.number}\n    - {self.before.strip()}\n    + {self.after.strip()}"


def mutants() -> Iterator[Mutant]:
    """Yield all mutants that are not equivalent, in order of the lines."""
    for path in FILES:
        for mutant in _of_file(path):
            if (mutant.before.strip(), mutant.after.strip()) not in EQUIVALENT:
                yield mutant


def _of_file(path: str) -> Iterator[Mutant]:
    sql = path.endswith(".sql")
    changes, deciding = (_SQL, _SQL_LINES) if sql else (_PYTHON, _PYTHON_LINES)
    lines = (_ROOT / path).read_text().splitlines()
    first = next(n for n, line in enumerate(lines) if not sql or line.startswith("CREATE"))
    in_docstring = False
    for number, line in enumerate(lines):
        code = line.split("--")[0] if sql else line
        quotes = code.count('"""')
        if number >= first and not (in_docstring or quotes) and deciding.search(code):
            yield from _changed(path, number, code, changes)
        in_docstring ^= quotes == 1


def _changed(
    path: str, number: int, code: str, changes: tuple[tuple[str, str], ...]
) -> Iterator[Mutant]:
    seen = {code}
    for pattern, becomes in changes:
        for found in re.finditer(pattern, code):
            after = code[: found.start()] + found.expand(becomes) + code[found.end() :]
            # In an assignment, the change would be a syntax error, not another predicate.
            assigns = pattern.startswith("(?<![<>!:=])=") and _ASSIGNMENT.search(code)
            if after not in seen and not assigns:
                seen.add(after)
                yield Mutant(path, number + 1, code, after)


@dataclass
class Order:
    """Plugin of pytest: runs the likely finders first, and records the test that found the mutant.

    Attributes:
        likely: names of tests, the likeliest first.
        seconds: how long each test takes, by name.
    """

    likely: list[str]
    seconds: dict[str, float]
    finder: str | None = None
    took: dict[str, float] = field(default_factory=dict)

    def pytest_collection_modifyitems(self, items: list[pytest.Item]) -> None:
        """Sort the tests, stably."""
        rank = {name: place - len(self.likely) for place, name in enumerate(self.likely)}
        items.sort(key=lambda item: rank.get(item.nodeid, self.seconds.get(item.nodeid, 0.0)))

    def pytest_runtest_logreport(self, report: pytest.TestReport) -> None:
        """Record the duration of a test, and the first failed test."""
        self.took[report.nodeid] = self.took.get(report.nodeid, 0.0) + report.duration
        if report.failed and self.finder is None:
            self.finder = report.nodeid


@dataclass
class Changed(importlib.abc.Loader, importlib.abc.MetaPathFinder):
    """Import hook that loads one module from changed source."""

    module: str
    path: str
    source: str

    @classmethod
    def at(cls, path: str, source: str) -> "Changed":
        """Return the import hook for the module at this path."""
        return cls(path.removesuffix(".py").replace("/", "."), str(_ROOT / path), source)

    def find_spec(self, fullname: str, _path: Any, _target: Any = None) -> ModuleSpec | None:
        """Return the spec of the changed module; None for other modules."""
        if fullname != self.module:
            return None
        return importlib.util.spec_from_file_location(fullname, self.path, loader=self)

    def exec_module(self, module: ModuleType) -> None:
        """Execute the changed source."""
        exec(compile(self.source, self.path, "exec"), module.__dict__)


@dataclass
class Trial:
    """Runs the short tests with one mutant after the other.

    Attributes:
        url: URL of a migrated database, which the trials use in turn.
        finders: by file, the tests that found its mutants, the latest first.
    """

    url: str
    seconds: dict[str, float] = field(default_factory=dict)
    finders: dict[str, list[str]] = field(default_factory=dict)

    def calibrate(self) -> None:
        """Run all tests without a mutant, to measure their durations; all must pass."""
        found = _in_fork(self.url, Order([], {}), None)
        if found is None or found["finder"]:
            raise SystemExit(f"the tests fail without any change: {found}")
        self.seconds = found["took"]

    def finder(self, mutant: Mutant) -> str | None:
        """Return the test or other failure that reveals the mutant; None if it survives."""
        real = (_ROOT / mutant.path).read_text()
        lines = real.splitlines()
        lines[mutant.number - 1] = mutant.after
        changed = "\n".join(lines) + "\n"
        if not mutant.path.endswith(".sql"):
            return self._found(mutant.path, Changed.at(mutant.path, changed))
        try:
            _define(self.url, changed)
            return self._found(mutant.path, None)
        except psycopg2.Error:
            return "PostgreSQL refuses it"
        finally:
            _define(self.url, real)

    def _found(self, path: str, change: Changed | None) -> str | None:
        nearest = _NEAREST.get(path, "tests/integration/test_lock_statements.py")
        near = [name for name in self.seconds if name.startswith(nearest)]
        likely = self.finders.setdefault(path, near)
        found = _in_fork(self.url, Order(likely, self.seconds), change)
        if found is None:
            return "it never ends"
        name: str | None = found["finder"]
        if name in self.seconds:
            likely[:] = [name, *(other for other in likely if other != name)]
        return name


def _define(url: str, statements: str) -> None:
    """Define the functions of the lock, and its trigger, by these statements."""
    dsn = make_url(url).set(drivername="postgresql").render_as_string(hide_password=False)
    with closing(psycopg2.connect(dsn)) as conn, conn, conn.cursor() as cursor:
        # A mutant may make a function loop for ever.
        cursor.execute(f"ALTER DATABASE {make_url(url).database} SET statement_timeout = '10s'")
        cursor.execute(statements)


def _in_fork(url: str, order: Order, change: Changed | None) -> dict[str, Any] | None:
    """Run the tests in a child process; return the record of `order`, None after a timeout."""
    with tempfile.NamedTemporaryFile("r") as answer:
        child = os.fork()
        if child == 0:
            try:
                os.setpgid(0, 0)
                _test(url, order, change, Path(answer.name))
            finally:
                os._exit(0)
        deadline = time.monotonic() + _SECONDS
        while os.waitpid(child, os.WNOHANG) == (0, 0):
            if time.monotonic() > deadline:
                os.killpg(child, signal.SIGKILL)
                os.waitpid(child, 0)
                return None
            time.sleep(0.05)
        nothing = {"finder": "the tests cannot be run"}
        found: dict[str, Any] = json.loads(answer.read() or json.dumps(nothing))
        return found


def _test(url: str, order: Order, change: Changed | None, answer: Path) -> None:
    os.environ["STAGING_TEST_DATABASE_URL"] = url
    if change is not None:
        # Imported again, with all modules that may import from it; tables and metrics stay.
        for name in [name for name in sys.modules if _FRESH.match(name)]:
            del sys.modules[name]
        sys.meta_path.insert(0, change)
    with _silence():
        status = int(pytest.main([*_OPTIONS, *TESTS], plugins=[order]))
    if status != 0 and order.finder is None:
        order.finder = "the tests cannot be run"
    answer.write_text(json.dumps({"finder": order.finder, "took": order.took}))


@contextmanager
def _silence() -> Iterator[None]:
    sys.stdout.flush()
    shown = [os.dup(1), os.dup(2)]
    with Path(os.devnull).open("w") as nowhere:
        for number in (1, 2):
            os.dup2(nowhere.fileno(), number)
        yield
        sys.stdout.flush()
        for number, copy in enumerate(shown, 1):
            os.dup2(copy, number)
            os.close(copy)


def main() -> None:
    """Try each mutant; print the survivors."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--only", default="", help="mutants whose description contains this")
    parser.add_argument("--part", default="1/1", help="of the mutants: 1/2 is every other one")
    parser.add_argument("--list", action="store_true", help="only show them")
    given = parser.parse_args()
    part, parts = map(int, given.part.split("/"))
    chosen = [mutant for mutant in mutants() if given.only in str(mutant)][part - 1 :: parts]
    if given.list:
        print(*chosen, f"{len(chosen)} mutants", sep="\n")
        return
    os.chdir(_ROOT)
    with _silence():
        pytest.main([*_QUIETLY, "--collect-only", *TESTS])  # imports everything, once
    with (
        tempfile.TemporaryDirectory() as folder,
        running(Path(folder), durable=False) as server,
    ):
        migrate(server.url)
        trial = Trial(server.url)
        trial.calibrate()
        alive = [mutant for mutant in chosen if _survives(mutant, trial)]
    killed = len(chosen) - len(alive)
    print(f"{killed} of {len(chosen)} killed, {killed / len(chosen):.1%}; alive:")
    print(*alive, sep="\n")
    sys.exit(killed / len(chosen) < _WANTED)


def _survives(mutant: Mutant, trial: Trial) -> bool:
    began = time.monotonic()
    finder = trial.finder(mutant)
    word = "ALIVE" if finder is None else "killed"
    print(word, mutant, f"\n    {finder} in {time.monotonic() - began:.0f} s", flush=True)
    return finder is None


if __name__ == "__main__":
    main()
