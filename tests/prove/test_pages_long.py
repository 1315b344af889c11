"""Response time of screens: at most 0.3 seconds, however much was staged before."""

import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from staging_api.db.engine import Database
from staging_api.ui.routes import SCREENS
from tests.browser.world import example_of
from tests.million import a_million_artifacts
from tests.pages import Site, process, site_over
from tests.rows import select

_SECONDS = 0.3
_TRIES = 5


@pytest.fixture
def site(database: Database, database_url: str, tmp_path: Path) -> Iterator[Site]:
    a_million_artifacts(database)
    with process(database_url, tmp_path, sources="gs://bucket1/") as services:
        yield site_over(services)


@pytest.mark.prove
@pytest.mark.timeout(1800)
def test_each_screen_is_shown_at_once_on_a_million_artifacts(site: Site, database: Database):
    [(artifact, staging, url, sha256)] = select(
        database,
        "SELECT id, staging_id, archive_url, sha256 FROM staged_artifacts"
        " WHERE state = 'staged' ORDER BY id LIMIT 1 OFFSET 500000",
    )
    [(lock,)] = select(database, "SELECT id FROM api_locks ORDER BY id LIMIT 1 OFFSET 100000")
    examples = {"artifact_id": artifact, "staging_id": staging, "sha256": sha256, "lock_id": lock}
    shown = (example_of(screen.path, examples) for screen in SCREENS)
    paths = [path for path in shown if path is not None]
    paths += [f"/ui/builds?u={url}", f"/ui/builds?prefix={url[:-3]}", f"/ui/search?q={sha256}"]
    paths += ["/ui/builds?state=failed", "/ui/locks?state=all", "/ui/search?q=caller+7"]
    seconds: dict[str, float] = {}
    for path in paths:
        for number in range(_TRIES):
            # A different URL each time, because a page is cached for a second.
            address = f"{path}{'&' if '?' in path else '?'}x={number}"
            began = time.perf_counter()
            page = site.get(address)
            took = time.perf_counter() - began
            assert page.status < 400, (address, page.text)
            seconds[path] = min(seconds.get(path, took), took)
    print("\n".join(f"{took:.3f} s {path}" for path, took in sorted(seconds.items())))
    assert {path: took for path, took in seconds.items() if took > _SECONDS} == {}
