"""Promises of an APT archive after two thousand longer series of events.

For more series, run ``python -m pytest -m prove tests/prove/test_series_long.py``; a failure
prints its seed and events, and `tests.apt_archive_series.live` repeats them.
"""

from pathlib import Path

import pytest

from staging_api.db.engine import Database
from tests.apt_archive_series import live
from tests.apt_archive_series.life import keys_in
from tests.publisher import shop

FIRST, SEEDS, TOGETHER = 100_000, 1_000, 50


@pytest.mark.prove
@pytest.mark.timeout(7200)
@pytest.mark.parametrize("first", range(FIRST, FIRST + SEEDS, TOGETHER))
def test_the_promises_hold_after_any_long_series_of_events(
    database: Database, database_url: str, tmp_path: Path, first: int
) -> None:
    keys = keys_in(tmp_path / "keys")
    with shop(database, database_url, tmp_path) as made:
        for seed in range(first, first + TOGETHER):
            events: list[str] = []
            try:
                events.extend(live(made, seed, keys, steps=60 if seed % 10 == 0 else 24))
            except BaseException as error:
                error.add_note("\n".join([f"seed {seed}", *events]))
                raise
