"""A proxy of the environment that is none is refused, and says in which form it must be."""

import pytest

from staging_api.errors import Invalid, SourceRefused
from staging_api.sources.proxies import proxy_pools
from staging_api.store.bucket import Bucket


@pytest.mark.parametrize(
    "proxy", ["socks5://h:1", "http://", "http://[::1", "http://h:x", "http://h:99999"]
)
def test_what_is_no_proxy_is_refused(proxy: str) -> None:
    with pytest.raises(SourceRefused, match="must be http://host:port"):
        proxy_pools(proxy)
    assert proxy_pools("http://h:3128").proxy is not None


@pytest.mark.parametrize("url", ["s3://[", "http://b/p", "s3"])
def test_what_is_no_bucket_is_refused(url: str) -> None:
    with pytest.raises(Invalid, match="must be a bucket of"):
        Bucket.parse(url)
    assert Bucket.parse("s3://b/p")
