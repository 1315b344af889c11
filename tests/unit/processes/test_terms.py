"""The terms of a service: what its settings say, and promises that no setting changes."""

import pytest

from staging_api.formats.model import UnpackLimits
from staging_api.processes.bootstrap import _limits
from staging_api.settings import Settings
from staging_api.staging.counts import KEPT, MINUTES_KEPT
from staging_api.staging.download import DownloadSpread
from staging_api.staging.packs import Packs
from staging_api.staging.upkeep import StoreTerms
from staging_api.staging.uploads import UploadTerms

HOUR, DAY = 3600.0, 86400.0


@pytest.fixture
def settings() -> Settings:
    return Settings()


def test_without_settings_the_terms_are_those_of_the_settings(settings: Settings) -> None:
    assert UnpackLimits() == _limits(settings)
    assert Packs() == Packs(settings.packs, settings.pack_file_bytes)
    assert DownloadSpread() == DownloadSpread(settings.sources_connections)
    assert StoreTerms() == StoreTerms(
        settings.quota_bytes, scrub_bytes_per_second=settings.scrub_bytes_per_second
    )
    terms = UploadTerms()
    assert terms.wait_seconds == settings.upload_wait_seconds
    assert terms.poll_seconds == settings.upload_poll_seconds


def test_the_store_keeps_its_promises_of_time() -> None:
    terms = StoreTerms()
    assert terms.evictable_seconds == 360
    assert (terms.grace_seconds, terms.busy_seconds) == (DAY, 60)
    assert (terms.check_seconds, terms.scrub_pause_seconds) == (6 * HOUR, 6 * HOUR)


def test_counts_are_kept_for_35_days_and_by_the_minute_for_two() -> None:
    assert (KEPT.total_seconds(), MINUTES_KEPT.total_seconds()) == (35 * DAY, 2 * DAY)


def test_the_first_gibibyte_is_no_bomb() -> None:
    assert UnpackLimits().ratio_floor_bytes == 1 << 30
