"""The long store chaos run: minutes over a folder and over a bucket, each with its own seed."""

import os
from collections.abc import Iterator
from pathlib import Path

import pytest

from staging_api.db.engine import Database, open_database
from tests.acceptance.test_store_chaos import proved
from tests.buckets import new_bucket, s3_server
from tests.faulty_bucket import faulty_bucket
from tests.source import ArchiveSource, archive_source
from tests.store_chaos import World

SECONDS = 120.0
RESTARTS = 10
#: Seeds; STAGING_TEST_CHAOS_SEEDS sets others, to search for further faults.
SEEDS = tuple(map(int, os.environ.get("STAGING_TEST_CHAOS_SEEDS", "2 3").split()))


@pytest.fixture
def rows(own_url: str) -> Iterator[Database]:
    pools = open_database(own_url, pool_size=4)
    yield pools
    pools.close()


@pytest.fixture
def source() -> Iterator[ArchiveSource]:
    with archive_source() as found:
        yield found


@pytest.mark.prove
@pytest.mark.timeout(900)
@pytest.mark.parametrize("seed", SEEDS)
def test_minutes_of_chaos_over_a_folder_heal(
    own_url: str, rows: Database, source: ArchiveSource, tmp_path: Path, seed: int
) -> None:
    url = f"file://{tmp_path}/store"
    proved(World(tmp_path, own_url, rows, source, url, url), SECONDS, seed, RESTARTS)


@pytest.mark.prove
@pytest.mark.timeout(900)
@pytest.mark.parametrize("seed", SEEDS)
def test_minutes_of_chaos_over_a_bucket_heal(
    own_url: str, rows: Database, source: ArchiveSource, tmp_path: Path, seed: int
) -> None:
    with s3_server() as endpoint, faulty_bucket(endpoint) as bucket:
        direct = new_bucket(endpoint)
        through = direct.replace(endpoint, bucket.endpoint)
        world = World(tmp_path, own_url, rows, source, through, direct, bucket)
        proved(world, SECONDS, seed, RESTARTS)
