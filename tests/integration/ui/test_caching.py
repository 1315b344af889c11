"""Caching of responses: only paths that contain their content's digest may be kept for ever."""

import hashlib
import json
from typing import Any
from urllib.parse import quote

import pytest

from staging_api.debian.forms import Form
from staging_api.processes.services import Services
from tests.integration.ui.conftest import Builds
from tests.packages import control_text, deb
from tests.pages import Site
from tests.service import API

FOR_EVER = "public, max-age=31536000, immutable"


def kept(site: Site, path: str, **headers: str) -> Any:
    path, _, query = path.partition("?")
    answer = site.client.simulate_get(path, query_string=query, headers=headers)
    return answer.status_code, answer.headers.get("Cache-Control")


def test_what_is_staged_is_asked_for_again_and_refusals_are_not_kept(
    site: Site, builds: Builds, services: Services
) -> None:
    staging = builds.staged("R1")
    (file,) = (a.path for a in staging.artifacts if a.name == "payload")
    folder = file.rpartition("/")[0]
    assert kept(site, f"/static/{file}") == (200, "no-cache")
    assert kept(site, f"/static/{folder}/") == (200, "no-cache")
    # A page shows the signed-in caller.
    assert kept(site, f"/static/{folder}/", Accept="text/html") == (200, "no-store")
    assert kept(site, f"/static/{folder}/?archive=tar") == (200, "no-cache")
    assert kept(site, f"/static/{folder}/nothing") == (404, "no-store")
    assert kept(site, f"/ui/badge?u={quote(staging.archive_url)}") == (200, "no-cache")
    for path in ("/", f"/ui/stagings/{staging.id}", f"{API}/stagings", f"{API}/catalogue"):
        assert kept(site, path)[1] == "no-store", path
    services.accesses.flush()  # as long as the rows exist


@pytest.fixture
def published(site: Site) -> dict[str, str]:
    """Return the paths of an archive's files."""
    raw = deb(control_text("hello", "1.0-1", "amd64"), Form.GZ)
    suite = {"name": "stable", "architectures": ["amd64"]}
    for path, body in (
        ("apt-archives", json.dumps({"name": "example", "suites": [suite]}).encode()),
        ("apt-archives/example/uploads?suite=stable&name=hello_1.0-1_amd64.deb", raw),
        ("publications", b'{"operation": "publish-ftpmaster", "archive": "example"}'),
    ):
        media = "application/octet-stream" if body is raw else "application/json"
        where, _, query = f"{API}/{path}".partition("?")
        headers = {"Content-Type": media}
        answer = site.client.simulate_post(where, query_string=query, body=body, headers=headers)
        assert answer.status_code < 300, answer.text
    dists = "/archive/example/dists/stable"
    index = site.client.simulate_get(f"{dists}/main/binary-amd64/Packages.gz").content
    digest = hashlib.sha256(index).hexdigest()
    return {
        "Release": f"{dists}/Release",
        "index": f"{dists}/main/binary-amd64/Packages.gz",
        "by hash": f"{dists}/main/binary-amd64/by-hash/SHA256/{digest}",
        "pool": "/archive/example/pool/main/h/hello/hello_1.0-1_amd64.deb",
        "nothing": f"{dists}/InRelease.old",
    }


def test_of_an_archive_the_pool_and_files_by_hash_are_kept_for_ever_and_names_that_change_are_not(
    site: Site, published: dict[str, str]
) -> None:
    assert {name: kept(site, path) for name, path in published.items()} == {
        "Release": (200, "no-cache"),
        "index": (200, "no-cache"),
        "by hash": (200, FOR_EVER),
        "pool": (200, FOR_EVER),
        "nothing": (404, "no-store"),
    }
