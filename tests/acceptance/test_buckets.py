"""Builds in a bucket: found by the settings of sources alone, and read through like gs_cache."""

import urllib.error
import urllib.parse
import urllib.request
from collections.abc import Iterator
from pathlib import Path

import pytest

from staging_api.db.engine import Database
from tests.builds import FULL_PAYLOAD, build, build_path
from tests.conformance import places
from tests.rows import select
from tests.service import Pod, Service, service


@pytest.fixture(scope="module")
def place() -> Iterator[places.Gcs]:
    """A bucket on loopback."""
    with places.gcs() as running:
        yield running


@pytest.fixture(scope="module")
def pod(
    place: places.Gcs,
    cluster: Service,
    cluster_url: str,
    tmp_path_factory: pytest.TempPathFactory,
) -> Iterator[Pod]:
    """Yield a pod whose settings name the bucket."""
    settings = {
        "sources_gs_endpoint": place.options.buckets["gs"]["endpoint"],
        "sources_anonymous": place.root,
        "upload_poll_seconds": "0.2",
        "store": f"file://{cluster.store}",
    }
    folder = tmp_path_factory.mktemp("buckets")
    with service(folder, cluster_url, f"{place.root}/", **settings) as pods:
        pods.worker()
        yield pods.api()[0]


def put(place: places.Gcs, path: str) -> dict[str, bytes]:
    objects = build(path)
    for name, content in objects.items():
        place.put(f"{path}/{name}", content)
    return objects


def get(pod: Pod, path: str, headers: dict[str, str] | None = None) -> tuple[int, bytes]:
    """Return status and body, as a plain HTTP client receives them."""
    try:
        request = urllib.request.Request(f"{pod.url}/{path}", headers=headers or {})
        with urllib.request.urlopen(request) as answer:
            return answer.status, answer.read()
    except urllib.error.HTTPError as error:
        return error.code, error.read()


def test_a_build_is_staged_from_a_bucket_at_an_endpoint_of_ones_own(
    pod: Pod, place: places.Gcs, rows: Database
) -> None:
    path = build_path()
    objects = put(place, path)
    asked = pod.client.stage(f"{place.root}/{path}")
    assert asked.status == 201
    payload = next(a for a in asked.json["artifacts"] if a["name"] == "full_payload")
    assert pod.client.get(payload["url"]).body == objects[FULL_PAYLOAD]
    query = "SELECT source_version <> '' FROM staged_artifacts WHERE id = :i"
    assert select(rows, query, i=payload["id"]) == [(True,)]


def test_an_object_is_read_through(pod: Pod, place: places.Gcs) -> None:
    path = build_path()
    objects = put(place, path)
    url = f"download/conformance/{path}/{FULL_PAYLOAD}"
    assert get(pod, url) == (200, objects[FULL_PAYLOAD])
    assert get(pod, url, {"Range": "bytes=10-19"}) == (206, objects[FULL_PAYLOAD][10:20])


def test_members_are_taken_out_of_an_archive_that_is_fetched_once(
    pod: Pod, place: places.Gcs, rows: Database
) -> None:
    path = build_path()
    put(place, path)
    url = f"extract/conformance/{path}/autotest.tar?file="
    control, client = "autotest/server/control", "autotest/packages/client.tar.bz2"
    assert get(pod, url + control)[0] == 200
    assert len(get(pod, url + urllib.parse.quote(client, safe=""))[1]) == 5_000
    fetched = "SELECT name, held_by, bytes_done > 0 FROM staged_artifacts WHERE archive_url = :u"
    assert sorted(select(rows, fetched, u=f"{place.root}/{path}")) == [
        ("file:autotest.tar", None, True),
        (f"member:autotest.tar!/{client}", "version", False),
        (f"member:autotest.tar!/{control}", "version", False),
    ]


def test_of_a_zip_only_the_member_is_fetched(pod: Pod, place: places.Gcs, rows: Database) -> None:
    path = build_path()
    put(place, path)
    url = f"extract/conformance/{path}/image.zip?file=recovery_image.bin"
    assert len(get(pod, url)[1]) == 40_000
    names = select(
        rows, "SELECT name FROM staged_artifacts WHERE archive_url = :u", u=f"{place.root}/{path}"
    )
    assert names == [("member:image.zip!/recovery_image.bin",)]


@pytest.mark.parametrize(
    ("url", "wanted"),
    [
        ("extract/conformance/{path}/autotest.tar", 400),
        ("extract/conformance/{path}/autotest.tar?file=no/such/member", 404),
        ("extract/conformance/{path}/autotest.tar?file=../../etc/passwd", 400),
        ("extract/elsewhere/{path}/autotest.tar?file=a", 403),
        ("download/conformance/{path}/no.such.object", 404),
        ("download/conformance/%2e%2e/x", 400),
    ],
)
def test_impossible_reads_through_are_errors_in_words(
    pod: Pod, place: places.Gcs, url: str, wanted: int
) -> None:
    path = build_path()
    put(place, path)
    status, body = get(pod, url.format(path=path))
    assert status == wanted
    assert b"<" not in body
    assert body not in {b"", b"Service Unavailable"}


def test_a_wrong_setting_stops_the_start_and_says_which(cluster_url: str, tmp_path: Path) -> None:
    with service(tmp_path, cluster_url, sources_s3_endpoint="s3.example") as pods:
        worker = pods.start("worker")
        assert worker.process.wait(60) != 0
        assert "STAGING_SOURCES_S3_ENDPOINT: must be http" in worker.log.read_text()
