"""Terms of a service: values from settings, and guarantees that no setting changes."""

from contextlib import closing

import pytest

from staging_api.formats.model import UnpackLimits
from staging_api.identity.authenticators import _calls
from staging_api.processes.bootstrap import _limits, build
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


@pytest.mark.parametrize(
    ("threads", "may_wait"), [(2, 1), (7, 1), (8, 2), (64, 16), (68, 16), (400, 16)]
)
def test_a_quarter_of_the_threads_may_wait_for_an_identity_provider_and_sixteen_at_most(
    threads: int, may_wait: int
) -> None:
    assert _calls(Settings.from_env(threads=threads)).waiters == may_wait


@pytest.mark.parametrize(
    ("threads", "long_requests", "may_stage"), [(2, 0, 1), (9, 0, 4), (9, 3, 3)]
)
def test_half_of_the_threads_may_stage_unless_another_number_is_set(
    threads: int, long_requests: int, may_stage: int
) -> None:
    settings = Settings.from_env(
        database_url="postgresql+psycopg2://nowhere/none",
        threads=threads,
        long_requests=long_requests,
    )
    with closing(build(settings)) as services:
        assert services.stagings.slots._free == may_stage
