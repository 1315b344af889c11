"""URLs of other programs in settings: accepted and refused texts."""

import pytest

from staging_api.http_url import is_http_url


@pytest.mark.parametrize(
    "text",
    [
        *("http://a", "https://a.example:443/path?query", "HTTP://a:1", "https://[::1]:65535/"),
        *("http://user:password@a", "http://a/%20"),
    ],
)
def test_a_url_with_a_host_is_one(text: str) -> None:
    assert is_http_url(text)


@pytest.mark.parametrize(
    "text",
    [
        *("", "a.example", "ftp://a", "//a", "http:a", "http://", "http://:80", "https:///path"),
        # No port, or an invalid one.
        *("http://a:0", "http://a:65536", "http://a:port", "http://[::1"),
        # Characters that must not be sent to any program.
        *("http://größe.example", "http://a/\x00", "http://a/\x7f", "http://a/b c", " http://a"),
    ],
)
def test_what_is_no_whole_url_is_none(text: str) -> None:
    assert not is_http_url(text)
