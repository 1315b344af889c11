"""Change each predicate of the lock, one at a time, and see whether the short tests notice.

Run by hand: ``python -m tests.prove.mutants [--only TEXT] [--list]``. It works on a copy of the
checkout, on one PostgreSQL, with a new database for each mutant, and ends with status 1 if fewer
than 95 of 100 are found.
"""

import argparse
import os
import re
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path

import psycopg2
import pytest
from sqlalchemy import make_url

from staging_api.db.embedded import running
from staging_api.db.migrate import migrate
from tests.databases import new_database

_ROOT = Path(__file__).parents[2]
_FILES = (
    "migrations/sql/0011_locks.sql",
    "staging_api/locks/hold.py",
    "staging_api/locks/keeper.py",
    "staging_api/http/api_lock.py",
)
_TESTS = (
    "tests/integration/test_lock_statements.py",
    "tests/integration/test_lock_orders.py",
    "tests/integration/test_lock_promises.py",
    "tests/integration/test_api_lock.py",
)
_OPTIONS = ("-x", "-q", "-p", "no:cacheprovider", "--timeout=30")
_WANTED = 0.95
_SECONDS = 180.0

# What is found, and what it becomes; in lines that decide something.
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
    (r"FOR SHARE", ""),
    (r"FOR NO KEY UPDATE( OF s SKIP LOCKED)?", ""),
    (r"\bgreatest\b", "least"),
    (r"\bleast\b", "greatest"),
    (r"'off', true", "'on', true"),
    (r"v_durability, true", "'off', true"),
    (r"ORDER BY w.place", "ORDER BY w.place DESC"),
)
_SQL_LINES = re.compile(
    r"WHERE|AND |\bIF\b|ELSIF|WHEN|FOR SHARE|FOR NO KEY|greatest|least|set_config|ORDER BY"
    r"|JOIN|<<|\) \+ 1"
)
_ASSIGNMENT = re.compile(r"\bSET |= CASE|= greatest")
_PYTHON = (
    (r"\bif not\b", "if"),
    (r"\bif (?!not\b|__)(.*):$", r"if not (\1):"),
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
    """One line of one file, changed."""

    path: str
    number: int
    before: str
    after: str

    def __str__(self) -> str:
        return f"{self.path}:{self.number}\n    - {self.before.strip()}\n    + {self.after.strip()}"


def mutants() -> Iterator[Mutant]:
    """Every change, in order of the lines."""
    for path in _FILES:
        sql = path.endswith(".sql")
        changes, deciding = (_SQL, _SQL_LINES) if sql else (_PYTHON, _PYTHON_LINES)
        for number, line in enumerate((_ROOT / path).read_text().splitlines()):
            code = line.split("--")[0] if sql else line
            if not deciding.search(code) or code.lstrip().startswith(("#", '"""')):
                continue
            yield from _changed(path, number, code, changes)


def _changed(
    path: str, number: int, code: str, changes: tuple[tuple[str, str], ...]
) -> Iterator[Mutant]:
    seen = {code}
    for pattern, becomes in changes:
        for found in re.finditer(pattern, code):
            after = code[: found.start()] + found.expand(becomes) + code[found.end() :]
            # In an assignment it would be no other predicate, but a mistake of syntax.
            assigns = pattern.startswith("(?<![<>!:=])=") and _ASSIGNMENT.search(code)
            if after not in seen and not assigns:
                seen.add(after)
                yield Mutant(path, number + 1, code, after)


class Trial:
    """Runs the short tests with a change: of the statements in place, of the code in a copy."""

    def __init__(self, server_url: str, copy: Path) -> None:
        self.server_url, self.copy = server_url, copy

    def survives(self, mutant: Mutant) -> bool:
        """Whether all short tests pass."""
        lines = (_ROOT / mutant.path).read_text().splitlines()
        lines[mutant.number - 1] = mutant.after
        changed = "\n".join(lines) + "\n"
        if not mutant.path.endswith(".sql"):
            return self._with_code(mutant.path, changed)
        with new_database(self.server_url) as url:
            migrate(url)
            try:
                # A change may make a function go round for ever.
                _run_sql(
                    url, f"ALTER DATABASE {make_url(url).database} SET statement_timeout = '10s'"
                )
                _run_sql(url, _again(changed))
            except psycopg2.Error:
                return False
            return _in_fork(_ROOT, url)

    def _with_code(self, path: str, changed: str) -> bool:
        (self.copy / path).write_text(changed)
        try:
            with new_database(self.server_url) as url:
                return _in_process(self.copy, url)
        finally:
            shutil.copy(_ROOT / path, self.copy / path)


def _again(changed: str) -> str:
    return re.sub(r"^CREATE (FUNCTION|VIEW)", r"CREATE OR REPLACE \1", changed, flags=re.MULTILINE)


def _run_sql(url: str, statements: str) -> None:
    dsn = make_url(url).set(drivername="postgresql").render_as_string(hide_password=False)
    with closing(psycopg2.connect(dsn)) as conn, conn, conn.cursor() as cursor:
        cursor.execute(statements)


def _in_fork(root: Path, url: str) -> bool:
    """In a child that has everything imported already."""
    child = os.fork()
    if child == 0:
        os.environ["STAGING_TEST_DATABASE_URL"] = url
        os.chdir(root)
        with Path(os.devnull).open("w") as nowhere:
            os.dup2(nowhere.fileno(), 1)
            os.dup2(nowhere.fileno(), 2)
        os._exit(int(pytest.main([*_OPTIONS, *_TESTS])))
    deadline = time.monotonic() + _SECONDS
    while time.monotonic() < deadline:
        ended, status = os.waitpid(child, os.WNOHANG)
        if ended:
            return status == 0
        time.sleep(0.1)
    os.kill(child, signal.SIGKILL)
    os.waitpid(child, 0)
    return False


def _in_process(root: Path, url: str) -> bool:
    try:
        done = subprocess.run(
            [sys.executable, "-m", "pytest", *_OPTIONS, *_TESTS],
            cwd=root,
            env={**os.environ, "STAGING_TEST_DATABASE_URL": url},
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
            timeout=_SECONDS,
            check=False,
        )
    except subprocess.TimeoutExpired:
        return False
    return done.returncode == 0


def main() -> None:
    """Try each mutant; say which survive."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--only", default="", help="mutants whose description contains this")
    parser.add_argument("--every", type=int, default=1, help="only each n-th: a sample")
    parser.add_argument("--list", action="store_true", help="only show them")
    given = parser.parse_args()
    chosen = [mutant for mutant in mutants() if given.only in str(mutant)][:: given.every]
    if given.list:
        print(*chosen, f"{len(chosen)} mutants", sep="\n")
        return
    with tempfile.TemporaryDirectory() as folder:
        copy = Path(folder) / "copy"
        shutil.copytree(_ROOT, copy, ignore=shutil.ignore_patterns(".git", "var", ".venv"))
        with running(Path(folder) / "home", durable=False) as server:
            trial = Trial(server.url, copy)
            alive = [mutant for mutant in chosen if _report(mutant, trial.survives(mutant))]
    killed = len(chosen) - len(alive)
    print(f"{killed} of {len(chosen)} killed, {killed / len(chosen):.1%}; alive:")
    print(*alive, sep="\n")
    sys.exit(killed / len(chosen) < _WANTED)


def _report(mutant: Mutant, alive: bool) -> bool:
    print("ALIVE" if alive else "killed", mutant, flush=True)
    return alive


if __name__ == "__main__":
    main()
