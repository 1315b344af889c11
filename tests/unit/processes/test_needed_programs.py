"""External programs that a service needs, by its settings."""

from pathlib import Path

import pytest

from staging_api.errors import Invalid
from staging_api.processes.configuration import _check_programs
from staging_api.settings import Settings


@pytest.fixture
def path(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Return the only folder in PATH."""
    monkeypatch.setenv("PATH", str(tmp_path))
    return tmp_path


def test_without_signing_and_stack_traces_none_is_needed(path: Path) -> None:
    _check_programs(Settings())


def test_signing_needs_gpg(path: Path) -> None:
    settings = Settings(signing_home=path)
    with pytest.raises(Invalid, match=r"STAGING_SIGNING_HOME: signing needs the program gpg"):
        _check_programs(settings)
    (path / "gpg").touch(0o755)
    _check_programs(settings)


def test_stack_traces_need_the_program_that_is_set(path: Path) -> None:
    program = path / "stackwalk"
    settings = Settings(stackwalk=program)
    with pytest.raises(Invalid, match=r"STAGING_STACKWALK: .*stackwalk is not a program"):
        _check_programs(settings)
    program.touch(0o644)
    with pytest.raises(Invalid, match=r"STAGING_STACKWALK"):
        _check_programs(settings)
    program.chmod(0o755)
    _check_programs(settings)
