"""Turns of the scrub: limited number and rate of contents, and a record of the good ones."""

import hashlib
import io
import threading
from contextlib import nullcontext
from types import SimpleNamespace
from typing import Any

import pytest
from prometheus_client import REGISTRY

from staging_api.errors import NotFound, StoreFailed
from staging_api.staging import scrub
from staging_api.staging.repository import check_rows
from staging_api.staging.scrub import Scrub, ScrubResult

RATE = 1 << 20


class Clock(threading.Event):
    """A clock, and an event whose wait lets the clock's time pass."""

    def __init__(self) -> None:
        super().__init__()
        self.now = 100.0
        self.waits: list[float] = []

    def monotonic(self) -> float:
        return self.now

    def wait(self, timeout: float | None = None) -> bool:
        assert timeout is not None
        self.waits.append(timeout)
        self.now += max(timeout, 0.0)
        return False


class Bed:
    """Store of contents by name, some of which are damaged, lost or unreadable."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch, contents: dict[str, Any]) -> None:
        self.digests = {
            name: hashlib.sha256(content).hexdigest() if isinstance(content, bytes) else name
            for name, content in contents.items()
        }
        self._contents = {self.digests[name]: content for name, content in contents.items()}
        self.noted: list[str] = []
        self.asked: list[tuple[Any, ...]] = []
        self.evicted: list[str] = []
        self.staged: list[str] = []
        self.clock = Clock()
        monkeypatch.setattr(scrub, "time", self.clock)
        monkeypatch.setattr(check_rows, "claim_scrub", lambda _conn, shards: shards[-1])
        monkeypatch.setattr(check_rows, "longest_unchecked", self._longest_unchecked)
        monkeypatch.setattr(check_rows, "note_scrubbed", lambda _c, good: self.noted.extend(good))
        monkeypatch.setattr(scrub, "evict_holders", self._evict)

    def scrub(self, rate: int = RATE) -> Scrub:
        terms = SimpleNamespace(scrub_bytes_per_second=rate, scrub_pause_seconds=9.0)
        database = SimpleNamespace(connect=nullcontext)
        upkeep: Any = SimpleNamespace(terms=terms, database=database, blobs=self)
        return Scrub(upkeep, lambda each: self.staged.append(each.name), self.clock)

    def open(self, sha256: str) -> Any:
        content = self._contents[sha256]
        if isinstance(content, Exception):
            raise content
        return io.BytesIO(content.replace(b"good", b"bad "))

    def quarantine(self, sha256: str, differs: Any) -> bool:
        content = self._contents[sha256]
        return bool(differs(io.BytesIO(content.replace(b"good", b"bad"))))

    def _longest_unchecked(self, _conn: object, *asked: Any) -> list[tuple[str, int, int]]:
        self.asked.append(asked)
        return [(digest, 1, 2) for digest in self.digests.values()]

    def _evict(self, _upkeep: object, sha256: str, reason: str) -> list[Any]:
        self.evicted.append(f"{sha256} {reason}")
        return [SimpleNamespace(name="a"), SimpleNamespace(name="b")]


def scrubbed_bytes() -> float:
    return REGISTRY.get_sample_value("staging_store_scrubbed_bytes_total") or 0.0


def test_what_is_good_is_noted_and_what_is_corrupt_is_staged_again(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    contents = {
        "whole": b"x" * 10,
        "away": StoreFailed("away"),
        "corrupt": b"good",
        "unreadable": OSError(5, "sector"),
        "gone": NotFound("gone"),
        "also whole": b"y" * 10,
    }
    bed = Bed(monkeypatch, contents)
    found = bed.scrub().turn()
    good, corrupt = [bed.digests["whole"], bed.digests["also whole"]], bed.digests["corrupt"]
    assert found == ScrubResult(2, (corrupt,), 2)
    assert bed.noted == good
    assert (bed.evicted, bed.staged) == ([f"{corrupt} corrupt"], ["a", "b"])
    assert bed.asked == [("ff", 9.0, 200, None)]


def test_a_content_waits_for_its_bytes_and_a_small_one_for_16_kibibytes(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    bed, before = Bed(monkeypatch, {"small": b"s", "large": b"l" * (3 << 20)}), scrubbed_bytes()
    bed.scrub().turn("00")
    small = [1 / RATE, ((16 << 10) - 1) / RATE]
    assert bed.clock.waits == pytest.approx([*small, *[0.25] * 12], rel=1e-4)
    assert scrubbed_bytes() - before == 1 + (3 << 20)
    assert bed.asked[0][0] == "00"


def test_a_content_that_is_whole_when_it_is_read_again_is_good(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    bed = Bed(monkeypatch, {"misread": b"good"})
    monkeypatch.setattr(bed, "quarantine", lambda *_: False)
    assert bed.scrub().turn() == ScrubResult(1)
    assert (bed.noted, bed.evicted, bed.staged) == ([bed.digests["misread"]], [], [])


def test_without_a_rate_nothing_waits(monkeypatch: pytest.MonkeyPatch) -> None:
    bed = Bed(monkeypatch, {"small": b"s"})
    assert bed.scrub(rate=0).turn() == ScrubResult(1)
    assert bed.clock.waits == []


def test_a_turn_ends_between_two_contents(monkeypatch: pytest.MonkeyPatch) -> None:
    bed = Bed(monkeypatch, {"one": b"1", "two": b"2"})
    bed.clock.set()
    assert bed.scrub().turn() == ScrubResult()
    assert bed.noted == []
