"""Test runs for mutants: forked from a process that has imported the package, and their results."""

from collections.abc import Iterator
from contextlib import closing
from pathlib import Path

import pytest

from tests.mutants.model import ROOT
from tests.mutants.trial import Outcome, Runner


@pytest.fixture(scope="module")
def place(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[Path, Runner]]:
    """Yield a tree without tests, and the runner of its tests."""
    tree = tmp_path_factory.mktemp("mutants") / "tree"
    tree.mkdir()
    (tree / "tests").symlink_to(ROOT / "tests")
    with closing(Runner(tree, ())) as runner:
        yield tree, runner


IN_PLACE = ("-rfE", "--tb=no", "-c", "/dev/null", "--rootdir=.", "-p", "no:cacheprovider")
QUICK = ("-p", "no:schemathesis", "-p", "no:hypothesispytest", "-p", "no:xdist")


def ran(place: tuple[Path, Runner], name: str, text: str, seconds: float = 60) -> Outcome:
    tree, runner = place
    (tree / name).write_text(text)
    return runner.run([*IN_PLACE, *QUICK, name], seconds, {"SEEN": "1"})


def test_a_run_that_is_over_its_limit_is_ended_and_finds_nothing(
    place: tuple[Path, Runner],
) -> None:
    outcome = ran(place, "over.py", "import time\ntime.sleep(600)", seconds=0.5)
    assert (outcome.status, outcome.finder) == (None, None)


_DRAWN = """
import pytest
@pytest.mark.parametrize("a", ["{given}"])
def test_b(a): assert a == [1]
"""
FOUND = {
    "fails": ("def test_b(): assert 1 == 2", "fails.py::test_b"),
    "drawn": (_DRAWN.format(given="x - [y]"), "drawn.py::test_b[x - [y]]"),
    "nothing": (_DRAWN.format(given=""), "nothing.py::test_b[]"),
    "unread": ("def test_b(: pass", "unread.py"),
    "passes": ("import os\ndef test_b(): assert os.environ['SEEN'] == '1'", None),
    "breaks": ("import os\ndef test_b(): os._exit(9)", "pytest ended with status 9"),
    "empty": ("", None),
}


@pytest.mark.parametrize("name", FOUND)
def test_the_first_test_that_fails_is_the_finder(place: tuple[Path, Runner], name: str) -> None:
    text, finder = FOUND[name]
    assert ran(place, f"{name}.py", text).finder == finder
