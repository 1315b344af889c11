"""The driver of mutants: what it changes, what it draws, and which tests it chooses."""

import ast
from itertools import chain
from pathlib import Path
from typing import Any
from unittest.mock import Mock

import pytest

from tests.mutants import sql, trial
from tests.mutants.choosing import Choice
from tests.mutants.equivalents import EQUIVALENT
from tests.mutants.frame import drawn, lines_of, of_file, on
from tests.mutants.model import ROOT, Mutant, room
from tests.mutants.trial import Untriable, changed


def outcomes(source: str) -> set[str]:
    """Every changed source of a Python file."""
    return {m.applied(source.encode()).decode() for m in of_file("a.py", source.encode())}


def sql_outcomes(text: str) -> set[str]:
    return {text[:start] + after + text[end:] for start, end, after, _ in sql.changes(text)}


@pytest.mark.parametrize(
    ("before", "after"),
    [
        ("x = a == b", "x = a != b"),
        ("x = a != b", "x = a == b"),
        ("x = a < b <= c", "x = a < b > c"),
        ("x = a is not b", "x = a is b"),
        ("x = a not in b", "x = a in b"),
        ("x = a and b or c", "x = a and b and c"),
        ("x = not a", "x =  a"),
        ("x = not (a or b)", "x =  (a or b)"),
        ("if a:\n    b = c", "if not (a):\n    b = c"),
        ("x = True", "x = False"),
        ("x = a[1:]", "x = a[2:]"),
        ("file.flush()", "pass"),
        ("os.rename(a, b)", "pass"),
        ("def f(a, *, b=False): return a", "def f(a, *, b=True): return a"),
        ("def f(a=10): return a", "def f(a=11): return a"),
        ("def f(a='held'): return a", "def f(a='other_held'): return a"),
        ("h = {'Cache-Control': 'max-age=9'}", "h = {'Cache-Control': 'no-store'}"),
        ("r.set_header('Vary', v)", "r.set_header('Vary', \"of-a-mutant\")"),
        ("r['ETag'] = tag", "r['ETag'] = \"of-a-mutant\""),
        ("q = select(a).where(a.c.b == c).limit(d)", "q = select(a).limit(d)"),
        ("q = 'UPDATE a SET b = c WHERE d = e'", "q = 'UPDATE a SET b = c WHERE true OR d = e'"),
        ("q = f'DELETE FROM {a} WHERE d = e'", "q = f'DELETE FROM {a} WHERE d <> e'"),
        ("x = 'ü' == a", "x = 'ü' != a"),
    ],
)  # fmt: skip
def test_each_kind_of_change_of_python_is_made(before: str, after: str) -> None:
    assert after in outcomes(before)


@pytest.mark.parametrize(
    "source",
    [
        '"""Longer than 1 line, and SELECT a FROM b WHERE c."""',
        "log.info('began', count=1)",
        "def f(a: 'Literal[1]') -> 'Literal[2]': return a",
        "x: Literal[1] = y",
        "x = headers.get('Location', y)",
        "x = f'{a[1]} of 2'",
        "class P:\n    def f(self, a: int = 0, *, b: bool = True):\n        'What'",
    ],
)
def test_what_changes_no_behaviour_is_not_changed(source: str) -> None:
    assert outcomes(source) == set()


@pytest.mark.parametrize(
    ("before", "after"),
    [
        ("WHERE a = b AND c = d", "WHERE true OR a = b AND c = d"),
        ("WHERE a = b AND c = d", "WHERE a = b AND c <> d"),
        ("WHERE a < 3", "WHERE a >= 3"),
        ("IF a IS NULL THEN", "IF a IS NOT NULL THEN"),
        ("IF NOT FOUND THEN", "IF FOUND THEN"),
        ("WHERE NOT EXISTS (SELECT)", "WHERE EXISTS (SELECT)"),
        ("SELECT greatest(a, b)", "SELECT least(a, b)"),
        ("SELECT a + 1", "SELECT a + 0"),
        ("SELECT a LIMIT 10", "SELECT a LIMIT 11"),
        ("SELECT a FOR UPDATE SKIP LOCKED", "SELECT a "),
    ],
)
def test_each_kind_of_change_of_sql_is_made(before: str, after: str) -> None:
    assert after in sql_outcomes(before)


@pytest.mark.parametrize(
    "text",
    [
        "UPDATE a SET b = c",
        "INSERT INTO a VALUES (b) ON CONFLICT (b) DO UPDATE SET c = d",
        "v_a := b;",
        "SELECT f(a => b)",
        "-- WHERE a = b",
        "COMMENT ON FUNCTION f IS\n'true if a = b, WHERE that is < 1';",
    ],
)
def test_assignments_and_comments_of_sql_are_not_changed(text: str) -> None:
    assert sql_outcomes(text) == set()


def test_every_change_of_a_real_file_compiles_and_changes_it() -> None:
    source = (ROOT / "staging_api/paging.py").read_bytes()
    before = ast.dump(ast.parse(source))
    mutants = list(of_file("staging_api/paging.py", source))
    assert len(mutants) > 3
    assert all(ast.dump(ast.parse(mutant.applied(source))) != before for mutant in mutants)


def test_every_equivalent_is_still_a_change_of_its_file(monkeypatch: pytest.MonkeyPatch) -> None:
    named = set(EQUIVALENT)
    monkeypatch.setattr("tests.mutants.frame.EQUIVALENT", {})
    made = set()
    for path in {path for path, _, _ in named}:
        source = (ROOT / path).read_bytes()
        made |= {(path, *mutant.lines(source)) for mutant in of_file(path, source)}
    assert named <= made


def test_a_named_equivalent_is_left_out(monkeypatch: pytest.MonkeyPatch) -> None:
    named = {("a.py", "x = a == b", "x = a != b"): "for the test"}
    monkeypatch.setattr("tests.mutants.frame.EQUIVALENT", named)
    assert outcomes("x = a == b") == set()
    assert outcomes("y = a == b") == {"y = a != b"}


def mutant(path: str, kind: str, line: int) -> Mutant:
    return Mutant(f"staging_api/{path}", line, line + 1, "", kind, line)


MUTANTS = [
    *(mutant("store/disk.py", "constant", line) for line in range(1, 200)),
    mutant("store/disk.py", "durability", 7),
    mutant("paging.py", "comparison", 3),
    mutant("db/functions/ulid.sql", "SQL where", 4),
]


def test_the_same_seed_draws_the_same_and_another_seed_draws_others() -> None:
    assert drawn(MUTANTS, "a", 20) == drawn(list(reversed(MUTANTS)), "a", 20)
    assert drawn(MUTANTS, "a", 20) != drawn(MUTANTS, "b", 20)


def test_a_small_room_and_a_rare_kind_are_drawn_before_a_large_one_is_exhausted() -> None:
    few = drawn(MUTANTS, "any", 6)
    assert {room(each.path) for each in few} == {"store", "paging", "db/functions"}
    assert {each.kind for each in few} == {"constant", "durability", "comparison", "SQL where"}


def test_a_sample_larger_than_all_is_all_of_them() -> None:
    assert sorted(drawn(MUTANTS, "any", 1000)) == sorted(MUTANTS)


DIFF = """\
--- a/staging_api/paging.py
+++ b/staging_api/paging.py
@@ -3 +3,2 @@ def f():
-old
+new
+new
@@ -9,2 +10,0 @@
-gone
-gone
--- a/staging_api/store/disk.py
+++ /dev/null
@@ -1,2 +0,0 @@
"""


def test_only_changed_lines_are_mutated() -> None:
    lines = lines_of(DIFF)
    assert lines["staging_api/paging.py"] == {3, 4}
    assert on(lines, MUTANTS) == [mutant("paging.py", "comparison", 3)]


TEXTS = {
    "tests/unit/test_paging.py": "from staging_api.paging import page",
    "tests/unit/test_other.py": "from staging_api.store import disk",
    "tests/integration/test_lists.py": "import staging_api.paging",
    "tests/integration/test_functions.py": "",
}


def test_without_a_record_tests_that_name_the_module_come_first_and_cheap_ones_before_all() -> None:
    assert Choice(TEXTS).suites(mutant("paging.py", "comparison", 3)) == [
        ["tests/unit/test_paging.py"],
        ["tests/integration/test_lists.py"],
        ["tests/unit/test_other.py"],
    ]


def test_with_a_record_tests_that_ran_the_line_come_first() -> None:
    ran = {"staging_api/paging.py": {3: {"tests/unit/test_other.py"}}}
    suites = Choice(TEXTS, ran).suites(mutant("paging.py", "comparison", 3))
    assert suites[0] == ["tests/unit/test_other.py"]
    assert sorted(chain(*suites)) == sorted(TEXTS.keys() - {"tests/integration/test_functions.py"})


def test_tests_outside_of_the_given_folders_are_not_chosen() -> None:
    suites = Choice(TEXTS, under=("tests/unit/",)).suites(mutant("paging.py", "comparison", 3))
    assert suites == [["tests/unit/test_paging.py"], ["tests/unit/test_other.py"]]


def test_a_change_of_a_function_is_applied_by_the_newest_step_and_undone(tmp_path: Path) -> None:
    path = "staging_api/db/functions/f.sql"
    step = "def upgrade() -> None:\n    op.get_bind().exec_driver_sql('1')\n"
    files = {
        path: "CREATE OR REPLACE FUNCTION f() AS $$ SELECT '%' WHERE a = b $$;\n",
        "migrations/versions/0001_first.py": step,
        "migrations/versions/0002_second.py": step,
    }
    for name, text in files.items():
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).write_text(text)
    [where] = [m for m in of_file(path, (tmp_path / path).read_bytes()) if m.kind == "SQL where"]
    with changed(tmp_path, where):
        assert "true OR" in (tmp_path / path).read_text()
        first, second = (statements_of(tmp_path / name) for name in sorted(files)[:2])
        assert first == ["1"]
        assert second[0] == "1"
        assert second[1].endswith("SELECT '%%' WHERE true OR a = b $$;\n")
    assert {name: (tmp_path / name).read_text() for name in files} == files


def statements_of(step: Path) -> list[str]:
    """What a step of the migrations sends to its database."""
    op = Mock()
    names: dict[str, Any] = {"op": op}
    exec(step.read_text(), names)
    names["upgrade"]()
    return [call.args[0] for call in op.get_bind().exec_driver_sql.call_args_list]


def test_a_change_that_does_not_compile_is_not_tried(tmp_path: Path) -> None:
    (tmp_path / "a.py").write_text("x = 1\n")
    with pytest.raises(Untriable, match=r"a\.py:1 .* does not compile"):
        with changed(tmp_path, Mutant("a.py", 4, 5, "(", "constant", 1)):
            pass
    assert (tmp_path / "a.py").read_text() == "x = 1\n"


def test_a_run_that_goes_on_for_ever_is_ended_and_counts_as_found(tmp_path: Path) -> None:
    tree = tmp_path / "tree"
    tree.mkdir()
    outcome = trial.run(["sleep", "60"], tree, limit=0.05)
    assert outcome.finder == "the time limit"


@pytest.mark.parametrize(
    ("printed", "status", "finder"),
    [
        ("FAILED tests/a.py::test_b[c d] - assert 1 == 2", 1, "tests/a.py::test_b[c d]"),
        ("ERROR tests/a.py - SyntaxError", 2, "tests/a.py"),
        ("", 3, "pytest ended with status 3"),
        ("3 passed", 0, None),
        ("no tests ran", 5, None),
    ],
    ids=["fails", "cannot be read", "breaks", "passes", "empty"],
)
def test_what_pytest_prints_names_the_finder(
    tmp_path: Path, printed: str, status: int, finder: str | None
) -> None:
    tree = tmp_path / "tree"
    tree.mkdir()
    outcome = trial.run(["sh", "-c", f"echo '{printed}'; exit {status}"], tree, limit=60)
    assert outcome.finder == finder
