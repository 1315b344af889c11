"""Records of stagings: details of one, default filters of lists, and counting of uses."""

from contextlib import nullcontext
from datetime import timedelta
from types import SimpleNamespace
from typing import Any

import pytest
from ulid import ULID

from staging_api.locks.model import new_id
from staging_api.staging import record
from staging_api.staging.lists import ArtifactFilter, StagingFilter
from staging_api.staging.record import StagingRecords
from staging_api.staging.store_report import count_usage
from tests.statements import patch_statement

DATABASE: Any = SimpleNamespace(connect=nullcontext, begin=nullcontext)


def test_a_record_begins_with_the_first_event(monkeypatch: pytest.MonkeyPatch) -> None:
    asked: list[tuple[Any, ...]] = []
    patch_statement(monkeypatch, "events_of", lambda _c, *given: asked.append(given) or ["event"])
    found: Any = StagingRecords(DATABASE).events("s", limit=7)
    assert (found.items, found.next) == (["event"], None)
    assert asked == [("s", 0, 8)]


def test_the_chain_of_one_staging_is_checked_in_the_millisecond_of_its_id(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    one, other = new_id(), new_id()
    breaks = [SimpleNamespace(staging_id=each) for each in (one, other, one)]
    asked: list[tuple[Any, ...]] = []

    def verify(*given: Any) -> Any:
        asked.append(given)
        return SimpleNamespace(breaks=breaks)

    monkeypatch.setattr(record, "verify", verify)
    found: Any = StagingRecords(DATABASE).breaks(one)
    assert found == [breaks[0], breaks[2]]
    made = ULID.from_str(one).datetime
    assert asked == [(DATABASE, made, made + timedelta(milliseconds=1))]


def test_a_list_without_a_filter_leaves_nothing_out() -> None:
    assert (StagingFilter().unfinished, ArtifactFilter().pinned) == (False, False)


def test_use_of_the_store_is_counted_each_half_hour(monkeypatch: pytest.MonkeyPatch) -> None:
    asked: list[float] = []
    patch_statement(monkeypatch, "count_usage", lambda _c, seconds: asked.append(seconds))
    upkeep: Any = SimpleNamespace(database=DATABASE)
    count_usage(upkeep)
    assert asked == [1800.0]
