"""Driver of mutants: its changes, its samples, and its choice of tests."""

import ast
from pathlib import Path
from typing import Any
from unittest.mock import Mock

import pytest

from tests.mutants import sql, trial
from tests.mutants.choosing import Choice, Suite
from tests.mutants.equivalents import EQUIVALENT
from tests.mutants.frame import drawn, lines_of, of_file, on
from tests.mutants.model import ROOT, Mutant, room
from tests.mutants.reach import reached
from tests.mutants.record import Record, recorded
from tests.mutants.trial import Outcome, OutOfTime, Trial, Untriable, changed
from tests.mutants.turns import fates


def outcomes(source: str) -> set[str]:
    """Return every changed source of a Python file."""
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
        "@dataclass(frozen=True)\nclass C: pass",
        "x = zip(a, b, strict=True)",
        "__all__ = ['publication_tables', 'public_endpoint']",
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


NOTHING = Record({}, lambda _path: {})


def suites(of: Mutant, record: Record = NOTHING, under: str = "") -> list[list[str]]:
    return [list(suite.tests) for suite in Choice(TEXTS, record, (under,)).suites(of)]


def record_of(ran: dict[str, dict[int, set[str]]], **seconds: float) -> Record:
    tests = {test for lines in ran.values() for each in lines.values() for test in each}
    return Record(
        {test: seconds.get(test.partition("::")[2], 0.1) for test in tests},
        lambda path: ran.get(path, {}),
    )


def test_without_a_record_tests_that_name_the_module_come_first_and_cheap_ones_before_all() -> None:
    assert suites(mutant("paging.py", "comparison", 35)) == [
        ["tests/unit/test_paging.py", "tests/integration/test_lists.py"]
    ]
    assert suites(mutant("store/disk.py", "comparison", 35)) == [["tests/unit/test_other.py"]]


def test_with_a_record_tests_that_ran_the_line_come_first_quick_ones_before_slow_ones() -> None:
    slow, quick, other = (f"tests/unit/test_other.py::{name}" for name in ("slow", "quick", "no"))
    ran = {"staging_api/paging.py": {35: {slow, quick}, 36: {other}}}
    record = record_of(ran, slow=30.0)
    assert suites(mutant("paging.py", "comparison", 35), record) == [
        [quick],
        [slow],
        ["tests/unit/test_paging.py", "tests/integration/test_lists.py"],
    ]


def test_a_unit_test_that_was_recorded_is_not_run_for_lines_that_it_did_not_run() -> None:
    ran = {"staging_api/paging.py": {36: {"tests/unit/test_paging.py::test"}}}
    assert suites(mutant("paging.py", "comparison", 35), record_of(ran)) == [
        ["tests/integration/test_lists.py"]
    ]


def test_what_runs_at_import_may_be_noticed_by_a_recorded_test_that_names_the_module() -> None:
    path = "tests/unit/test_paging.py"
    record = record_of({"staging_api/store/disk.py": {1: {f"{path}::test"}}})
    wide = "tests/integration/test_lists.py"
    assert suites(mutant("paging.py", "constant", 13), record) == [[path, wide]]
    assert suites(mutant("paging.py", "constant", 35), record) == [[wide]]


def test_what_runs_at_import_may_be_noticed_by_a_recorded_test_that_names_the_room() -> None:
    path = "tests/unit/test_other.py"
    record = record_of({"staging_api/paging.py": {1: {f"{path}::test"}}})
    line = next(
        number
        for number, text in enumerate(
            (ROOT / "staging_api/store/parts.py").read_text().split("\n"), 1
        )
        if text.startswith("_READ_BYTES")
    )
    assert suites(mutant("store/parts.py", "constant", line), record) == [[path]]


def test_a_recorded_file_that_starts_a_process_may_have_run_the_line_there(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    path = "tests/unit/test_paging.py"
    monkeypatch.setitem(TEXTS, path, f"import subprocess\n{TEXTS[path]}")
    ran = {"staging_api/paging.py": {36: {f"{path}::test"}}}
    assert suites(mutant("paging.py", "comparison", 35), record_of(ran)) == [
        [path, "tests/integration/test_lists.py"]
    ]


def test_tests_outside_of_the_given_folders_are_not_chosen() -> None:
    found = suites(mutant("paging.py", "comparison", 35), under="tests/unit/")
    assert found == [["tests/unit/test_paging.py"]]


def lines_reached(path: str, part: str) -> dict[str, set[int]]:
    """Return the lines from `reach` for a change of the first line with this text."""
    texts = (ROOT / "staging_api" / path).read_text().splitlines()
    line = next(n for n, text in enumerate(texts, 1) if part in text)
    found: dict[str, set[int]] = {}
    for file, lines in reached(mutant(path, "any", line)):
        found.setdefault(file, set()).update(lines)
    return found


def test_a_statement_is_reached_where_it_stands_and_a_default_by_its_whole_function() -> None:
    [statement] = lines_reached("paging.py", "more = len(rows)").values()
    [default] = lines_reached("formats/forward.py", "position: int = 0").values()
    assert len(statement) == 1
    assert len(default) > 1


def test_a_constant_is_reached_wherever_it_is_named() -> None:
    found = lines_reached("store/pack_writer.py", "LEAST_CONTENTS = ")
    assert len(found["staging_api/store/pack_writer.py"]) > 2


def test_a_function_of_the_database_is_reached_where_python_names_it() -> None:
    found = lines_reached("db/functions/lock_release.sql", "CREATE OR REPLACE FUNCTION")
    assert "staging_api/locks/store.py" in found
    trigger = lines_reached("db/functions/document_events.sql", "FUNCTION document_commits_tell")
    assert "staging_api/documents/rows/commit_rows.py" in trigger


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
    """Return the statements that a migration sends to its database."""
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


class Scripted:
    """Runner whose tests fail by their names: with a mutant, or always."""

    def run(self, arguments: list[str], _seconds: float, _environment: dict[str, str]) -> Outcome:
        is_changed = Path(arguments[0]).read_text() != "x = 1\n"
        given = [each for each in arguments if each.startswith("tests/")]
        left = [each for each in given if f"--deselect={each}" not in arguments]
        failed = [t for t in left if t.endswith("always") or (is_changed and t.endswith("finds"))]
        return Outcome(1, failed[:1]) if failed else Outcome(0, [])


@pytest.mark.parametrize(("name", "finder"), [("finds", "::finds"), ("passes", None)])
def test_a_test_that_fails_without_the_mutant_too_finds_nothing(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, name: str, finder: str | None
) -> None:
    (tmp_path / "a.py").write_text("x = 1\n")
    monkeypatch.setattr(trial, "_OPTIONS", (str(tmp_path / "a.py"),))
    tests = tuple(f"tests/unit/a.py::{each}" for each in ("always", name))
    scripted: Any = Scripted()
    tried = Trial(tmp_path, scripted, "")
    found = tried.finder(Mutant("a.py", 4, 5, "2", "constant", 1), [Suite(tests, 60)])
    assert found == (finder and f"tests/unit/a.py{finder}")
    assert tried.sound[tests[0]] is False


def test_without_a_recorded_run_nothing_is_known_of_any_line(tmp_path: Path) -> None:
    assert recorded(tmp_path).tests("staging_api/errors.py", range(1, 100)) == set()


class Counting:
    """Trial in which a suite's tests find the mutants of their line; it ends after some."""

    def __init__(self, most: int) -> None:
        self.most = most
        self.asked: list[tuple[int, tuple[str, ...]]] = []

    def finder(self, mutant: Mutant, suites: list[Suite]) -> str | None:
        if len(self.asked) == self.most:
            raise OutOfTime
        if mutant.kind == "broken":
            raise Untriable("it does not compile")
        tests = tuple(test for suite in suites for test in suite.tests)
        self.asked.append((mutant.line, tests))
        return next((test for test in tests if test == f"finds {mutant.line}"), None)


QUICK_SUITES = [Suite(("finds 1",), 9), Suite(("finds 2", "wide"), 9)]
IN_TURN = [(mutant("a.py", "constant", line), QUICK_SUITES) for line in (3, 2, 1)]


def test_all_have_their_likeliest_tests_before_one_has_its_next() -> None:
    trial_of_all: Any = Counting(most=9)
    broken = (mutant("a.py", "broken", 9), QUICK_SUITES)
    without: tuple[Mutant, list[Suite]] = (mutant("a.py", "constant", 4), [])
    found = [(f.mutant.line, f.finder) for f in fates([*IN_TURN, broken, without], trial_of_all)]
    assert found == [(1, "finds 1"), (4, None), (3, None), (2, "finds 2")]
    assert [line for line, tests in trial_of_all.asked if tests] == [3, 2, 1, 3, 2]


def test_when_the_time_is_over_those_that_had_a_suite_are_named_and_not_counted() -> None:
    trial_of_some: Any = Counting(most=2)
    found = list(fates(IN_TURN, trial_of_some))
    assert [(fate.mutant.line, fate.is_known) for fate in found] == [(2, False), (3, False)]
