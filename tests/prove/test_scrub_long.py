"""A scrub over 100,000 contents: it finds every flipped bit, and reports no intact content."""

import random
from pathlib import Path

import pytest

from staging_api.db.engine import Database
from staging_api.staging.reconcile import SHARDS
from staging_api.staging.scrub import Scrub
from staging_api.staging.upkeep import StoreTerms
from tests import damage
from tests.stagings import bench

COUNT, FLIPPED = 100_000, 100


@pytest.mark.prove
@pytest.mark.timeout(900)
def test_a_hundred_flipped_bits_among_a_hundred_thousand_contents_are_found(
    database: Database, database_url: str, tmp_path: Path
) -> None:
    terms = StoreTerms(scrub_bytes_per_second=1 << 40, scrub_pause_seconds=-3600)
    with bench(database, database_url, tmp_path, store=terms) as at:
        with at.service.blobs.batch("test") as batch:
            digests = [batch.keep([b"content %d " % n * 10]).sha256 for n in range(COUNT)]
            batch.commit()
        with at.database.begin() as conn:
            conn.exec_driver_sql(
                "INSERT INTO blobs (sha256, size_bytes) SELECT unnest(%s::text[]), 0", (digests,)
            )
        chosen = set(random.Random(1).sample(digests, FLIPPED))
        for digest in chosen:
            damage.change(f"file://{at.store}", digest, damage.flipped)
        scrub = Scrub(at.service.upkeep, lambda _artifact: None)
        found: set[str] = set()
        # A part has about 390 contents, of which a scrub turn reads 200.
        for _ in range(4):
            for shard in SHARDS:
                turn = scrub.turn(shard)
                assert turn.failed == 0
                found |= set(turn.corrupt)
        [(unchecked,)] = at.rows("SELECT count(*) FROM blobs WHERE checked_at IS NULL")
    assert (found, unchecked) == (chosen, FLIPPED)
