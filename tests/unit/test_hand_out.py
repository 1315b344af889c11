"""Protection of a file before its bytes are sent, if its last recorded read is old."""

from datetime import UTC, datetime
from types import SimpleNamespace
from typing import Any

import pytest

from staging_api.errors import NotFound
from staging_api.staging.files import StagedFiles
from staging_api.staging.model import ServedFile


@pytest.mark.parametrize(
    ("is_due", "is_staged", "asked"),
    [(True, True, ["a1"]), (True, False, ["a1"]), (False, True, []), (False, False, [])],
)
def test_an_artifact_is_asked_for_only_if_its_last_read_is_old(
    is_due: bool, is_staged: bool, asked: list[str]
) -> None:
    noted: list[str] = []

    def hand_out(artifact_id: str) -> bool:
        noted.append(artifact_id)
        return is_staged

    none: Any = None
    accesses: Any = SimpleNamespace(hand_out=hand_out)
    files = StagedFiles(database=none, accesses=accesses, growing=none)
    file = ServedFile("b/f", "a1", "1" * 64, 1, datetime.now(UTC), False, None, None, None, is_due)
    if is_due and not is_staged:
        with pytest.raises(NotFound, match="just been evicted"):
            files.hand_out(file)
    else:
        files.hand_out(file)
    assert noted == asked
