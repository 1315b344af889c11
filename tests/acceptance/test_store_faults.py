"""Faults of the store, as clients see them: real pods, with a quota and without a worker."""

import hashlib
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path

import pytest
import urllib3

from staging_api.db.engine import Database, open_database
from staging_api.debian.forms import Form
from staging_api.staging.upkeep import StoreTerms
from staging_api.store.bucket_objects import LINK_LIFE
from tests import damage
from tests.apt_archive_api import AptArchiveApi
from tests.builds import FULL_PAYLOAD, build, build_path
from tests.packages import control_text, deb
from tests.rows import execute, select
from tests.service import Pod, Service, eventually, free_port, service
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
    """Add a build with a payload; return its URL, the payload's path, and the payload."""
    path = build_path()
    objects = build(path, payload_bytes=payload_bytes)
    return source.add(path, objects), f"/static/{path}/update.gz", objects[FULL_PAYLOAD]


def staged(pod: Pod, source: ArchiveSource) -> tuple[str, str, bytes]:
    found = add(source)
    assert pod.client.stage(found[0], "full_payload").status == 201
    return found


def age(rows: Database) -> None:
    """Set the last read of every artifact to an hour ago."""
    execute(
        rows,
        "UPDATE staged_artifacts SET staged_at = staged_at - interval '2 h',"
        " last_accessed_at = clock_timestamp() - interval '1 h'",
    )


def test_an_artifact_just_read_through_another_pod_is_not_evicted(
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


def test_links_expire_before_the_protection_of_their_files() -> None:
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


def test_a_lost_file_is_missed_once_and_staged_again_by_the_next_request(
    own: Service, rows: Database, source: ArchiveSource
) -> None:
    (pod,) = own.api()
    (url, path, content), (_, other, kept) = staged(pod, source), staged(pod, source)
    digest = hashlib.sha256(content).hexdigest()
    lost = "SELECT state, evict_reason FROM staged_artifacts WHERE sha256 = :d"
    for number, by in enumerate(damage.CHANGED_LENGTHS, start=1):
        damage.change(f"file://{own.store}", digest, by)
        missed = pod.client.get(path)
        assert missed.problem == (404, "not_found"), by
        assert "Repr-Digest" not in missed.headers
        assert "ETag" not in missed.headers
        assert select(rows, lost, d=digest) == [("evicted", "lost")] * number
        assert pod.client.stage(url, "full_payload").status == 201
        assert pod.client.get(path).body == content
        assert pod.client.get(other).body == kept


def test_while_the_volume_is_away_nothing_is_lost(own: Service, source: ArchiveSource) -> None:
    (pod,) = own.api()
    _, path, content = staged(pod, source)
    (own.store / "sha256").rename(own.store / "unmounted")
    away = pod.client.get(path)
    assert away.problem == (503, "store_absent")
    assert int(away.headers["Retry-After"]) >= 1
    (own.store / "unmounted").rename(own.store / "sha256")
    assert pod.client.get(path).body == content


def test_a_pod_that_mounts_another_volume_is_not_ready_and_loses_nothing(
    own: Service, own_url: str, rows: Database, source: ArchiveSource, tmp_path: Path
) -> None:
    (right,) = own.api()
    kept = [staged(right, source), staged(right, source)]
    folder = tmp_path / "another"
    folder.mkdir()
    (tmp_path / "volume" / "sha256").mkdir(parents=True)
    volume = f"file://{tmp_path}/volume"
    with service(folder, own_url, f"{source.url}/", store=volume) as others:
        pod = others.start("api", f"127.0.0.1:{free_port()}")

        def answers() -> bool:
            with suppress(urllib3.exceptions.HTTPError):
                return pod.client.get("/livez").status == 200
            return False

        eventually(answers, "the pod does not live")
        ready = pod.client.get("/readyz")
        assert ready.status == 503
        assert "adopt-store" in ready.json["checks"]["store"]
        others.worker()
        for _, path, _ in kept:
            away = pod.client.get(path)
            assert (away.status, away.json["retryable"]) == (503, True)
            assert int(away.headers["Retry-After"]) >= 1
        refused = pod.client.stage(add(source)[0], "full_payload")
        assert refused.status == 503
    assert select(rows, "SELECT 1 FROM staged_artifacts WHERE state = 'evicted'") == []
    for _, path, content in kept:
        assert right.client.get(path).body == content


def test_an_upload_is_refused_before_it_is_read_if_it_does_not_fit(
    own: Service, rows: Database, source: ArchiveSource
) -> None:
    (pod,) = own.api()
    kept, archive = [staged(pod, source) for _ in range(2)], AptArchiveApi.make(pod.client)
    package = deb(control_text("hello"), Form.GZ)
    never = archive.upload("hello_1.0-1_amd64.deb", bytes(3 * PAYLOAD_BYTES))
    assert never.problem == (507, "no_space")
    assert never.json["retryable"] is False
    large = bytes(PAYLOAD_BYTES)
    for sent in (archive.upload("a_1_all.deb", large), archive.send({"a_1_all.deb": large})):
        assert sent.problem == (507, "no_space")
        assert sent.json["retryable"] is True
        assert int(sent.headers["Retry-After"]) >= 1
    assert select(rows, "SELECT 1 FROM upload_reservations") == []
    for _, path, content in kept:
        assert pod.client.get(path).body == content
    # Idle artifacts are evicted for it.
    age(rows)
    assert archive.upload("hello_1.0-1_amd64.deb", package).status == 201
    assert select(rows, "SELECT 1 FROM upload_reservations") == []


def test_a_lost_file_of_a_pool_is_noted_until_it_is_uploaded_again(
    own: Service, rows: Database
) -> None:
    (pod,) = own.api()
    archive = AptArchiveApi.make(pod.client)
    packages = {name: deb(control_text(name), Form.GZ) for name in ("hello", "other")}
    for name, raw in packages.items():
        assert archive.upload(f"{name}_1.0-1_amd64.deb", raw).status == 201
    archive.published()
    paths = {name: f"pool/main/{name[0]}/{name}/{name}_1.0-1_amd64.deb" for name in packages}
    assert archive.get(paths["hello"]).body == packages["hello"]
    digest = hashlib.sha256(packages["hello"]).hexdigest()
    damage.change(f"file://{own.store}", digest, damage.cut)
    # The process that has read a small file keeps its bytes; one that has not meets the loss.
    assert archive.get(paths["hello"]).body == packages["hello"]
    (other_pod,) = own.api()
    elsewhere = archive.at(other_pod.client)
    for _ in range(2):
        missed = elsewhere.get(paths["hello"])
        assert missed.problem == (404, "not_found")
        assert "upload its package again" in missed.json["detail"]
    assert select(rows, "SELECT sha256, reason FROM lost_contents") == [(digest, "lost")]
    assert archive.get(paths["hello"]).body == packages["hello"]
    metrics = other_pod.client.get("/metrics").body.decode()
    assert 'staging_store_lost_contents{of="pool"} 1.0' in metrics
    assert 'staging_store_damaged_total{how="lost"} 1.0' in metrics
    assert archive.get(paths["other"]).body == packages["other"]
    assert archive.upload("hello_1.0-1_amd64.deb", packages["hello"]).status == 201
    assert select(rows, "SELECT 1 FROM lost_contents") == []
    assert archive.get(paths["hello"]).body == packages["hello"]
