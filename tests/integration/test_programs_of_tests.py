"""Programs of the tests: `--help` and unknown options write no files."""

import runpy
import sys

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
    module: str, option: str, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    before = [path.stat().st_mtime_ns for path in WRITTEN]
    monkeypatch.setattr(sys, "argv", [module, option])
    # As `python -m` runs it: imported anew.
    monkeypatch.delitem(sys.modules, module, raising=False)
    with pytest.raises(SystemExit) as ended:
        runpy.run_module(module, run_name="__main__", alter_sys=True)
    printed = capsys.readouterr()
    assert (ended.value.code, bool(printed.out)) == (
        (0, True) if option == "--help" else (2, False)
    )
    assert f"usage: python -m {module} [-h]" in printed.out + printed.err
    assert [path.stat().st_mtime_ns for path in WRITTEN] == before
