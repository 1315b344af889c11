"""Upkeep of a store in a bucket: the same steps as for a folder."""

from collections.abc import Iterator
from datetime import UTC, datetime, timedelta

import pytest

from staging_api.errors import NoSpace
from staging_api.staging.eviction import prune
from staging_api.staging.reconcile import check
from staging_api.staging.resuming import resume
from staging_api.staging.upkeep import StoreTerms
from staging_api.store.blob_store import BlobStore
from staging_api.store.opening import open_store
from tests.buckets import new_bucket, s3_server
from tests.factories import ORIGIN
from tests.stagings import Bench, bench
from tests.stores import blobs_of

#: The clock of a bucket has whole seconds.
TERMS = StoreTerms(idle_seconds=0, noted_seconds=0, grace_seconds=-2, busy_seconds=-2)


@pytest.fixture(scope="module")
def endpoint() -> Iterator[str]:
    with s3_server() as found:
        yield found


@pytest.fixture
def blobs(endpoint, tmp_path) -> BlobStore:
    return open_store(new_bucket(endpoint), tmp_path / "home")


@pytest.fixture
def at(database, database_url, tmp_path, blobs) -> Iterator[Bench]:
    with bench(database, database_url, tmp_path, blobs=blobs, store=TERMS) as made:
        yield made


def test_prune_removes_blobs_and_spares_pinned_artifacts(at, blobs):
    first, second = (at.stage(at.build(name), "payload", "symbols") for name in ("a", "b"))
    for artifact in second.artifacts:
        at.service.artifacts.pin(artifact.id, datetime.now(UTC) + timedelta(hours=1), ORIGIN)
    pruned = prune(at.service.upkeep, keep_bytes=0)
    assert {each.id for each in pruned.artifacts} == {each.id for each in first.artifacts}
    assert pruned.freed_bytes > 0
    kept = {sha256 for (sha256,) in at.rows("SELECT sha256 FROM staged_files")}
    assert {blob.sha256 for blob, _ in blobs_of(blobs)} == kept


def test_the_quota_holds(database, database_url, tmp_path, blobs):
    with bench(
        database, database_url, tmp_path, blobs=blobs, store=StoreTerms(quota_bytes=10)
    ) as at:
        with pytest.raises(NoSpace):
            at.stage(at.build(payload_bin=b"more than ten bytes"), "payload")
    assert blobs_of(blobs) == []


def test_what_a_bucket_has_lost_is_staged_again(at, blobs):
    url = at.build()
    (payload,) = at.stage(url, "payload").artifacts
    assert payload.sha256 is not None
    blobs.remove(payload.sha256)
    found = check(at.service.upkeep, payload.sha256[:2])
    assert found.lost == (payload.sha256,)
    (again,) = at.stage(url, "payload").artifacts
    assert (again.state, again.sha256) == ("staged", payload.sha256)
    assert blobs.has(payload.sha256)


def test_what_no_row_knows_is_removed(at, blobs):
    with blobs.batch("somebody who died") as batch:
        orphan = batch.keep([b"nobody knows it"])
        batch.commit()
    found = check(at.service.upkeep, orphan.sha256[:2])
    assert found.orphans == (orphan.sha256,)
    assert at.service.upkeep.collect() == 1
    assert blobs_of(blobs) == []


def test_a_bucket_that_is_away_is_a_failure_that_passes_and_is_tried_again_later(
    database, database_url, tmp_path, endpoint
):
    nowhere = open_store(f"s3://nowhere?endpoint={endpoint}", tmp_path / "home")
    with bench(database, database_url, tmp_path, blobs=nowhere) as at:
        staging = at.service.queue(at.service.check_request(at.build(), ["payload"]), ORIGIN)
        resume(at.service, staging, ORIGIN)
        (payload,) = at.service.find(staging.id).artifacts
        assert payload.failure is not None
        assert (payload.state, payload.failure.code) == ("pending", "store_failed")
        assert at.rows("SELECT next_attempt_at > clock_timestamp() FROM staged_artifacts") == [
            (True,)
        ]
