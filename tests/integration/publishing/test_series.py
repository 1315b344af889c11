"""Promises of the publisher under random series of events: 40 short ones (`make prove`: long)."""

from pathlib import Path

import pytest

from staging_api.db.engine import Database
from tests.apt_archive_series import live
from tests.apt_archive_series.life import keys_in
from tests.publisher import shop

#: Each seed gives two series, of two archives; together they have each kind of event repeatedly.
SEEDS = 20
#: Seeds of one test, which share a database, as archives of a service do.
TOGETHER = 10
STEPS = 12

pytestmark = pytest.mark.timeout(600)


@pytest.mark.parametrize("first", range(0, SEEDS, TOGETHER))
def test_the_promises_hold_after_any_series_of_events(
    database: Database, database_url: str, tmp_path: Path, first: int
) -> None:
    keys = keys_in(tmp_path / "keys")
    with shop(database, database_url, tmp_path) as made:
        for seed in range(first, first + TOGETHER):
            events: list[str] = []
            try:
                events.extend(live(made, seed, keys, STEPS))
            except BaseException as error:
                error.add_note("\n".join([f"seed {seed}", *events]))
                raise
