"""Proxies from the environment: accepted forms, and the configuration of the library."""

from collections.abc import Mapping

import pytest

from staging_api.errors import Invalid
from staging_api.proxies import library_proxy, pools_by
from staging_api.store.bucket import Bucket


@pytest.mark.parametrize(
    "proxy", ["socks5://h:1", "http://", "http://[::1", "http://h:x", "http://h:99999"]
)
def test_what_is_no_proxy_is_refused(proxy: str) -> None:
    with pytest.raises(ValueError, match="must be http://host:port"):
        pools_by(proxy)
    assert pools_by("http://h:3128").proxy is not None


@pytest.mark.parametrize("url", ["s3://[", "http://b/p", "s3"])
def test_what_is_no_bucket_is_refused(url: str) -> None:
    with pytest.raises(Invalid, match="must be a bucket of"):
        Bucket.parse(url)
    assert Bucket.parse("s3://b/p")


OTHER = "169.254.0.0/16,fd00:ec2::/32,metadata.google.internal"
EVERY = "*,0.0.0.0/0,::/0"
P, Q = "http://p:1", "http://q:1"


@pytest.mark.parametrize(
    ("endpoint", "proxies", "proxy", "excepted"),
    [
        ("http://127.0.0.1:9", {}, "", ""),
        ("http://127.0.0.1:9", {"https": P}, P, "127.0.0.1"),
        ("http://[::1]:9", {"all": "p:1", "no": "a,b"}, P, "a,b,::1"),
        ("http://localhost:9", {"http": P, "https": Q}, Q, "localhost"),
        # A host without a proxy does not get the proxy for http.
        ("http://localhost:9", {"http": P}, P, EVERY),
        ("http://minio:9", {"http": P, "no": "minio"}, "", ""),
        ("http://minio:9", {"https": P, "no": "minio:9"}, P, "minio"),
        ("http://minio:9", {"http": P, "https": Q, "no": "minio:8"}, "", ""),
        ("http://minio:9", {"http": P, "https": Q, "no": "a:9"}, P, "a"),
        ("https://s3.a.test", {"https": P, "no": "b .a.test:443"}, P, "b,.a.test,s3.a.test"),
        ("", {"https": P, "no": "x"}, "", ""),
        ("", {"https": P}, "", ""),
        ("http://h:x", {"https": P}, "", ""),
        ("", {"https": P, "no": ".amazonaws.com:443"}, P, ".amazonaws.com"),
    ],
)
def test_the_library_is_told_what_it_does_not_know_of_proxies(
    monkeypatch: pytest.MonkeyPatch,
    endpoint: str,
    proxies: Mapping[str, str],
    proxy: str,
    excepted: str,
) -> None:
    monkeypatch.delenv("AWS_ENDPOINT_URL_S3", raising=False)
    expected = {"proxy_url": proxy, "proxy_excludes": excepted} if proxy else {}
    if proxy and excepted != EVERY:
        expected["proxy_excludes"] += f",{OTHER}"
    assert library_proxy("s3", {"endpoint": endpoint}, proxies) == expected
    # The address may come from the variables of the bucket service's own tools.
    monkeypatch.setenv("AWS_ENDPOINT_URL_S3", endpoint)
    assert library_proxy("s3", {}, proxies) == expected
