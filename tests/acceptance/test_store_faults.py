"""What clients see of a store with faults: on real pods, with a quota and without a worker."""

import hashlib
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from staging_api.artifacts.bucket_store import LINK_LIFE
from staging_api.db.engine import Database, open_database
from staging_api.staging.upkeep import StoreTerms
from tests import damage
from tests.builds import FULL_PAYLOAD, build, build_path
from tests.rows import execute, select
from tests.service import Pod, Service, service
from tests.source import ArchiveSource

PAYLOAD_BYTES = 300_000


@pytest.fixture
def rows(own_url: str) -> Iterator[Database]:
    pools = open_database(own_url, pool_size=2)
    yield pools
    pools.close()


@pytest.fixture
def own(own_url: str, source: ArchiveSource, tmp_path: Path) -> Iterator[Service]:
    with service(
        tmp_path, own_url, f"{source.url}/", quota_bytes=str(2 * PAYLOAD_BYTES + 1000)
    ) as found:
        yield found
        found.kill()


def add(source: ArchiveSource, payload_bytes: int = PAYLOAD_BYTES) -> tuple[str, str, bytes]:
    """A build with a payload: its URL, where the payload is served, and the payload."""
    path = build_path()
    objects = build(path, payload_bytes=payload_bytes)
    return source.add(path, objects), f"/static/{path}/update.gz", objects[FULL_PAYLOAD]


def staged(pod: Pod, source: ArchiveSource) -> tuple[str, str, bytes]:
    found = add(source)
    assert pod.client.stage(found[0], "full_payload").status == 201
    return found


def age(rows: Database) -> None:
    """Let everything have been read for the last time an hour ago."""
    execute(
        rows,
        "UPDATE staged_artifacts SET staged_at = staged_at - interval '2 h',"
        " last_accessed_at = clock_timestamp() - interval '1 h'",
    )


def test_what_another_pod_has_just_handed_out_stays(
    own: Service, rows: Database, source: ArchiveSource
) -> None:
    first, second = own.api(2)
    read, idle = staged(first, source), staged(first, source)
    age(rows)
    assert first.client.get(read[1]).body == read[2]
    third = add(source)
    assert second.client.stage(third[0], "full_payload").status == 201
    assert second.client.get(read[1]).body == read[2]
    assert second.client.get(third[1]).body == third[2]
    assert first.client.get(idle[1]).status == 404


def test_links_live_shorter_than_what_protects_them() -> None:
    assert LINK_LIFE.total_seconds() < StoreTerms().idle_seconds


def test_what_can_never_fit_is_refused_for_good_and_everything_stays(
    own: Service, rows: Database, source: ArchiveSource
) -> None:
    (pod,) = own.api()
    kept = [staged(pod, source) for _ in range(2)]
    age(rows)
    refused = pod.client.stage(add(source, 5 * PAYLOAD_BYTES)[0], "full_payload")
    assert refused.problem == (507, "no_space")
    assert refused.json["retryable"] is False
    assert "Retry-After" not in refused.headers
    for _, path, content in kept:
        assert pod.client.get(path).body == content


def test_what_does_not_fit_now_is_to_be_tried_again_and_everything_stays(
    own: Service, source: ArchiveSource
) -> None:
    (pod,) = own.api()
    kept = [staged(pod, source) for _ in range(2)]
    refused = pod.client.stage(add(source)[0], "full_payload")
    assert refused.problem == (507, "no_space")
    assert refused.json["retryable"] is True
    assert int(refused.headers["Retry-After"]) >= 1
    for _, path, content in kept:
        assert pod.client.get(path).body == content


@pytest.mark.parametrize("by", damage.CHANGED_LENGTHS)
def test_a_lost_file_is_missed_once_and_staged_again_by_the_next_request(
    own: Service,
    rows: Database,
    source: ArchiveSource,
    by: Callable[[bytes], bytes | None],
) -> None:
    (pod,) = own.api()
    (url, path, content), (_, other, kept) = staged(pod, source), staged(pod, source)
    digest = hashlib.sha256(content).hexdigest()
    damage.change(f"file://{own.store}", digest, by)
    missed = pod.client.get(path)
    assert missed.problem == (404, "not_found")
    assert "Repr-Digest" not in missed.headers
    assert "ETag" not in missed.headers
    reasons = select(rows, "SELECT evict_reason FROM staged_artifacts WHERE sha256 = :d", d=digest)
    assert reasons == [("lost",)]
    assert pod.client.stage(url, "full_payload").status == 201
    assert pod.client.get(path).body == content
    assert pod.client.get(other).body == kept


def test_while_the_volume_is_away_nothing_is_lost(own: Service, source: ArchiveSource) -> None:
    (pod,) = own.api()
    _, path, content = staged(pod, source)
    (own.store / "sha256").rename(own.store / "unmounted")
    away = pod.client.get(path)
    assert away.problem == (503, "store_failed")
    assert int(away.headers["Retry-After"]) >= 1
    (own.store / "unmounted").rename(own.store / "sha256")
    assert pod.client.get(path).body == content
