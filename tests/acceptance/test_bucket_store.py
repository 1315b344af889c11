"""The service over a bucket: downloads by links, staging with dying processes, upkeep."""

import hashlib
from collections.abc import Iterator
from pathlib import Path
from urllib.parse import urlsplit

import pytest
import urllib3

from staging_api.client import StagingClient
from staging_api.db.engine import Database, open_database
from staging_api.debian.forms import Form
from staging_api.store.blob_store import BlobStore
from staging_api.store.opening import open_store
from tests.apt_archive_api import AptArchiveApi
from tests.buckets import new_bucket, s3_server
from tests.builds import FULL_PAYLOAD, build, build_path
from tests.object_stores import BUCKETS, SERVERS
from tests.packages import control_text, deb
from tests.rows import select, states
from tests.service import Answer, Service, eventually, service
from tests.source import ArchiveSource
from tests.stores import blobs_of


@pytest.fixture(scope="module")
def endpoint() -> Iterator[str]:
    with s3_server() as found:
        yield found


@pytest.fixture
def own_rows(own_url: str) -> Iterator[Database]:
    pools = open_database(own_url, pool_size=2)
    yield pools
    pools.close()


@pytest.fixture
def store_url(request: pytest.FixtureRequest) -> Iterator[str]:
    """Yield the URL of a store in a bucket of S3, or of the service that the test names."""
    if named := getattr(request, "param", ""):
        with SERVERS[named]() as new:
            yield new()
    else:
        yield new_bucket(request.getfixturevalue("endpoint"))


@pytest.fixture
def store(store_url: str, tmp_path: Path) -> BlobStore:
    return open_store(store_url, tmp_path)


@pytest.fixture
def own(own_url: str, source: ArchiveSource, tmp_path: Path, store_url: str) -> Iterator[Service]:
    with service(tmp_path, own_url, f"{source.url}/", store=store_url) as found:
        yield found
        found.kill()


def followed(answer: Answer) -> bytes:
    """Return the content behind the link in a response."""
    assert answer.status == 302, answer
    assert answer.body == b""
    got = urllib3.request("GET", answer.headers["Location"], retries=False)
    assert got.status == 200
    return got.data


def check_bucket(rows: Database, store: BlobStore) -> None:
    """Fail unless the bucket has the complete contents of all rows, and nothing else."""
    promised: dict[str, int] = dict(select(rows, "SELECT sha256, size_bytes FROM blobs"))
    assert {blob.sha256: blob.size_bytes for blob, _ in blobs_of(store)} == promised
    for sha256 in promised:
        with store.open(sha256) as stream:
            assert hashlib.sha256(stream.read()).hexdigest() == sha256


@pytest.mark.parametrize("store_url", BUCKETS, indirect=True)
def test_a_build_is_staged_and_served_by_links(
    own: Service, own_rows: Database, source: ArchiveSource, store: BlobStore, tmp_path: Path
) -> None:
    path, objects = build_path(), build()
    (pod,) = own.api()
    assert pod.client.stage(source.add(path, objects)).status == 201
    url, content = f"/static/{path}/update.gz", objects[FULL_PAYLOAD]
    etag = f'"{hashlib.sha256(content).hexdigest()}"'
    got = pod.client.get(url)
    assert followed(got) == content
    assert (got.headers["ETag"], got.headers["Cache-Control"]) == (etag, "no-store")
    head = pod.client.send("HEAD", url)
    assert (head.status, head.headers["ETag"]) == (200, etag)
    assert head.headers["Content-Length"] == str(len(content))
    with StagingClient(pod.url) as client:
        client.download(f"{path}/update.gz", tmp_path / "downloaded")
    assert (tmp_path / "downloaded").read_bytes() == content
    check_bucket(own_rows, store)


def test_conditions_are_answered_here_and_never_left_to_the_bucket(
    own: Service, source: ArchiveSource
) -> None:
    path, objects = build_path(), build()
    (pod,) = own.api()
    pod.client.stage(source.add(path, objects), "full_payload")
    url, content = f"/static/{path}/update.gz", objects[FULL_PAYLOAD]
    etag, other = f'"{hashlib.sha256(content).hexdigest()}"', f'"{"0" * 64}"'
    assert pod.client.get(url, If_None_Match=etag).status == 304
    assert pod.client.get(url, If_Match=other).status == 412
    assert pod.client.get(url, Range=f"bytes={len(content)}-").status == 416
    # The bucket has its own versions and times, so it would misjudge these conditions.
    whole = pod.client.get(url, If_Match=etag)
    assert (whole.status, whole.body) == (200, content)
    old = pod.client.get(url, If_Modified_Since="Sat, 01 Jan 2000 00:00:00 GMT")
    assert (old.status, old.body) == (200, content)
    assert pod.client.get(url, Range="bytes=5-9").status == 302
    assert pod.client.get(url, Range="bytes=5-9", If_Range=etag).status == 302
    # The bucket would send the range regardless.
    refused = pod.client.get(url, Range="bytes=5-9", If_Range=other)
    assert (refused.status, refused.body) == (200, content)
    ranged = pod.client.get(url, Range="bytes=5-9", If_Match=etag)
    assert (ranged.status, ranged.body) == (206, content[5:10])


def test_packages_are_published_into_the_bucket_and_apt_is_sent_there(
    own: Service, own_rows: Database, store: BlobStore
) -> None:
    (pod,) = own.api()
    archive = AptArchiveApi.make(pod.client)
    package = deb(control_text("hello", "1.0-1", "amd64"), Form.GZ)
    assert archive.upload("hello_1.0-1_amd64.deb", package).status == 201
    archive.published()
    assert followed(archive.get("pool/main/h/hello/hello_1.0-1_amd64.deb")) == package
    # Index files are in the database, and are sent by the service itself.
    assert archive.get("dists/stable/Release").status == 200
    check_bucket(own_rows, store)


def test_killed_while_it_stages_it_leaves_nothing_and_another_worker_completes_it(
    own: Service, own_rows: Database, source: ArchiveSource, store: BlobStore
) -> None:
    path, objects = build_path(), build()
    url = source.add(path, objects)
    (pod,) = own.api()
    victim = own.worker()
    held = source.hold(url, FULL_PAYLOAD, after_bytes=100_000)
    location = pod.client.stage(url, Prefer="respond-async").headers["Location"]
    held.wait_until_reached()
    victim.kill()
    # The smaller objects beside it may have been staged by then.
    assert states(own_rows, url)["full_payload"] == "staging"
    own.worker()
    pod.client.wait(location, "staged")
    assert followed(pod.client.get(f"/static/{path}/update.gz")) == objects[FULL_PAYLOAD]
    check_bucket(own_rows, store)


def test_a_file_that_is_on_its_way_is_waited_for_and_then_linked(
    own: Service, source: ArchiveSource
) -> None:
    """The spool is one pod's own, so no other pod can follow the bytes written there."""
    path, objects = build_path(), build()
    url = source.add(path, objects)
    (pod,) = own.api()
    own.worker()
    held = source.hold(url, FULL_PAYLOAD, after_bytes=200_000)
    pod.client.stage(url, "full_payload", Prefer="respond-async")
    held.wait_until_reached()
    held.release()
    answer = pod.client.get(f"/static/{path}/update.gz?follow=true")
    assert followed(answer) == objects[FULL_PAYLOAD]


def test_evicted_blobs_leave_the_bucket_and_lost_ones_are_not_served(
    own: Service, own_rows: Database, source: ArchiveSource, store: BlobStore
) -> None:
    path, objects = build_path(), build()
    (pod,) = own.api()
    own.worker()
    url = source.add(path, objects)
    location = pod.client.stage(url).headers["Location"]
    pod.client.wait(location, "staged")
    by_name = {a["name"]: a for a in pod.client.get("/api/v1.0/artifacts").json["items"]}
    payload, stateful = by_name["full_payload"], by_name["stateful"]
    assert pod.client.delete(f"/api/v1.0/artifacts/{payload['id']}").status == 200
    assert pod.client.get(f"/static/{path}/update.gz").status == 404
    gone = "SELECT doomed_at IS NOT NULL FROM blobs WHERE sha256 = :d"
    assert select(own_rows, gone, d=payload["sha256"]) == [(True,)]
    store.remove(stateful["sha256"])
    # No link leads to missing content; a new staging request fetches it again.
    assert pod.client.get(f"/static/{path}/stateful.tgz").status == 404
    reason = "SELECT evict_reason FROM staged_artifacts WHERE id = :id"
    assert select(own_rows, reason, id=stateful["id"]) == [("lost",)]
    assert pod.client.stage(url, "stateful").status == 201
    assert followed(pod.client.get(f"/static/{path}/stateful.tgz")) == objects["stateful.tgz"]


def test_a_pod_whose_bucket_is_gone_is_not_ready(
    own: Service, endpoint: str, store_url: str
) -> None:
    (pod,) = own.api()
    assert pod.client.get("/readyz").json["checks"]["store"] == "ok"
    bucket = urlsplit(store_url).netloc
    assert urllib3.request("DELETE", f"{endpoint}/{bucket}").status == 204
    eventually(lambda: pod.client.get("/readyz").status == 503, "it is still ready")
    assert "bucket" in pod.client.get("/readyz").json["checks"]["store"]
