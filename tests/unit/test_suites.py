"""Suites of make test and make test-system: every test is in one of them, or in make prove."""

import ast
import gc
from itertools import groupby
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from tests import suites

TESTS = Path(__file__).parents[1]


def marked(node: ast.AST, marker: str) -> bool:
    return any(
        isinstance(part, ast.Attribute) and part.attr == marker
        for part in ast.walk(node)
        if isinstance(part, ast.Attribute)
        and isinstance(part.value, ast.Attribute)
        and part.value.attr == "mark"
    )


@pytest.mark.parametrize("marker", ["system", "prove"])
def test_every_test_of_a_folder_that_is_left_out_has_its_marker(marker: str) -> None:
    files = list((TESTS / marker).rglob("test_*.py"))
    assert files
    for file in files:
        for node in ast.parse(file.read_text()).body:
            if ast.unparse(node).startswith("pytestmark = ") and marked(node, marker):
                break
            if isinstance(node, ast.ClassDef | ast.FunctionDef):
                of = [marked(decorator, marker) for decorator in node.decorator_list]
                assert any(of) or not node.name.lower().startswith("test"), f"{file}: {node.name}"


def item(path: Path, *markers: str) -> Any:
    find = set(markers).intersection
    return SimpleNamespace(
        path=path, nodeid=f"{path.name}::test", get_closest_marker=lambda name: find({name})
    )


def test_a_test_that_make_test_system_would_not_look_for_is_an_error() -> None:
    here, there = Path(__file__).with_name("test_tokens.py"), TESTS / "system" / "test_chart.py"
    suites.pytest_collection_modifyitems([item(here), item(there, "system")])
    with pytest.raises(pytest.UsageError, match=r"test_tokens\.py::test has a marker"):
        suites.pytest_collection_modifyitems([item(here, "system"), item(there, "system")])


def collected(expression: str, path: Path) -> bool:
    config: Any = SimpleNamespace(option=SimpleNamespace(markexpr=expression))
    return suites.pytest_ignore_collect(path, config) is None


def test_each_suite_leaves_out_what_has_nothing_for_it() -> None:
    system, prove, chart = TESTS / "system", TESTS / "prove", TESTS / "system" / "test_chart.py"
    quick, one, other = "not system and not prove", "system and not prove", "prove"
    assert not any(collected(quick, path) for path in (system, prove))
    assert all(collected(one, path) for path in (system, chart, TESTS / "unit"))
    assert not any(collected(one, path) for path in (prove, TESTS / "unit" / "test_tokens.py"))
    assert all(collected(other, path) for path in (system, prove, chart))
    assert all(collected("", path) for path in (system, prove, chart))
    buckets = TESTS / "acceptance" / "test_bucket_store.py"
    assert collected(one, buckets)
    assert collected(one, TESTS / "conformance" / "test_stores.py")


def test_slow_modules_come_first_and_those_of_a_package_together() -> None:
    slow = [TESTS / name for name in suites._FIRST]
    assert [path for path in slow if not path.is_file()] == []
    others = [TESTS / "acceptance" / "test_stagings.py", TESTS / "unit" / "test_tokens.py"]
    items = [item(path) for path in (*others, *reversed(slow))]
    suites.pytest_collection_modifyitems(items)
    order = [each.path for each in items]
    assert order[-1] == others[1]
    assert [path for path in order if path in slow] == slow
    packages = [path.parent for path in order]
    assert len(set(packages)) == len([package for package, _ in groupby(packages)])


def test_garbage_of_tests_is_looked_for_but_not_in_what_was_collected() -> None:
    assert gc.isenabled()
    assert 1_000 < gc.get_threshold()[0] < 100_000
    assert gc.get_freeze_count() > len(gc.get_objects())
