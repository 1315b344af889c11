"""Fixtures for tests that need builds: ``pytest_plugins = ["staging_api.client.pytest_plugin"]``.

    def test_it_boots(staged_build):
        folder = staged_build("gs://builds/board/R17-1", "images")
        assert (folder / "boot.img").exists()

STAGING_SERVER and STAGING_TOKEN select the service. Folders stay in pytest's cache, so that the
next run fetches only changed files.
"""

import hashlib
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from staging_api.client.client import StagingClient
from staging_api.environment import chosen_service

_SERVER = "http://127.0.0.1:8080"

#: Returns a folder with the files of artifacts, by default those of the catalogue's default.
StagedBuild = Callable[..., Path]


@pytest.fixture(scope="session")
def staging_client() -> Iterator[StagingClient]:
    """Yield a client of the service that the environment names."""
    server, token = chosen_service(_SERVER)
    with StagingClient(server, token=token) as client:
        yield client


@pytest.fixture(scope="session")
def staged_build(staging_client: StagingClient, pytestconfig: pytest.Config) -> StagedBuild:
    """Return a function that stages artifacts of an archive and fetches their files to a folder."""
    cache = pytestconfig.cache
    if cache is None:
        raise pytest.UsageError("staged_build needs pytest's cache: not -p no:cacheprovider")
    root, done = cache.mkdir("staging"), dict[tuple[str, ...], Path]()

    def staged_build(archive_url: str, *artifacts: str) -> Path:
        key = (archive_url, *artifacts)
        if key not in done:
            name = hashlib.sha256("\n".join(key).encode()).hexdigest()[:16]
            folder = root / name
            done[key] = staging_client.get(archive_url, artifacts or None, to=folder).folder
        return done[key]

    return staged_build
