"""Reservation of space in steps, so that few chunks need a statement."""

from types import SimpleNamespace
from typing import Any

import pytest

from staging_api.errors import NoSpace, Unavailable
from staging_api.staging import reservations
from staging_api.staging.quota import Quota
from staging_api.staging.reservations import QuotaReservation, UploadReservation

STEP = 64 << 20


class Space:
    """Grants each reservation, and more in advance if available; records the requested sizes."""

    def __init__(self, *, has_more: bool = True) -> None:
        self.asked: list[int] = []
        self.more: list[int] = []
        self.has_more = has_more
        self.made = QuotaReservation(self.asked.append, self._more)

    def _more(self, count: int) -> bool:
        self.more.append(count)
        return self.has_more


def test_the_first_bytes_are_reserved_alone_and_then_64_mebibytes_in_advance() -> None:
    space = Space()
    space.made(10)
    assert (space.asked, space.more) == ([10], [])
    space.made(1)
    assert (space.asked, space.more) == ([10], [11 + STEP])
    space.made(STEP)
    assert len(space.more) == 1
    space.made(1)
    assert (space.asked, space.more) == ([10], [11 + STEP, 12 + 2 * STEP])


def test_without_space_in_advance_each_chunk_is_reserved() -> None:
    space = Space(has_more=False)
    for _ in range(3):
        space.made(10)
    assert (space.asked, space.more) == ([10, 20, 30], [20 + STEP, 30 + STEP])


def test_nothing_is_reserved_for_nothing() -> None:
    space = Space()
    space.made(0)
    assert (space.asked, space.more) == ([], [])


def test_what_was_reserved_before_is_used_first_and_renewed_as_a_whole() -> None:
    space = Space(has_more=False)
    space.made.prepay(100)
    space.made(60)
    space.made.renew()
    assert space.asked == [100, 100]
    space.made(41)
    space.made.renew()
    assert space.asked == [100, 100, 101, 101]


def test_a_refused_chunk_is_counted_as_needed_and_not_as_reserved() -> None:
    def refuse(_count: int) -> None:
        raise NoSpace("full")

    made = QuotaReservation(refuse, lambda _count: False)
    for _ in range(2):
        with pytest.raises(NoSpace):
            made(10)
    assert (made._needed, made._kept) == (20, 0)


class Uploads:
    """The quota as used by uploads, with a clock that the test sets."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self.now = 100.0
        self.asked: list[tuple[str, int]] = []
        self.released: list[str] = []
        self.error: Exception | None = None
        monkeypatch.setattr(reservations, "time", SimpleNamespace(monotonic=lambda: self.now))
        monkeypatch.setattr(Quota, "reserve_upload", lambda _, *given: self.asked.append(given))
        monkeypatch.setattr(Quota, "reserve_more_for_upload", lambda *_: False)
        monkeypatch.setattr(Quota, "release_upload", self._release)

    def _release(self, upload_id: str) -> None:
        self.released.append(upload_id)
        if self.error:
            raise self.error


def upload(expected: int) -> UploadReservation:
    nothing: Any = None
    return UploadReservation(nothing, expected)


def test_an_upload_is_renewed_each_five_minutes(monkeypatch: pytest.MonkeyPatch) -> None:
    uploads = Uploads(monkeypatch)
    with upload(100) as one:
        for now, renewals in ((399.5, 0), (400.0, 1), (699.5, 1), (700.5, 2), (1000.0, 2)):
            uploads.now = now
            one(1)
            assert [count for _, count in uploads.asked] == [100] * (1 + renewals)
        uploads.now = 1000.5
        one(1)
        assert len(uploads.asked) == 4


def test_more_than_was_announced_is_reserved_as_it_comes(monkeypatch: pytest.MonkeyPatch) -> None:
    uploads = Uploads(monkeypatch)
    with upload(10) as one:
        one(10)
        one(1)
    assert [count for _, count in uploads.asked] == [10, 11]


def test_each_upload_is_released_by_itself_also_if_it_failed(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    uploads = Uploads(monkeypatch)
    uploads.error = Unavailable("away")
    with upload(1), pytest.raises(ValueError, match="broken"), upload(2):
        raise ValueError("broken")
    (first, one), (second, two) = uploads.asked
    assert (one, two) == (1, 2)
    assert uploads.released == [second, first]
    assert first != second
