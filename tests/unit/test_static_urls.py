"""URLs of served files: writing and parsing."""

from pathlib import Path

import pytest

from staging_api.client.download import DownloadTarget
from staging_api.http_url import static_path, static_url

PATHS = [
    "a/b.txt",
    "a/report#2.txt",
    "a/50%25?.bin",
    "a/%41",
    "a/größe",
    "a/system\\x2dfsck",
    "a b",
]


@pytest.mark.parametrize("path", PATHS)
def test_a_static_url_is_read_back_as_its_path(path):
    url = static_url(path)
    assert static_path(url) == static_path(path) == path
    assert url.isascii()
    assert not set("#?\\ ") & set(url)


@pytest.mark.parametrize("path", PATHS)
def test_a_client_downloads_a_path_and_its_url_from_the_same_address(path):
    by_path = DownloadTarget(path, Path("to"), "").url_path
    by_url = DownloadTarget(static_url(path), Path("to"), "").url_path
    assert by_path == by_url


def test_a_client_quotes_a_url_that_the_version_before_left_unquoted():
    assert DownloadTarget("/static/a/b#2", Path("to"), "").url_path == "/static/a/b%232"
