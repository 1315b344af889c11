"""Comparison of one part of the store with its rows: lost, unnamed and noted contents."""

from contextlib import nullcontext
from types import SimpleNamespace
from typing import Any

import pytest

from staging_api.errors import StoreFailed, WrongStore
from staging_api.staging import reconcile
from staging_api.staging.reconcile import SHARDS, CheckResult, check, check_next
from tests.statements import patch_statement

NOW, GRACE = 1000.0, 100.0


class Part:
    """Part with rows (length by digest) and files (length and last use by digest)."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self.rows: dict[str, int] = {}
        self.files: dict[str, tuple[int, float]] = {}
        self.known: set[str] = set()
        self.noted: set[str] = set()
        self.kept: set[str] = set()
        self.broken: set[str] = set()
        self.due: str | None = "ab"
        self.done: list[Any] = []
        monkeypatch.setattr(reconcile, "lose", self._lose)
        for name, does in {
            "claim_shard": lambda _c, shards, seconds: (
                self.due if (shards, seconds) == (SHARDS, 7.0) else None
            ),
            "blobs_of": lambda _c, shard: self.done.append(f"rows {shard}") or self.rows,
            "lost_of": lambda _c, _shard: self.noted,
            "known_blobs": lambda _c, digests: self.known & set(digests),
            "note_there": lambda _c, there: self.done.append(("there", there)),
            "adopt_orphans": lambda _c, orphans: self.done.append(("adopt", orphans)),
            "unnamed_of": lambda _c, shard, grace: [f"unnamed {shard} {grace:.0f}"],
            "mark_unnamed_for_deletion": lambda _c, found: self.done.append(("mark", found)),
            "note_check": lambda _c, shard, **found: self.done.append((shard, found)),
        }.items():
            patch_statement(monkeypatch, name, does)
        self.upkeep: Any = SimpleNamespace(
            identity=SimpleNamespace(check=lambda: self.done.append("identity")),
            database=SimpleNamespace(connect=nullcontext, begin=nullcontext),
            terms=SimpleNamespace(check_seconds=7.0, grace_seconds=GRACE),
            blobs=SimpleNamespace(shard=self._shard),
            known_time=lambda: NOW,
        )

    def _shard(self, shard: str) -> list[tuple[Any, float]]:
        self.done.append(f"files {shard}")
        return [
            (SimpleNamespace(sha256=digest, size_bytes=size), used)
            for digest, (size, used) in self.files.items()
        ]

    def _lose(self, _upkeep: object, digest: str, size: int) -> bool:
        self.done.append(("lose", digest, size))
        if digest in self.broken:
            raise StoreFailed("away")
        return digest not in self.kept


@pytest.fixture
def part(monkeypatch: pytest.MonkeyPatch) -> Part:
    return Part(monkeypatch)


def test_the_parts_are_the_first_two_digits() -> None:
    assert (len(set(SHARDS)), SHARDS[0], SHARDS[10], SHARDS[-1]) == (256, "00", "0a", "ff")
    assert {len(shard) for shard in SHARDS} == {2}


def test_the_part_whose_turn_it_is_is_compared(part: Part) -> None:
    found = check_next(part.upkeep)
    assert found is not None
    assert found.shard == "ab"
    part.due = None
    part.done.clear()
    assert check_next(part.upkeep) is None
    assert part.done == []


def test_rows_are_read_before_files_of_the_right_store(part: Part) -> None:
    check(part.upkeep, "ab")
    assert part.done[:3] == ["identity", "rows ab", "files ab"]


def test_a_part_of_another_store_is_not_compared(part: Part) -> None:
    def refuse() -> None:
        raise WrongStore("another")

    part.upkeep.identity.check = refuse
    with pytest.raises(WrongStore):
        check(part.upkeep, "ab")
    assert part.done == []


def test_what_is_missing_or_has_another_length_is_lost(part: Part) -> None:
    part.rows = {"whole": 5, "gone": 6, "short": 7, "brought back": 8, "stuck": 9, "stuck too": 9}
    part.files = {"whole": (5, NOW), "short": (3, NOW)}
    part.kept, part.broken = {"brought back"}, {"stuck", "stuck too"}
    found = check(part.upkeep, "ab")
    assert found == CheckResult("ab", 2, 8, ("gone", "short"), (), failed=2)
    lost = [each[1:] for each in part.done if each[0] == "lose"]
    assert lost == [("gone", 6), ("short", 7), ("brought back", 8), ("stuck", 9), ("stuck too", 9)]


def test_what_was_lost_and_is_there_again_is_noted(part: Part) -> None:
    part.rows = {"back": 5, "still gone": 6, "whole": 7}
    part.files = {"back": (5, NOW), "whole": (7, NOW), "no row": (1, NOW)}
    part.noted = {"back", "still gone", "no row"}
    check(part.upkeep, "ab")
    assert ("there", {"back"}) in part.done


def test_an_old_file_without_a_row_is_adopted_and_goes(part: Part) -> None:
    old = NOW - GRACE
    part.files = {"old": (5, old - 1), "just": (6, old), "young": (7, NOW), "known": (8, old - 1)}
    part.known = {"known"}
    found = check(part.upkeep, "ab")
    assert found == CheckResult("ab", 4, 26, (), ("old",), failed=0)
    assert part.done[-3:] == [
        ("adopt", {"old": 5}),
        ("mark", ["unnamed ab 100"]),
        ("ab", {"files": 4, "size_bytes": 26, "lost": 0, "orphans": 1}),
    ]
