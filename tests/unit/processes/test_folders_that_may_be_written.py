"""Folders of settings: refused if they must be created and cannot; accepted if they exist."""

import os
import tempfile
from pathlib import Path

import pytest

from staging_api.cli.check import check
from staging_api.errors import Invalid
from staging_api.processes import configuration
from staging_api.processes.configuration import (
    _check_bind,
    _check_folders,
    check_configuration,
)
from staging_api.processes.metrics_folder import metrics_folder
from staging_api.settings import Settings


@pytest.fixture(params=[os.W_OK, os.X_OK], ids=["written to", "entered"])
def closed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, request: pytest.FixtureRequest) -> Path:
    """Return a folder that the user cannot write to, or cannot enter; root may do both anywhere."""
    found = tmp_path / "closed"
    found.mkdir()
    access = os.access

    def refused(path: Path, mode: int) -> bool:
        return access(path, mode) and not (path == found and mode & request.param)

    monkeypatch.setattr(os, "access", refused)
    return found


def test_a_home_and_a_store_that_cannot_be_made_are_refused(closed: Path) -> None:
    folder = closed / "a" / "b"
    reason = f"{folder} cannot be made: {closed} may not be written to"
    for setting, settings in (
        ("STAGING_HOME", Settings(home=folder)),
        ("STAGING_STORE", Settings(home=closed.parent, store=f"file://{folder}")),
    ):
        with pytest.raises(Invalid) as refused:
            _check_folders(settings)
        assert refused.value.detail == f"{setting}: {reason}"


def test_a_home_and_a_store_that_are_there_may_be_read_only_and_others_can_be_made(
    closed: Path,
) -> None:
    _check_folders(Settings(home=closed, store=f"file://{closed}"))
    _check_folders(Settings(home=closed.parent / "new", store=f"file://{closed.parent}/other"))


def test_the_folder_of_metrics_and_that_of_a_socket_must_be_writable(closed: Path) -> None:
    settings = Settings(home=closed.parent, metrics_dir=str(closed))
    with pytest.raises(Invalid, match=r"STAGING_METRICS_DIR: .* may not be written to"):
        _check_folders(settings)
    with pytest.raises(Invalid, match=r"STAGING_BIND: .* nothing can be made in"):
        _check_bind("STAGING_BIND", f"unix:{closed}/api")
    _check_folders(Settings(home=closed.parent, metrics_dir=str(closed.parent)))
    _check_bind("STAGING_BIND", f"unix:{closed.parent}/api")


def test_a_key_that_expires_soon_is_a_warning_of_the_check(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(configuration, "expiry_warning", lambda key, _now: f"{key} expires")
    settings = Settings(home=tmp_path, database_url="postgresql+psycopg2:///")
    assert check_configuration(settings, "worker") == "None expires"
    monkeypatch.setattr(Settings, "from_env", lambda: settings)
    check()
    said = capsys.readouterr()
    assert (said.out, said.err) == ("the settings are valid\n", "warning: None expires\n")


def test_an_api_without_a_folder_for_temporary_files_is_refused_and_a_worker_is_not(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    tried = [str(tmp_path / "none"), str(tmp_path / "other")]
    monkeypatch.setattr(tempfile, "_candidate_tempdir_list", lambda: tried)
    settings = Settings(home=tmp_path, database_url="postgresql+psycopg2:///")
    check_configuration(settings, "worker")
    for kind in ("api", "both"):
        monkeypatch.setattr(tempfile, "tempdir", None)
        with pytest.raises(Invalid, match=r"TMPDIR: must name a folder .*/none', '.*/other'"):
            check_configuration(settings, kind)
    with pytest.raises(Invalid, match="TMPDIR: must name a folder"), metrics_folder():
        pass
