"""With which patience a bucket is asked, and at which address: for blobs, for upkeep, for links."""

from datetime import timedelta

import pytest

from staging_api.store.bucket import Bucket

S3 = "s3://bucket/prefix?endpoint=http://inside:9000&region=here"
PUBLIC = f"{S3}&public_endpoint=https://outside"


def test_a_blob_may_take_half_a_day_and_is_tried_four_times_again() -> None:
    client = Bucket.parse(S3).connect()
    asked = {"connect_timeout": "5s", "read_timeout": "30s", "timeout": "12h"}
    assert asked.items() <= dict(client.client_options or {}).items()
    retries = client.retry_config or {}
    assert (retries["max_retries"], retries["retry_timeout"]) == (4, timedelta(seconds=30))


def test_a_brief_request_is_over_in_four_seconds_and_not_tried_again() -> None:
    client = Bucket.parse(S3).connect(brief=True)
    asked = {"connect_timeout": "5s", "read_timeout": "4s", "timeout": "4s"}
    assert asked.items() <= dict(client.client_options or {}).items()
    assert (client.retry_config or {})["max_retries"] == 0


@pytest.mark.parametrize(
    ("url", "public", "endpoint"),
    [
        (S3, False, "http://inside:9000"),
        (S3, True, "http://inside:9000"),
        (PUBLIC, False, "http://inside:9000"),
        (PUBLIC, True, "https://outside"),
    ],
)
def test_only_links_lead_to_where_clients_reach_the_bucket(
    url: str, public: bool, endpoint: str
) -> None:
    client = Bucket.parse(url).connect(public=public) if public else Bucket.parse(url).connect()
    assert dict(client.config)["endpoint"] == endpoint
    assert str(client.prefix) == "prefix"
