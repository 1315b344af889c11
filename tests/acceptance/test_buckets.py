"""A build in a bucket, found by the settings of sources alone."""

from pathlib import Path

from staging_api.db.engine import Database
from tests.builds import FULL_PAYLOAD, build, build_path
from tests.conformance import places
from tests.rows import select
from tests.service import service


def test_a_build_is_staged_from_a_bucket_at_an_endpoint_of_ones_own(
    cluster_url: str, rows: Database, tmp_path: Path
) -> None:
    path, objects = build_path(), build()
    with places.gcs() as place:
        for name, content in objects.items():
            place.put(f"{path}/{name}", content)
        settings = {
            "sources_gs_endpoint": str(place.options.gs_endpoint),
            "sources_anonymous": place.root,
        }
        with service(tmp_path, cluster_url, f"{place.root}/", **settings) as pods:
            (pod,) = pods.api()
            asked = pod.client.stage(f"{place.root}/{path}")
            assert asked.status == 201
            payload = next(a for a in asked.json["artifacts"] if a["name"] == "full_payload")
            assert pod.client.get(payload["url"]).body == objects[FULL_PAYLOAD]
    query = "SELECT source_version <> '' FROM staged_artifacts WHERE id = :i"
    assert select(rows, query, i=payload["id"]) == [(True,)]


def test_a_wrong_setting_stops_the_start_and_says_which(cluster_url: str, tmp_path: Path) -> None:
    with service(tmp_path, cluster_url, sources_s3_endpoint="s3.example") as pods:
        worker = pods.start("worker")
        assert worker.process.wait(60) != 0
        assert "STAGING_SOURCES_S3_ENDPOINT: must be http" in worker.log.read_text()
