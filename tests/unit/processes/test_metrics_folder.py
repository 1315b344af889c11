"""Folder of metrics: removed with its service, or by the next one after a kill."""

import fcntl
import os
import tempfile
from pathlib import Path

import pytest

from staging_api.processes.metrics_folder import metrics_folder


@pytest.fixture(autouse=True)
def temporary(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path))
    return tmp_path


@pytest.fixture
def abandoned(temporary: Path) -> Path:
    """Create a folder that a killed service left an hour ago."""
    folder = temporary / "staging-metrics-killed"
    folder.mkdir()
    (folder / "lock").touch()
    (folder / "counter_7.db").write_text("counts")
    made_old(folder)
    return folder


def made_old(folder: Path) -> None:
    an_hour_ago = folder.stat().st_mtime - 3600
    os.utime(folder, (an_hour_ago, an_hour_ago))


def test_a_folder_goes_when_its_service_ends(temporary: Path) -> None:
    with metrics_folder() as folder:
        assert Path(folder).parent == temporary
        Path(folder, "counter_7.db").write_text("counts")
    assert not list(temporary.iterdir())


def test_the_folder_of_a_killed_service_goes_when_the_next_one_starts(abandoned: Path) -> None:
    with metrics_folder():
        assert not abandoned.exists()


def test_the_folder_of_a_running_service_stays(temporary: Path) -> None:
    with metrics_folder() as running:
        Path(running, "counter_7.db").write_text("counts")
        made_old(Path(running))
        with metrics_folder() as other:
            assert other != running
            assert Path(running, "counter_7.db").read_text() == "counts"


def test_the_folder_stays_while_a_child_of_the_killed_process_serves(abandoned: Path) -> None:
    with (abandoned / "lock").open("rb") as of_the_child:
        fcntl.flock(of_the_child, fcntl.LOCK_EX)
        with metrics_folder():
            assert abandoned.exists()
    with metrics_folder():
        assert not abandoned.exists()


def test_a_folder_that_is_not_locked_yet_stays(abandoned: Path) -> None:
    os.utime(abandoned)
    with metrics_folder():
        assert abandoned.exists()


def test_a_folder_of_a_version_that_took_no_lock_stays(abandoned: Path) -> None:
    (abandoned / "lock").unlink()
    made_old(abandoned)
    with metrics_folder():
        assert abandoned.exists()


def test_other_folders_and_what_a_link_names_stay(temporary: Path, abandoned: Path) -> None:
    other = abandoned.rename(temporary / "somebody-else's")
    made_old(other)
    (temporary / "staging-metrics-link").symlink_to(other)
    with metrics_folder():
        assert (other / "counter_7.db").exists()
