"""Bar of the store's space: its parts, and its total."""

from datetime import UTC, datetime
from types import SimpleNamespace
from typing import Any

import pytest

from staging_api.errors import Invalid
from staging_api.staging.reports import ContentUse
from staging_api.staging.repository.space_rows import StoreSpace
from staging_api.staging.store_report import StoreReport
from staging_api.ui.screens import store
from staging_api.ui.screens.store import _number, _parts
from staging_api.vocabulary.reports import Use

COUNTED_AT = datetime(2026, 11, 29, 10, 0, tzinfo=UTC)


def report(
    *uses: tuple[Use, int],
    used: int = 0,
    reserved: int = 0,
) -> StoreReport:
    empty = dict.fromkeys(StoreReport.__dataclass_fields__)
    given = {
        "space": StoreSpace(used, 0, reserved),
        "usage": [ContentUse(use, 1, count, 1, count, COUNTED_AT) for use, count in uses],
    }
    return StoreReport(**{**empty, **given})  # type: ignore[arg-type]


def shown(found: StoreReport, whole: int) -> list[tuple[str, int, float, float]]:
    return [(each.name, each.bytes, each.left, each.width) for each in _parts(found, whole)]


def test_parts_stand_beside_each_other_as_wide_as_their_share() -> None:
    found = report(("read_lately", 500), ("pinned", 250), used=750, reserved=50)
    assert shown(found, 1000) == [
        ("read_lately", 500, 0, 500),
        ("pinned", 250, 500, 250),
        ("reserved", 50, 750, 50),
    ]
    assert [each.label for each in _parts(found, 1000)] == [
        "used within a week",
        "pinned",
        "reserved",
    ]


def test_what_is_empty_has_no_part_and_what_is_small_can_be_seen() -> None:
    found = report(("read_lately", 1), ("pinned", 0), used=1)
    assert shown(found, 1_000_000) == [("read_lately", 1, 0, 1)]
    assert shown(report(), 0) == []
    assert shown(report(("idle", 1), used=1), 0) == [("idle", 1, 0, 1000)]


def test_shares_have_two_digits_behind_the_point() -> None:
    found = report(("read_lately", 1), ("pinned", 1), ("idle", 1), used=3)
    assert [each[2:] for each in shown(found, 3)] == [
        (0, 333.33),
        (333.33, 333.33),
        (666.67, 333.33),
    ]


def test_bytes_without_a_use_are_used_and_more_than_the_quota_fills_the_bar() -> None:
    assert shown(report(used=300, reserved=100), 200) == [
        ("used", 300, 0, 750),
        ("reserved", 100, 750, 250),
    ]


@pytest.mark.parametrize("text", ["999999999999", "-999999999999", "0.5"])
def test_a_number_of_a_form_is_read(text: str) -> None:
    assert _number("keep_gb", text) == float(text)


@pytest.mark.parametrize("text", ["many", "inf", "nan", "1e12", "-1e12"])
def test_what_is_no_such_number_is_refused_by_its_field(text: str) -> None:
    with pytest.raises(Invalid, match="must be a number") as refused:
        _number("keep_gb", text)
    assert [each.field for each in refused.value.errors] == ["keep_gb"]


@pytest.mark.parametrize(
    ("form", "wanted"),
    [
        ({}, (None, 0)),
        ({"idle_days": "", "keep_gb": ""}, (None, 0)),
        ({"idle_days": "2", "keep_gb": "1.5"}, (172_800, 1_500_000_000)),
        ({"idle_days": "0.5", "keep_gb": "0"}, (43_200, 0)),
    ],
)
def test_a_preview_is_of_days_and_gigabytes(
    form: dict[str, str], wanted: tuple[float | None, int], monkeypatch: pytest.MonkeyPatch
) -> None:
    asked: list[tuple[str, float | None, int]] = []

    def preview(caller: str, *, idle_seconds: float | None, keep_bytes: int) -> object:
        asked.append((caller, idle_seconds, keep_bytes))
        return SimpleNamespace(record=SimpleNamespace(id="one"))

    monkeypatch.setattr(store, "Pruning", lambda _: SimpleNamespace(preview=preview))
    stagings = SimpleNamespace(upkeep=None)
    deps: Any = SimpleNamespace(api=SimpleNamespace(stagings=stagings))
    view: Any = SimpleNamespace(origin=SimpleNamespace(caller="tester"))
    assert store._preview(deps, view, form).location == "/ui/store?prune=one"
    assert asked == [("tester", *wanted)]
