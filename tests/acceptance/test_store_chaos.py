"""A short store chaos run over a folder; `make prove` runs it over a bucket, and longer."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from staging_api.db.engine import Database, open_database
from tests.buckets import new_bucket, s3_server
from tests.faulty_bucket import faulty_bucket
from tests.source import ArchiveSource
from tests.store_chaos import Chaos, World, settle

SECONDS = 1.0


@pytest.fixture
def rows(own_url: str) -> Iterator[Database]:
    pools = open_database(own_url, pool_size=4)
    yield pools
    pools.close()


def proved(world: World, seconds: float, seed: int = 1, restarts: int = 1) -> None:
    """Run chaos with `restarts` restarts and let it settle; fail with all faults found."""
    chaos = Chaos(world, seed)
    served = "read 200" if world.bucket is None else "link 200"
    needed = {"damages": 1, "restarts": restarts, "staging 201": 1, served: 1}
    try:
        chaos.run(seconds, until=needed)
    finally:
        chaos.close()
    settle(chaos)
    assert chaos.wrong == [], chaos.seen
    assert chaos.has_seen(needed), chaos.seen


@pytest.mark.timeout(600)
def test_nothing_bad_is_served_from_a_folder_and_all_of_it_heals(
    own_url: str, rows: Database, source: ArchiveSource, tmp_path: Path
) -> None:
    url = f"file://{tmp_path}/store"
    proved(World(tmp_path, own_url, rows, source, url, url), SECONDS)


@pytest.mark.prove
@pytest.mark.timeout(600)
def test_nothing_bad_is_served_from_a_bucket_and_all_of_it_heals(
    own_url: str, rows: Database, source: ArchiveSource, tmp_path: Path
) -> None:
    with s3_server() as endpoint, faulty_bucket(endpoint) as bucket:
        direct = new_bucket(endpoint)
        through = direct.replace(endpoint, bucket.endpoint)
        proved(World(tmp_path, own_url, rows, source, through, direct, bucket), SECONDS)
