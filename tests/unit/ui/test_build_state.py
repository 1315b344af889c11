"""State of a build in words, and the folder of its files."""

import pytest

from staging_api.staging.model import StagedArtifact, Staging
from staging_api.ui.screens.build import _common_folder, _state


def staging(state: str) -> Staging:
    empty = dict.fromkeys(Staging.__dataclass_fields__)
    return Staging(**{**empty, "state": state})  # type: ignore[arg-type]


def artifact(state: str) -> StagedArtifact:
    empty = dict.fromkeys(StagedArtifact.__dataclass_fields__)
    return StagedArtifact(**{**empty, "state": state})  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("artifacts", "history", "word"),
    [
        ("", "", "not staged"),
        ("", "cancelled staged", "cancelled"),
        ("staged failed", "running staged", "running"),
        ("staged", "foreground_staged", "foreground_staged"),
        ("staged failed evicted", "staged failed", "failed"),
        ("staged evicted missing", "failed staged", "staged"),
        ("evicted missing", "staged", "evicted"),
        ("missing", "staged", "staged"),
        # Events are deleted after a time, and stagings with them.
        ("staged", "", "staged"),
        ("missing", "", "not staged"),
    ],
)
def test_a_build_is_called_by_its_newest_staging_or_by_its_artifacts(
    artifacts: str, history: str, word: str
) -> None:
    found = _state([*map(artifact, artifacts.split())], [*map(staging, history.split())])
    assert found == word


@pytest.mark.parametrize(
    ("paths", "folder"),
    [
        (["b/R1/a.bin"], "b/R1/"),
        (["b/R1/a.bin", "b/R1/suites/"], "b/R1/"),
        (["b/R1/suites/", "b/R1/suites/x/"], "b/R1/suites/"),
        (["b/R1/a", "b/R10/a"], "b/"),
        (["a/R1/x", "b/R1/x"], ""),
    ],
)
def test_the_folder_of_a_build_has_all_of_its_files(paths: list[str], folder: str) -> None:
    assert _common_folder(paths) == folder
