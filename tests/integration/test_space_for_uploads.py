"""Space reserved for an upload: counted once, renewed as bytes arrive, released at its end."""

import time
from collections.abc import Iterator
from pathlib import Path
from types import SimpleNamespace

import pytest

from staging_api.db.engine import Database
from staging_api.errors import NoSpace
from staging_api.staging import reservations
from staging_api.staging.quota import UPLOAD_SECONDS, Quota
from staging_api.staging.reservations import UploadReservation
from staging_api.staging.upkeep import StoreTerms, Upkeep
from tests.stagings import Bench, bench

KB = 1000
_SECONDS_LEFT = """SELECT CAST(extract(epoch FROM expires_at - clock_timestamp()) AS int)
    FROM upload_reservations ORDER BY bytes"""


@pytest.fixture
def at(database: Database, database_url: str, tmp_path: Path) -> Iterator[Bench]:
    terms = StoreTerms(10 * KB, idle_seconds=0, noted_seconds=0, busy_seconds=0)
    with bench(database, database_url, tmp_path, store=terms) as made:
        yield made


@pytest.fixture
def upkeep(at: Bench) -> Upkeep:
    return at.service.upkeep


def runs_out_in(at: Bench, seconds: int, bytes_kept: int) -> None:
    at.tamper(
        "UPDATE upload_reservations"
        " SET expires_at = clock_timestamp() + make_interval(secs => :seconds) WHERE bytes = :kept",
        seconds=seconds,
        kept=bytes_kept,
    )


def reserved(upkeep: Upkeep) -> int:
    return upkeep.space().reserved


def test_an_upload_that_asks_again_is_counted_once(upkeep: Upkeep) -> None:
    Quota(upkeep).reserve_upload("one", 4 * KB)
    Quota(upkeep).reserve_upload("one", 6 * KB)
    Quota(upkeep).reserve_upload("other", 4 * KB)
    assert reserved(upkeep) == 10 * KB
    with pytest.raises(NoSpace):
        Quota(upkeep).reserve_upload("third", 1)


def test_what_a_dead_process_kept_for_an_upload_is_free_when_its_time_is_over(
    at: Bench, upkeep: Upkeep
) -> None:
    Quota(upkeep).reserve_upload("dead", 7 * KB)
    Quota(upkeep).reserve_upload("alive", 2 * KB)
    with pytest.raises(NoSpace):
        Quota(upkeep).reserve_upload("new", 6 * KB)
    runs_out_in(at, -1, 7 * KB)
    assert reserved(upkeep) == 2 * KB
    # For an upload and for an artifact alike.
    at.stage(at.build("R17-1", payload_bin=b"x" * 2 * KB), "payload")
    Quota(upkeep).reserve_upload("new", 6 * KB)
    assert reserved(upkeep) == 8 * KB


def test_an_upload_that_takes_long_keeps_its_space(
    at: Bench, upkeep: Upkeep, monkeypatch: pytest.MonkeyPatch
) -> None:
    now = [time.monotonic()]
    monkeypatch.setattr(reservations, "time", SimpleNamespace(monotonic=lambda: now[0]))
    with UploadReservation(upkeep, 4 * KB) as reservation, UploadReservation(upkeep, 3 * KB):
        runs_out_in(at, 10, 3 * KB)
        for _ in range(3):
            runs_out_in(at, 10, 4 * KB)
            reservation(1)
            assert [left for (left,) in at.rows(_SECONDS_LEFT)] == pytest.approx([10, 10], abs=8)
            now[0] += UPLOAD_SECONDS / 2
            reservation(1)
            _, renewed = (left for (left,) in at.rows(_SECONDS_LEFT))
            assert renewed > UPLOAD_SECONDS - 60
    assert (reserved(upkeep), at.rows(_SECONDS_LEFT)) == (0, [])


def test_space_for_an_upload_is_renewed_each_time_a_third_of_its_time_is_over(
    at: Bench, upkeep: Upkeep, monkeypatch: pytest.MonkeyPatch
) -> None:
    now = [1000.0]
    monkeypatch.setattr(reservations, "time", SimpleNamespace(monotonic=lambda: now[0]))
    with UploadReservation(upkeep, 4 * KB) as reservation, UploadReservation(upkeep, 3 * KB):
        runs_out_in(at, 10, 3 * KB)
        for _ in range(2):
            for seconds, renewed in ((UPLOAD_SECONDS / 3 - 1, False), (1, True)):
                runs_out_in(at, 10, 4 * KB)
                now[0] += seconds
                reservation(1)
                assert [left > 10 for (left,) in at.rows(_SECONDS_LEFT)] == [False, renewed]


def test_an_upload_longer_than_announced_is_refused_and_leaves_the_reservations_of_others(
    at: Bench, upkeep: Upkeep
) -> None:
    with UploadReservation(upkeep, 5 * KB):
        with UploadReservation(upkeep, 2 * KB) as reservation:
            reservation(2 * KB)
            reservation(3 * KB)
            assert reserved(upkeep) == 10 * KB
            with pytest.raises(NoSpace):
                reservation(1)
        assert reserved(upkeep) == 5 * KB
    assert at.rows(_SECONDS_LEFT) == []


def test_an_upload_that_fails_gives_its_space_back(upkeep: Upkeep) -> None:
    Quota(upkeep).reserve_upload("other", 4 * KB)
    with pytest.raises(ZeroDivisionError), UploadReservation(upkeep, 6 * KB):
        raise ZeroDivisionError
    assert reserved(upkeep) == 4 * KB


def test_an_upload_has_its_space_before_it_brings_a_byte(upkeep: Upkeep) -> None:
    with (
        UploadReservation(upkeep, 6 * KB),
        pytest.raises(NoSpace),
        UploadReservation(upkeep, 5 * KB),
    ):
        raise AssertionError("there is no space for both")
    assert reserved(upkeep) == 0
