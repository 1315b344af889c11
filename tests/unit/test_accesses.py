"""Read counts: collected in memory, written at intervals and at the end."""

import threading
from collections.abc import Mapping
from contextlib import AbstractContextManager, nullcontext
from typing import Any

import pytest

from staging_api.background import BackgroundThread
from staging_api.errors import ConnectionLost, Unavailable
from staging_api.staging.accesses import Accesses
from staging_api.staging.repository import access_rows
from tests.service import eventually

Counts = Mapping[tuple[str, str], tuple[int, int]]
NEVER = 3600.0


class Rows:
    """Database that keeps written rows, and can be unavailable."""

    def __init__(self) -> None:
        self.written: list[Counts] = []
        self.is_away = False
        self.is_broken = False
        self.asked = 0

    def begin(self) -> AbstractContextManager["Rows"]:
        self.asked += 1
        if self.is_broken:
            raise ZeroDivisionError("not an error of ours")
        if self.is_away:
            raise ConnectionLost("away")
        return nullcontext(self)


@pytest.fixture
def rows(monkeypatch: pytest.MonkeyPatch) -> Rows:
    monkeypatch.setattr(
        access_rows, "note_accesses", lambda conn, counted: conn.written.append(counted)
    )
    return Rows()


def counting(rows: Any) -> Accesses:
    return Accesses(rows, NEVER)


def test_the_rest_is_written_at_the_end_each_artifact_and_caller_once(rows: Rows) -> None:
    counted = counting(rows)
    counted.note("a1", "me", 10)
    counted.note("a1", "me", 5)
    counted.note("a1", "you", 1)
    counted.note("a2", "me", 2)
    assert rows.written == []
    counted.close()
    assert rows.written == [{("a1", "me"): (2, 15), ("a1", "you"): (1, 1), ("a2", "me"): (1, 2)}]


def test_where_nothing_was_read_nothing_is_written(rows: Rows) -> None:
    counted = counting(rows)
    counted.flush()
    counted.close()
    assert rows.written == []


def test_what_cannot_be_written_is_kept_and_added_to(rows: Rows) -> None:
    counted = counting(rows)
    counted.note("a1", "me", 10)
    counted.note("a2", "me", 20)
    rows.is_away = True
    counted.flush()
    counted.note("a1", "me", 3)
    rows.is_away = False
    counted.close()
    assert rows.written == [{("a1", "me"): (2, 13), ("a2", "me"): (1, 20)}]


def test_a_read_is_answered_though_no_thread_can_start(
    rows: Rows, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse(_thread: object) -> None:
        raise Unavailable("no thread")

    monkeypatch.setattr(BackgroundThread, "ensure", refuse)
    counted = counting(rows)
    counted.note("a1", "me", 1)
    counted.flush()
    assert rows.written == [{("a1", "me"): (1, 1)}]


def test_reads_are_written_once_in_a_while_whatever_happened_before(rows: Rows) -> None:
    counted = Accesses(rows, 0.01)  # type: ignore[arg-type]
    rows.is_broken = True
    counted.note("a1", "me", 1)
    eventually(lambda: rows.asked > 0, "nothing was written")
    rows.is_broken = False
    counted.note("a2", "you", 2)
    eventually(lambda: len(rows.written) > 0, "it was not tried again")
    assert rows.written == [{("a2", "you"): (1, 2)}]
    counted.close()
    assert len(rows.written) == 1


def test_what_is_being_written_is_written_before_the_end(
    rows: Rows, monkeypatch: pytest.MonkeyPatch
) -> None:
    began = threading.Event()

    def write_slowly(_conn: Rows, counted: Counts) -> None:
        began.set()
        threading.Event().wait(0.3)
        rows.written.append(counted)

    monkeypatch.setattr(access_rows, "note_accesses", write_slowly)
    counted = Accesses(rows, 0.01)  # type: ignore[arg-type]
    counted.note("a1", "me", 1)
    assert began.wait(30)
    counted.close()
    assert rows.written == [{("a1", "me"): (1, 1)}]


def test_a_check_tells_whether_the_thread_runs(rows: Rows, monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(_thread: object) -> None:
        raise Unavailable("no thread")

    counted = counting(rows)
    counted.check()
    monkeypatch.setattr(BackgroundThread, "check", refuse)
    with pytest.raises(Unavailable):
        counted.check()
