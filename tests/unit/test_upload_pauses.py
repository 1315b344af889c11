"""Pauses of a wait for an upload: short steps, with a check in each whether to continue."""

from collections.abc import Callable
from contextlib import nullcontext
from types import SimpleNamespace
from typing import Any

import pytest

from staging_api.clients import ALWAYS_CONNECTED
from staging_api.errors import Cancelled, LockLost, ShuttingDown
from staging_api.sources.url import parse
from staging_api.staging import uploads
from staging_api.staging.model import StagingRequest
from staging_api.staging.repository import reading, staging_rows
from staging_api.staging.uploads import UploadProgress, UploadTerms


class Wait:
    """Wait with its own clock; records the checks."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self.now = 100.0
        self.passed: list[tuple[str, int, float]] = []
        self.looks: list[str] = []
        self.is_cancelled = False
        monkeypatch.setattr(uploads, "time", SimpleNamespace(monotonic=lambda: self.now))
        monkeypatch.setattr(
            staging_rows, "cancel_is_requested", lambda _conn, _id: self.is_cancelled
        )
        monkeypatch.setattr(reading, "versions", lambda _conn, ids: dict.fromkeys(ids, 7))

    def changed(self, staging_id: str, version: int, seconds: float, _client: object) -> None:
        self.passed.append((staging_id, version, seconds))
        self.now += seconds

    def look(self, name: str, error: Exception | None = None) -> Callable[[], None]:
        def looked() -> None:
            self.looks.append(name)
            if error is not None:
                raise error

        return looked

    def let_pass(
        self, seconds: float, lost: Exception | None = None, ends: Exception | None = None
    ) -> None:
        database: Any = SimpleNamespace(connect=nullcontext)
        shutdown: Any = SimpleNamespace(check_begun=self.look("shutdown", ends))
        request = StagingRequest(parse("https://x/R17"), ())
        source: Any = SimpleNamespace(url="https://x/R17")
        watch: Any = self
        progress = UploadProgress(
            database, source, request, "s", UploadTerms(), shutdown=shutdown, watch=watch
        )
        held: Any = SimpleNamespace(assert_held=self.look("lock", lost))
        progress._pass(self.now + seconds, held, ALWAYS_CONNECTED)


def test_it_passes_in_steps_of_five_seconds_to_its_last_fraction(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    wait = Wait(monkeypatch)
    wait.let_pass(10.5)
    assert wait.passed == [("s", 7, 5.0), ("s", 7, 5.0), ("s", 7, 0.5)]
    assert wait.looks == ["lock", "shutdown"] * 3


def test_it_ends_when_the_staging_is_cancelled_the_lock_lost_or_the_process_ends(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    wait = Wait(monkeypatch)
    with pytest.raises(LockLost):
        wait.let_pass(10, lost=LockLost("lost"))
    with pytest.raises(ShuttingDown):
        wait.let_pass(10, ends=ShuttingDown("ends"))
    assert len(wait.passed) == 2
    wait.is_cancelled = True
    with pytest.raises(Cancelled, match="staging s was cancelled"):
        wait.let_pass(10)
    assert len(wait.passed) == 2
