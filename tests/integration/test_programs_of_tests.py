"""Programs of the tests: `--help` and unknown options write no files."""

import subprocess
import sys
from pathlib import Path

import pytest

from tests import compatibility, contract, errors_page

WRITTEN = [compatibility.RELEASED, contract.COMMITTED, errors_page.PAGE]


@pytest.mark.parametrize(
    ("module", "option"),
    [
        ("tests.cluster", "--halp"),
        ("tests.cluster", "--help"),
        ("tests.compatibility", "--help"),
        ("tests.contract", "--help"),
    ],
)
def test_a_program_without_options_prints_its_help_or_refuses_and_writes_nothing(
    module: str, option: str
) -> None:
    before = [path.stat().st_mtime_ns for path in WRITTEN]
    command = [sys.executable, "-m", module, option]
    root = Path(__file__).parents[2]
    ran = subprocess.run(command, cwd=root, capture_output=True, text=True, timeout=60, check=False)
    assert (ran.returncode, bool(ran.stdout)) == ((0, True) if option == "--help" else (2, False))
    assert f"usage: python -m {module} [-h]" in ran.stdout + ran.stderr
    assert [path.stat().st_mtime_ns for path in WRITTEN] == before
