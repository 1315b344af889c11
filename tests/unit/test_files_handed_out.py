"""Protection from eviction before a file is sent, unless it was renewed recently."""

from datetime import UTC, datetime
from types import SimpleNamespace
from typing import Any

import pytest

from staging_api.errors import NotFound
from staging_api.staging.files import StagedFiles
from staging_api.staging.model import ServedFile
from staging_api.staging.repository import folder_rows


def served(artifact_id: str) -> dict[str, Any]:
    """Return a file as its rows describe it, without the time of its last read."""
    return {
        "path": f"board/{artifact_id}",
        "artifact_id": artifact_id,
        "sha256": "1" * 64,
        "size_bytes": 1,
        "staged_at": datetime.now(UTC),
        "executable": False,
        "pack_sha256": None,
        "pack_bytes": None,
        "pack_offset": None,
    }


class Accesses:
    """Records the files that are sent; evicted ones are refused."""

    def __init__(self, *evicted: str) -> None:
        self.asked: list[str] = []
        self._evicted = evicted

    def hand_out(self, artifact_id: str) -> bool:
        self.asked.append(artifact_id)
        return artifact_id not in self._evicted


def hand_out(accesses: Accesses, file: ServedFile) -> None:
    files: Any = SimpleNamespace(accesses=accesses)
    StagedFiles.hand_out(files, file)


def test_each_file_of_a_folder_is_protected_before_it_is_sent() -> None:
    rows = [SimpleNamespace(_mapping=served(name)) for name in ("a", "b")]
    conn: Any = SimpleNamespace(execute=lambda *_: rows)
    accesses = Accesses("b")
    first, second = folder_rows.served_below(conn, "board/", 2)
    hand_out(accesses, first)
    with pytest.raises(NotFound, match="board/b has just been evicted"):
        hand_out(accesses, second)
    assert accesses.asked == ["a", "b"]


def test_a_file_that_was_protected_of_late_is_not_asked_for() -> None:
    accesses = Accesses("a")
    hand_out(accesses, ServedFile(**served("a"), hand_out_due=False))
    assert accesses.asked == []
