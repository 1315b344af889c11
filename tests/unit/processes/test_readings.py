"""Figures of /metrics about queue, store and database, as far as each is available."""

import errno
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from staging_api.errors import SigningFailed, StoreFailed
from staging_api.processes import health
from staging_api.publishing.signing import SigningKey
from staging_api.staging.repository import check_rows, reading, space_rows, usage_rows


class Known:
    """A database and a store that have some figures, or do not respond."""

    def __init__(self) -> None:
        self.queue: dict[str, tuple[int, float]] = {}
        self.answers = True
        self.free: int | None = 7
        self.quota_bytes = 0

    @contextmanager
    def connect(self) -> Iterator[object]:
        if not self.answers:
            raise StoreFailed("it does not answer")
        yield object()

    disk_of = "spool"

    def free_bytes(self) -> int:
        if self.free is None:
            raise OSError(errno.EIO, "broken")
        return self.free

    def capacity_bytes(self) -> int:
        return 70

    def read(self) -> dict[str, dict[str, Any]]:
        """Return the figures by the name of their metric."""
        key = SigningKey(Path("/home"), "AAAA")
        read = health.readings(self, self, key, self.quota_bytes)  # type: ignore[arg-type]
        return {name: dict(figures) for name, _, figures in read()}


@pytest.fixture
def known(monkeypatch: pytest.MonkeyPatch) -> Known:
    made = Known()
    monkeypatch.setattr(reading, "queue", lambda _conn: made.queue)
    monkeypatch.setattr(space_rows, "space", lambda _conn: space_rows.StoreSpace(1, 2, 3))
    uses = [("packages", 5), ("idle", 1000), ("pinned", 6)]
    usage = [SimpleNamespace(use=use, bytes=count) for use, count in uses]
    monkeypatch.setattr(usage_rows, "usage", lambda _conn: usage)
    monkeypatch.setattr(check_rows, "lost_count", lambda _conn: 4)
    monkeypatch.setattr(health, "validity_left", lambda _conn: {"main": 0.5})
    monkeypatch.setattr(health, "expires_at", lambda _key: None)
    return made


@pytest.mark.parametrize("state", ["pending", "staging"])
def test_a_state_of_no_artifact_is_said_to_have_none(known: Known, state: str) -> None:
    none = {"pending": 0, "staging": 0}
    empty = known.read()
    assert empty["staging_queue_artifacts"] == empty["staging_queue_oldest_seconds"] == none
    known.queue = {state: (3, 9.5)}
    some = known.read()
    assert some["staging_queue_artifacts"] == {**none, state: 3}
    assert some["staging_queue_oldest_seconds"] == {**none, state: 9.5}


def test_each_figure_is_of_what_it_is_named_after(known: Known) -> None:
    found = known.read()
    assert found["staging_database_up"] == {"database": 1}
    assert found["staging_store_free_bytes"] == {"spool": 7}
    assert found["staging_store_capacity_bytes"] == {"spool": 70}
    assert found["staging_store_bytes"] == {"used": 1, "doomed": 2, "reserved": 3, "kept": 11}
    assert "staging_store_quota_bytes" not in found
    known.quota_bytes = 900
    assert known.read()["staging_store_quota_bytes"] == {"quota": 900}
    assert found["staging_store_lost_contents"] == {"pool": 4}
    assert found["staging_release_validity_left"] == {"main": 0.5}


def test_what_does_not_answer_hides_nothing_of_the_other(known: Known) -> None:
    known.free = None
    assert "staging_store_free_bytes" not in known.read()
    assert known.read()["staging_database_up"] == {"database": 1}
    known.free, known.answers = 7, False
    assert known.read() == {
        "staging_store_free_bytes": {"spool": 7},
        "staging_store_capacity_bytes": {"spool": 70},
        "staging_database_up": {"database": 0},
    }


def test_the_expiry_of_the_key_is_read_whether_the_database_answers_or_not(
    known: Known, monkeypatch: pytest.MonkeyPatch
) -> None:
    name = "staging_signing_key_expires_timestamp_seconds"
    assert name not in known.read()
    monkeypatch.setattr(health, "expires_at", lambda _key: datetime.fromtimestamp(900, UTC))
    known.answers = False
    assert known.read()[name] == {"AAAA": 900.0}

    def fails(_key: object) -> None:
        raise SigningFailed("gpg: no such key")

    monkeypatch.setattr(health, "expires_at", fails)
    assert name not in known.read()
    assert known.read()["staging_database_up"] == {"database": 0}
